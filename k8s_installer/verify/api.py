"""The API server, asked by curl on a master: several requests in one script, nothing secret in it."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k8s_installer.errors import CommandFailed
from k8s_installer.host import curl
from k8s_installer.transport import Transport
from k8s_installer.untrusted import answers

_CURL_SECONDS = 10
_LONGEST = 2000  # characters of what a server says
_CODE = re.compile(r"[0-9]{3}")
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How a master reaches its own API server; `ca`, `cert` and `key` are paths there (empty: plain HTTP)."""

    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a path below the server's URL, and for POST, PATCH and DELETE a body."""

    path: str
    method: str = "GET"
    body: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back: the HTTP status (0: no server answered), and the text (or what curl said)."""

    code: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.code < 300  # noqa: PLR2004 - HTTP

    @property
    def json(self) -> dict[str, Any]:
        """The object in the body; an empty one if it has none."""
        return answers.json_object(self.text)

    @property
    def words(self) -> str:
        """What the server said when it refused, in one line."""
        said = (answers.text(self.json.get("message")) or " ".join(self.text.split())[-300:] or "no answer")[:_LONGEST]
        return f"{said} (status {self.code})" if self.code else said


class Api:
    """The API server of one master."""

    def __init__(self, transport: Transport, access: ApiAccess) -> None:
        self._transport, self._access = transport, access

    @property
    def host(self) -> str:
        """The master's name in the inventory."""
        return self._transport.host

    def ask(self, *requests: Request) -> tuple[HttpReply, ...]:
        """Make the requests one after the other, in one round trip; one answer each, whatever it is.

        Raises:
            TransportError: the master cannot be asked.
            CommandFailed: the master has no curl, or could not run the script.
        """
        seconds = 10 + _CURL_SECONDS * len(requests)
        result = self._transport.run(script(self._access, requests), timeout=seconds)
        found = parse(result.stdout)
        if result.status != 0 or len(found) != len(requests):
            raise CommandFailed(self.host, "asking the API server", result.status, result.stdout, result.stderr)
        return found


def script(access: ApiAccess, requests: Sequence[Request]) -> str:
    """The script that makes the requests and prints one line for each: its answer in base64."""
    return "command -v curl >/dev/null || { echo 'curl is missing' >&2; exit 127; }\n" + "".join(
        f"{_curl(access, request)}\n" for request in requests
    )


def _curl(access: ApiAccess, request: Request) -> str:
    # A name of our own, because the server indents what it sends to a browser or to "curl".
    options = ["-A", "k8s-installer", "-X", request.method, "-w", "\\n%{http_code}"]
    if request.body is not None:
        kind = _MERGE_PATCH if request.method == "PATCH" else "application/json"
        options += ["-H", f"Content-Type: {kind}", "--data-binary", "@-"]
    url = access.url + request.path
    words = curl.command(url, *options, ca=access.ca, cert=access.cert, key=access.key, seconds=_CURL_SECONDS)
    pipe = f"{shlex.join(words)} 2>&1 | base64 | tr -d '\\n'; echo"
    if request.body is None:
        return pipe
    return f"printf '%s\\n' {shlex.quote(json.dumps(request.body))} | {{ {pipe}; }}"


def parse(output: str) -> tuple[HttpReply, ...]:
    """The answers in what `script` printed; a line that is none ends them."""
    found = []
    for line in answers.lines(output):
        try:
            text = base64.b64decode(line, validate=True).decode(errors="replace")
        except ValueError:
            break
        body, _, code = text.rpartition("\n")
        found.append(HttpReply(int(code) if _CODE.fullmatch(code) else 0, body))
    return tuple(found)
