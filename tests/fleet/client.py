"""A client of the cluster's API that notices when it is not there: it asks every master, and writes objects meanwhile."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PAUSE = 0.1  # seconds between two requests
PATIENCE = 10.0  # seconds for one
CLEARING = 120.0  # seconds for the deletion of all it has written: the API server deletes them one after the other
OBJECTS = "/api/v1/namespaces/default"


@dataclass
class Asked:
    """What became of requests. `longest` is the longest time between two good answers, in seconds.

    `spans` are from the first to the last request in a row that failed: when these were made, by the monotonic clock.
    """

    count: int = 0
    longest: float = 0.0
    spans: list[tuple[float, float]] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)
    fails: bool = False

    def note(self, began: float, *, good: bool) -> None:
        """A request that was made at this time was answered, or not."""
        if not good:
            first = self.spans.pop()[0] if self.fails else began
            self.spans.append((first, began))
        else:
            now = time.monotonic()
            self.count, self.longest, self.last = self.count + 1, max(self.longest, now - self.last), now
        self.fails = not good


@dataclass
class Client:
    """Certificates of an administrator, and the masters that are asked: by name, their addresses."""

    pki: Path
    masters: dict[str, str]
    prefix: str = "w"  # of the names of what it writes
    reads: dict[str, Asked] = field(default_factory=dict)
    writes: Asked = field(default_factory=Asked)
    written: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def working(self) -> Iterator[Client]:
        """It asks and writes until the end of the `with`."""
        threads = [threading.Thread(target=self._write), *(self._reader(name) for name in self.masters)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _reader(self, name: str) -> threading.Thread:
        self.reads[name] = Asked()
        return threading.Thread(target=self._read, args=(name,))

    def _read(self, name: str) -> None:
        way = self._way(name)
        while not self._ended.wait(PAUSE):
            began = time.monotonic()
            good = self._good(way, "GET", f"{OBJECTS}/configmaps/kube-root-ca.crt")
            self.reads[name].note(began, good=good)
        way.close()

    def _write(self) -> None:
        number = 0
        ways = {name: self._way(name) for name in self.masters}
        while not self._ended.wait(PAUSE):
            name = f"{self.prefix}-{number}"
            kind = "secrets" if number % 4 == 0 else "configmaps"
            data = base64.b64encode(name.encode()).decode() if kind == "secrets" else name
            body = json.dumps({"metadata": {"name": name, "labels": {"by": "client"}}, "data": {"is": data}})
            number += 1
            for master in [*ways]:
                began = time.monotonic()
                good = self._good(ways[master], "POST", f"{OBJECTS}/{kind}", body)
                self.writes.note(began, good=good)
                if good:
                    self.written.append(f"{kind}/{name}")
                    break
                ways[master] = ways.pop(master)  # the next object is tried elsewhere first
        for way in ways.values():
            way.close()

    def _way(self, name: str, patience: float = PATIENCE) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        return http.client.HTTPSConnection(self.masters[name], 6443, timeout=patience, context=context)

    def _good(self, way: http.client.HTTPSConnection, method: str, path: str, body: str | None = None) -> bool:
        try:
            way.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = way.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            way.close()
            return False
        return answer.status in (200, 201)

    def there(self, master: str) -> set[str]:
        """The objects that a master lists, KIND/NAME: those of which the content is what was written."""
        found: set[str] = set()
        for kind in ("configmaps", "secrets"):
            way = self._way(master)
            with suppress(OSError):
                way.request("GET", f"{OBJECTS}/{kind}")
                for item in json.loads(way.getresponse().read())["items"]:
                    name, value = item["metadata"]["name"], (item.get("data") or {}).get("is", "")
                    if name == (base64.b64decode(value).decode() if kind == "secrets" else value):
                        found.add(f"{kind}/{name}")
            way.close()
        return found

    def clear(self, master: str) -> None:
        """Delete what it has written, by this master."""
        way = self._way(master, CLEARING)
        for kind in ("configmaps", "secrets"):
            way.request("DELETE", f"{OBJECTS}/{kind}?labelSelector=by%3Dclient")
            answer = way.getresponse()
            words = answer.read()
            assert answer.status == 200, words[:500]
        way.close()

    def both_down(self) -> list[tuple[str, str]]:
        """The pairs of masters that did not answer at the same time."""
        names = list(self.reads)
        return [
            (one, other)
            for number, one in enumerate(names)
            for other in names[number + 1 :]
            if any(
                max(first, its_first) <= min(last, its_last)
                for first, last in self.reads[one].spans
                for its_first, its_last in self.reads[other].spans
            )
        ]

    def words(self) -> str:
        """What it noticed, in one line."""
        reads = ", ".join(f"{name} {asked.longest:.1f} s" for name, asked in self.reads.items())
        return f"longest gap: reads {reads}; writes by any master {self.writes.longest:.1f} s of {len(self.written)}"
