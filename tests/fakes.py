"""A strict host in memory: it does what a plan's changes say, and refuses what no real host would take."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from k8s_installer.engine.remote import OnReport, Outcome
from k8s_installer.errors import TransportError
from k8s_installer.host import perform
from k8s_installer.host.drains import DRAINED, RELEASED, SCHEDULABLE
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.host.placed import RENDERED
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import NO_RESTART, Action, Change
from k8s_installer.model.resources import (
    Backup,
    Check,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Record,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.pki import encryption
from k8s_installer.pki.leaves import ENCRYPTION
from k8s_installer.transport import OnSent, Result

IDLE = SeenUnit("loaded", "inactive", "dead", enabled=False, pid=0, started_at=0.0, needs_reload=False)
UNIT_FOLDERS = ("/etc/systemd/system/", "/usr/lib/systemd/system/")


class NoUploads:
    """The part of a `Transport` that who only asks does not need."""

    def prepare(self) -> None:
        """There is nothing to open."""

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        raise AssertionError(f"{source} was uploaded")

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        raise AssertionError("something was downloaded")


@dataclass
class FakeHost:
    """A `Remote` whose state is plain data; its clock ticks once for every change."""

    name: str
    owners: set[str] = field(default_factory=lambda: {"root"})
    brings: Mapping[str, Sequence[str]] = field(default_factory=dict)  # package -> the users and units it brings
    carries: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # package -> files that it brings
    files: dict[str, SeenFile] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    incoming: dict[str, bytes] = field(default_factory=dict)  # what was uploaded and is not placed, by its sum
    kept: dict[str, bytes] = field(default_factory=dict)  # what changes replaced, by its sum
    kept_times: dict[tuple[str, str], float] = field(default_factory=dict)  # and when it was written, by path and sum
    packages: dict[str, SeenPackage] = field(default_factory=dict)
    units: dict[str, SeenUnit] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # by name; a host has no others
    refuses: dict[str, str] = field(default_factory=dict)  # name of a resource -> the words it fails with
    record: dict[tuple[Kind, str], Placed] = field(default_factory=dict)  # of what was placed
    sums: set[tuple[str, str]] = field(default_factory=set)  # of files, by path: all that were ever placed there
    originals: dict[str, tuple[SeenFile, bytes]] = field(default_factory=dict)  # what was there before, by path
    leftovers: dict[str, tuple[str, ...]] = field(default_factory=dict)  # what programs have left, by name
    data_owners: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of data that stays, by the leftovers' name
    data_stays: dict[str, tuple[str, ...]] = field(default_factory=dict)  # where it is, by the same name
    unhealthy: set[str] = field(default_factory=set)  # units whose gates do not hold, although they run
    cordoned: set[str] = field(default_factory=set)  # nodes of its cluster
    keeping: dict[str, str] = field(default_factory=dict)  # node -> what kubectl drain says, which fails
    cut_at: str = ""  # the name of the resource before which the connection is lost
    log: list[str] = field(default_factory=list)
    clock: float = 1000.0

    def observe(self, wanted: Sequence[DesiredResource]) -> Mapping[Ref, Seen]:
        return {item.ref: self._seen(item) for item in wanted if item.ref.kind is not Kind.GATE}

    def _seen(self, item: DesiredResource) -> Seen:
        name = item.ref.name
        found: Seen | None = None
        match item.ref.kind:
            case Kind.PACKAGE:
                found = self.packages.get(name)
            case Kind.UNIT:
                found = self.units.get(name)
            case Kind.SETTING:
                found = self._setting(name)
            case Kind.RECORD:
                found = SeenRecord(tuple(self.record.values())) if self.record else None
            case Kind.LEFTOVERS:
                owners = self._of_data(item, self.data_owners)
                found = SeenLeftovers(self.leftovers.get(name, ()), owners, self._of_data(item, self.data_stays))
            case _:
                found = self._file(item)
        return Missing.ABSENT if found is None else found

    def _setting(self, name: str) -> SeenSetting | None:
        family, _, node = name.partition(" ")
        if family in (DRAINED, SCHEDULABLE):
            return SeenSetting(DRAINED if f"{DRAINED} {node}" in self.settings else RELEASED)
        return SeenSetting(self.settings[name]) if self.settings.get(name, "absent") != "absent" else None

    def _drain(self, node: str, value: str) -> None:
        """Cordon a node, unless somebody has, or give back what was cordoned here."""
        if value != RELEASED:
            ours = node not in self.cordoned or self.settings.get(f"{DRAINED} {node}") == "ours"
            self.settings[f"{DRAINED} {node}"] = "ours" if ours else "theirs"
            self.cordoned.add(node)
        elif self.settings.pop(f"{DRAINED} {node}", "theirs") == "ours":
            self.cordoned.discard(node)

    def _of_data(self, item: DesiredResource, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        assert isinstance(item.resource, NoLeftovers)
        leaves = item.resource.leaves
        return () if set(leaves.data) <= set(leaves.folders) else known.get(item.ref.name, ())

    def _file(self, item: DesiredResource) -> Seen:
        name = item.ref.name
        if isinstance(item.resource, Original):
            return self._before_us(name, item.resource)
        if isinstance(item.resource, Data):
            unit = self.units.get(item.resource.unit, IDLE)
            return SeenFile("", 0o600, "etcd", "etcd", unit.started_at) if unit.started_at else Missing.ABSENT
        return self._shown(name, item.resource) if name in self.files else Missing.ABSENT

    def _before_us(self, name: str, wanted: Original) -> Seen:
        """A file that is to be as it was before, with its content and that of the original."""
        kept, content = self.originals.get(name, (None, b""))
        if name not in self.files:
            return SeenFile("", 0, "", "", 0.0, kept=content, original=kept.sha256) if kept else Missing.ABSENT
        shown = None if wanted.secret else self.contents[name]
        back = content if kept and not wanted.secret else None
        return dataclasses.replace(self.files[name], content=shown, kept=back, original=kept.sha256 if kept else "")

    def _shown(self, name: str, wanted: Resource) -> SeenFile:
        """A file that differs, with its content; of a secret one nothing but sums of the keys of Secrets in it."""
        file = self.files[name]
        if not isinstance(wanted, File | Backup) or file.sha256 == wanted.sha256:
            return dataclasses.replace(file, content=None)
        if isinstance(wanted, File):
            head = b"".join(self.contents[name].splitlines()[:2])
            file = dataclasses.replace(file, rendered=RENDERED.encode() in head)
        if isinstance(wanted, File) and wanted.secret and ENCRYPTION in wanted.made_of:
            return dataclasses.replace(file, content=None, sealed=encryption.sums(self.contents[name]))
        kept = self.kept.get(wanted.sha256) if isinstance(wanted, Backup) and not wanted.secret else None
        return dataclasses.replace(file, content=None if wanted.secret else self.contents[name], kept=kept)

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        for index, file in perform.uploads(changes):
            words = self._upload(index, file, on_report)
            if words:
                on_report(perform.Report("failed", index))
                return Outcome(frozenset(), index, words)
        done: set[int] = set()
        for word, group in groupby(changes, key=lambda item: perform.batch(item[1])):
            together = list(group)
            for some in [together] if word else [[one] for one in together]:
                failed = self._carry_out(some, on_report)
                if failed is not None:
                    return Outcome(frozenset(done), *failed)
                done.update(index for index, _ in some)
        for _, file in perform.uploads(changes):
            del self.incoming[file.sha256]  # what is placed is not there a second time
        return Outcome(frozenset(done))

    def _upload(self, index: int, file: UploadedFile, on_report: OnReport) -> str:
        content = file.source.read_bytes()
        if hashlib.sha256(content).hexdigest() != file.sha256 or len(content) != file.size:
            return f"{file.source} is a different file"
        if file.sha256 not in self.incoming.keys() | self.kept.keys():
            on_report(perform.Report("sent", index, 0))
            on_report(perform.Report("sent", index, file.size))
            on_report(perform.Report("uploaded", index, file.size))
        self.incoming[file.sha256] = content
        return ""

    def _carry_out(self, some: list[tuple[int, Change]], on_report: OnReport) -> tuple[int, str] | None:
        """What one command does: all of it begins before any of it ends."""
        if any(change.ref.name == self.cut_at for _, change in some):
            raise TransportError(self.name, "the connection was lost")
        for index, _ in some:
            on_report(perform.Report("begin", index))
        for index, change in some:
            assert change.ref.host == self.name, f"{change.ref} was sent to {self.name}"
            self.clock += 1
            self._note(change)
            words = self.refuses.get(change.ref.name) or self._do(change)
            if words:
                on_report(perform.Report("failed", index))
                return index, words
            for entry in () if perform.leaves_data(change) else change.forgets:
                self.record.pop((entry.kind, entry.name), None)
            self.log.append(f"{change.action} {change.ref.name}")
        for index, _ in some:
            on_report(perform.Report("done", index))
        return None

    def _note(self, change: Change) -> None:
        """Record what a change places, before it does."""
        for entry in change.records:
            ours = (
                entry.kind is not Kind.FILE or change.action is Action.ADOPT or (entry.kind, entry.name) in self.record
            )
            if not ours and entry.name in self.files:
                self.originals.setdefault(entry.name, (self.files[entry.name], self.contents[entry.name]))
            self.record[entry.kind, entry.name] = entry
            self.sums.add((entry.name, entry.sha256))
        if isinstance(change.after, Record):
            for gone in change.after.gone:
                self.originals.pop(gone.name, None)

    def _do(self, change: Change) -> str:
        words = ""
        match change.after:
            case Package() as package:
                words = self._install(package)
            case NoPackage():
                self._uninstall(change.ref.name)
            case NoLeftovers():
                del self.leftovers[change.ref.name]
            case Unit():
                words = self._service(change)
            case Setting() as setting:
                assert change.before is not Missing.ABSENT or change.ref.name.startswith("user ")
                family, _, subject = change.ref.name.partition(" ")
                if family in (DRAINED, SCHEDULABLE):
                    self._drain(subject, setting.value)
                    return ""
                self.settings[change.ref.name] = setting.value
                self.owners.add(change.ref.name.removeprefix("user "))
            case Gate() | Data():
                raise AssertionError("a host does nothing for it")
            case _:
                words = "" if change.action is Action.ADOPT else self._change_file(change)
        return words

    def _change_file(self, change: Change) -> str:
        words = self._moved(change) or self._mark(change)
        match change.after:
            case File() | UploadedFile() | Backup() as file:
                return words or self._write(change, file)
            case Original():
                return words or self._leave(change.ref.name)
            case _:
                return words or self._remove(change.ref.name)

    def _install(self, package: Package) -> str:
        self.packages[package.name] = SeenPackage(package.version or "1.0", "1.el7", self.clock)
        for brought in self.brings.get(package.name, ()):
            self.owners.add(brought)
            self.units.setdefault(brought, IDLE)
        for path, content in self.carries.get(package.name, {}).items():
            if path in self.files:
                continue  # a configuration that is there stays
            self.contents[path] = content
            self.files[path] = SeenFile(File(content).sha256, 0o644, "root", "root", self.clock)
        return ""

    def _uninstall(self, name: str) -> None:
        del self.packages[name]
        for path, content in self.carries.get(name, {}).items():
            if self.contents.get(path) == content and (Kind.FILE, path) not in self.record:
                del self.files[path], self.contents[path]
            if self.originals.get(path, (None, None))[1] == content:
                del self.originals[path]
        for unit in self.brings.get(name, ()):
            state = self.units.get(unit, IDLE)
            # its scripts would stop it where something else does not go on under its name
            assert not state.is_active or (Kind.UNIT, unit) in self.record, f"{unit} runs without its package {name}"

    def _moved(self, change: Change) -> str:
        path = change.ref.name
        now = self.files[path].sha256 if path in self.files else "absent"
        was = change.before.sha256 if isinstance(change.before, SeenFile) else "absent"
        wanted = change.after.sha256 if isinstance(change.after, File | Backup) else "absent"
        packaged = (was == "absent" or isinstance(change.after, Original)) and any(
            files.get(path) == self.contents.get(path) for files in self.carries.values()
        )
        return (
            ""
            if packaged or now in (was, wanted)
            else f"the plan is stale: {path} has changed on the host since it was made"
        )

    def _mark(self, change: Change) -> str:
        written = self.files[change.ref.name].modified_at if change.ref.name in self.files else 0.0
        for name in change.readers:
            if self.units[name].started_at >= written:
                self.units[name] = dataclasses.replace(self.units[name], due_at=self.clock)
        return ""

    def _remove(self, path: str) -> str:
        if path in self.files:
            file = self.files.pop(path)
            self._keep(path, file, self.contents.pop(path))
        return ""

    def _leave(self, path: str) -> str:
        if not self._is_ours(path):
            if path in self.originals:
                self.files[f"{path}~"], self.contents[f"{path}~"] = self.originals.pop(path)
            return ""
        self._remove(path)
        for name, state in self.units.items():
            if path.startswith(f"{UNIT_FOLDERS[0]}{name}.service") and state.is_active:
                self.units[name] = dataclasses.replace(state, needs_reload=True)
        if path in self.originals:
            self.files[path], self.contents[path] = self.originals.pop(path)
            return ""
        for package in self.packages.keys() & self.carries.keys():
            if path in self.carries[package]:  # as path.rpmnew, while ours was in its place
                self.contents[path] = self.carries[package][path]
                self.files[path] = SeenFile(File(self.contents[path]).sha256, 0o644, "root", "root", self.clock)
        return ""

    def _is_ours(self, path: str) -> bool:
        """Whether a file is as it was placed, or as it was before, or has our header."""
        entry, file = self.record.get((Kind.FILE, path)), self.files.get(path)
        if entry is None or not entry.sha256 or file is None:
            return True
        before = self.originals[path][0].sha256 if path in self.originals else ""
        known = {(path, entry.sha256), (path, before), *self.sums}
        return (path, file.sha256) in known or RENDERED.encode() in self.contents[path]

    def _keep(self, path: str, file: SeenFile, content: bytes) -> None:
        self.kept[file.sha256], self.kept_times[path, file.sha256] = content, file.modified_at

    def _write(self, change: Change, file: File | UploadedFile | Backup) -> str:
        path = change.ref.name
        if {file.owner, file.group} - self.owners:
            return f"chown: invalid user: '{file.owner}:{file.group}'"
        old = self.files.get(path)
        modified = self.clock
        if change.action is Action.ATTRIBUTES:
            assert old is not None, f"attributes of {path}, which is not there"
            assert old.sha256 == file.sha256
        if old is not None and change.action in NO_RESTART:
            modified = old.modified_at
        if old is not None:
            self._keep(path, old, self.contents[path])
        if isinstance(file, Backup):
            content = self.kept[file.sha256]
            modified = modified if change.action in NO_RESTART else self.kept_times[path, file.sha256]
        elif isinstance(file, UploadedFile):
            content = self.contents[path] if change.action is Action.ATTRIBUTES else self.incoming[file.sha256]
        else:
            content = file.content
        self.files[path] = SeenFile(file.sha256, file.mode, file.owner, file.group, modified)
        self.contents[path] = content
        if path.startswith(UNIT_FOLDERS) and change.action not in NO_RESTART:
            name = path.removeprefix(UNIT_FOLDERS[0]).removeprefix(UNIT_FOLDERS[1]).split(".service")[0]
            unit = self.units.get(name, IDLE)
            self.units[name] = dataclasses.replace(unit, needs_reload=True)
        return ""

    def _service(self, change: Change) -> str:
        name = change.ref.name
        if change.action is Action.RELOAD:
            for unit, state in self.units.items():
                self.units[unit] = dataclasses.replace(state, needs_reload=False)
            return ""
        if name not in self.units:
            return f"Failed to start {name}.service: Unit not found."
        state = self.units[name]
        assert not state.needs_reload, f"{change.action} of {name} without a daemon-reload"
        if change.action is Action.ENABLE:
            self.units[name] = dataclasses.replace(state, enabled=True)
            return ""
        if change.action in (Action.STOP, Action.DISABLE):
            assert isinstance(change.after, Unit)
            now = dataclasses.replace(IDLE, enabled=change.after.enabled, started_at=state.started_at)
            self.units[name] = now if change.action is Action.STOP else dataclasses.replace(state, enabled=False)
            return ""
        assert (change.action is Action.RESTART) == (state.active == "active"), f"{change.action} of {state.active}"
        self.units[name] = SeenUnit("loaded", "active", "running", True, state.pid + 1, self.clock, False)
        return ""

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> GateAnswer:
        if gate.check is Check.DRAINED:
            return self._drained(gate)
        state = self.units.get(gate.unit)
        held = gate.unit not in self.refuses.keys() | self.unhealthy and (
            bool(gate.unit_host) or (state is not None and state.active == "active")
        )
        return GateAnswer(held, f"{gate.url}: {'ok' if held else 'no answer'}", self.unit_state(gate.unit))

    def _drained(self, gate: Gate) -> GateAnswer:
        (node,) = gate.expects
        assert f"{DRAINED} {node}" in self.settings, f"nobody drains {node}"
        words = self.keeping.get(node, "")
        state = self.unit_state(gate.unit)
        return GateAnswer(not words, f"node {node} is not drained", state, over=bool(words), log=words)

    def unit_state(self, unit: str, since: int = 0) -> UnitState:
        state = self.units.get(unit)
        if state is None:
            return UnitState("unknown", 0)
        return UnitState(state.active, state.pid, started=state.started_at if state.pid else 0.0)

    def ask(self, gate: Gate, urls: Sequence[str]) -> Sequence[str]:
        return [f"the answer of {url} on {self.name}" for url in urls]

    def evidence(self, unit: str) -> str:
        return f"the journal of {unit} on {self.name}"
