"""What every `Remote` does, the fake and the real one alike: the tests that a fake host must share with real hosts.

`files` needs nothing but a shell; `settings` an enforcing host with swap, without a firewall; `services` needs
systemd, yum and the lab's packages.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from k8s_installer.engine.remote import Outcome, Remote
from k8s_installer.engine.waiting import wait
from k8s_installer.host import nodes as host_nodes
from k8s_installer.host import perform
from k8s_installer.host.placed import RENDERED
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Check,
    File,
    Gate,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    NoPackage,
    Package,
    Placed,
    Record,
    Ref,
    Resource,
    SeenFile,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.pki import encryption
from k8s_installer.planning import records
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan

CONFIG = b"""\
ETCD_DATA_DIR="/var/lib/etcd/default.etcd"
ETCD_LISTEN_CLIENT_URLS="http://127.0.0.1:2379"
ETCD_NAME="suite"
ETCD_ADVERTISE_CLIENT_URLS="http://127.0.0.1:2379"
"""


def want(remote: Remote, kind: Kind, name: str, resource: Resource, *after: DesiredResource) -> DesiredResource:
    return DesiredResource(
        Ref(remote.name, kind, name), resource, "suite", tuple(item.ref for item in after), "the suite"
    )


def planned(remote: Remote, *wanted: DesiredResource) -> Plan:
    return make_plan({item.ref: item for item in wanted}, remote.observe(wanted))


def carried_out(remote: Remote, plan: Plan) -> tuple[Outcome, list[perform.Report]]:
    reports: list[perform.Report] = []
    outcome = remote.perform(list(enumerate(plan.changes)), reports.append)
    return outcome, reports


def actions(plan: Plan) -> list[Action]:
    return [change.action for change in plan.changes]


def files(remote: Remote, folder: str, user: str) -> None:
    """Create, update, attributes, a second look, a failure: in this order on one host."""
    path = f"{folder}/etc/kubernetes/config"
    first = want(remote, Kind.FILE, path, File(b"one\n", 0o640, user, user))
    plan = planned(remote, first)
    assert actions(plan) == [Action.CREATE]
    outcome, reports = carried_out(remote, plan)
    assert outcome == Outcome(frozenset({0}))
    assert reports == [perform.Report("begin", 0), perform.Report("done", 0)]
    assert not planned(remote, first)

    second = want(remote, Kind.FILE, path, File(b"two\n", 0o640, user, user))
    plan = planned(remote, second)
    assert actions(plan) == [Action.UPDATE]
    before = plan.changes[0].before
    assert isinstance(before, SeenFile)
    assert (before.content, before.mode, before.owner) == (b"one\n", 0o640, user)
    carried_out(remote, plan)
    written = remote.observe([second])[second.ref]
    assert isinstance(written, SeenFile)
    assert (written.sha256, written.content) == (File(b"two\n").sha256, None)
    assert written.modified_at >= before.modified_at

    third = want(remote, Kind.FILE, path, File(b"two\n", 0o600, user, user))
    plan = planned(remote, third)
    assert actions(plan) == [Action.ATTRIBUTES]
    carried_out(remote, plan)
    found = remote.observe([third])[third.ref]
    assert isinstance(found, SeenFile)
    assert (found.mode, found.modified_at) == (0o600, written.modified_at)

    secret = want(remote, Kind.FILE, path, File(b"key\n", 0o600, user, user, secret=True))
    hidden = remote.observe([secret])[secret.ref]
    assert isinstance(hidden, SeenFile)
    assert hidden.content is None

    stranger = want(remote, Kind.FILE, f"{folder}/a", File(b"", 0o600, "no-such-user", "no-such-user"))
    later = want(remote, Kind.FILE, f"{folder}/b", File(b"", 0o600, user, user), stranger)
    outcome, reports = carried_out(remote, planned(remote, stranger, later))
    assert (outcome.done, outcome.failed) == (frozenset(), 0)
    assert "no-such-user" in outcome.evidence
    assert reports[-1] == perform.Report("failed", 0)
    assert set(remote.observe([stranger, later]).values()) == {Missing.ABSENT}


def twins(remote: Remote, folder: str, user: str) -> None:
    """Two files with the same bytes are changed, and each comes back with its own time."""
    one, two = (File(bytes([number]) * 9, 0o640, user, user) for number in (1, 2))
    names = [f"{folder}/etc/kubernetes/{name}.conf" for name in ("b", "a", "c")]
    times = []
    for name in names:  # one after the other: none has the time of another
        item = want(remote, Kind.FILE, name, one)
        carried_out(remote, planned(remote, item))
        found = remote.observe([item])[item.ref]
        assert isinstance(found, SeenFile)
        times.append(found.modified_at)
    assert times == sorted(set(times))
    carried_out(remote, planned(remote, *(want(remote, Kind.FILE, name, two) for name in names)))
    kept = Backup(one.sha256, one.mode, user, user)
    back = [want(remote, Kind.FILE, name, kept) for name in names]
    plan = planned(remote, *back)
    assert actions(plan) == [Action.RESTORE] * 3
    before = [change.before for change in plan.changes]
    assert [(file.content, file.kept) for file in before if isinstance(file, SeenFile)] == [
        (two.content, one.content)
    ] * 3
    carried_out(remote, plan)
    seen = remote.observe(back)
    assert [file.modified_at for item in back if isinstance(file := seen[item.ref], SeenFile)] == times


def sent(reports: list[perform.Report]) -> list[int]:
    return [report.sent for report in reports if report.word == "sent"]


def large(remote: Remote, folder: str, user: str, source: Path) -> None:
    """A file that is uploaded: made, changed, left alone, brought back, and refused where it is another one."""
    path = f"{folder}/usr/bin/kubelet"

    def program(code: bytes) -> UploadedFile:
        content = folder.encode().ljust(1000) + code  # a host keeps what it had: this test's are no other test's
        source.write_bytes(content)
        return UploadedFile(source, hashlib.sha256(content).hexdigest(), len(content), 0o755, user, user)

    one = program(b"one " * 100_000)
    first = want(remote, Kind.FILE, path, one)
    plan = planned(remote, first)
    assert actions(plan) == [Action.CREATE]
    outcome, reports = carried_out(remote, plan)
    assert outcome == Outcome(frozenset({0}))
    assert sent(reports) == [0, 401_000]
    assert [report.word for report in reports] == ["sent", "sent", "uploaded", "begin", "done"]
    assert 0 < reports[2].sent <= 401_000
    found = remote.observe([first])[first.ref]
    assert isinstance(found, SeenFile)
    assert (found.sha256, found.mode, found.owner) == (one.sha256, 0o755, user)
    assert not planned(remote, first)

    stricter = want(remote, Kind.FILE, path, dataclasses.replace(one, mode=0o700))
    plan = planned(remote, stricter)
    assert actions(plan) == [Action.ATTRIBUTES]
    outcome, reports = carried_out(remote, plan)
    assert (outcome.failed, sent(reports)) == (None, [])

    second, link = (
        want(remote, Kind.FILE, place, program(b"two " * 50_000)) for place in (path, f"{folder}/usr/bin/again")
    )
    plan = planned(remote, second, link)
    assert actions(plan) == [Action.UPDATE, Action.CREATE]
    assert isinstance(plan.changes[0].before, SeenFile)
    assert plan.changes[0].before.content is None
    outcome, reports = carried_out(remote, plan)
    assert outcome == Outcome(frozenset({0, 1}))
    assert sent(reports) == [0, 201_000]  # once for both
    assert not planned(remote, second, link)

    back = want(remote, Kind.FILE, path, Backup(found.sha256, 0o755, user, user))
    assert carried_out(remote, planned(remote, back))[0] == Outcome(frozenset({0}))
    outcome, reports = carried_out(remote, planned(remote, second))
    assert (outcome.failed, sent(reports)) == (None, [])  # the host kept it when it went back
    assert not planned(remote, second)

    third = want(remote, Kind.FILE, path, program(b"three"))
    plan = planned(remote, third)
    source.write_bytes(source.read_bytes()[::-1])
    outcome, reports = carried_out(remote, plan)
    assert (outcome.done, outcome.failed) == (frozenset(), 0)
    assert "is a different file" in outcome.evidence
    assert [report.word for report in reports] == ["failed"]
    assert not planned(remote, second)


def services(remote: Remote) -> None:
    """A package brings a user and a unit; the unit starts, restarts and is watched; what fails says why."""
    package = want(remote, Kind.PACKAGE, "etcd", Package("etcd"))
    drop_in = "/etc/systemd/system/etcd.service.d/10-suite.conf"
    definition = want(remote, Kind.FILE, drop_in, File(b"[Service]\nNice=1\n"), package)
    owned = want(remote, Kind.FILE, "/etc/etcd/suite", File(b"", 0o600, "etcd", "etcd"), package)
    # the package brings this file: when its turn comes it is there, although the plan saw none
    config = want(remote, Kind.FILE, "/etc/etcd/etcd.conf", File(CONFIG), package)
    reads = ("/etc/etcd/suite", "/etc/etcd/etcd.conf")
    unit = want(remote, Kind.UNIT, "etcd", Unit("etcd", (drop_in,), reads, ("etcd",)), definition, owned, config)
    gate = Gate("http://127.0.0.1:2379/health", Check.ETCD_HEALTH, "etcd")
    everything = (package, definition, owned, config, unit)
    assert set(remote.observe(everything).values()) == {Missing.ABSENT}
    assert not remote.probe(gate).holds

    plan = planned(remote, *everything)
    assert actions(plan) == [Action.INSTALL, *[Action.CREATE] * 3, Action.RELOAD, Action.START]
    outcome, _ = carried_out(remote, plan)
    assert outcome.failed is None, outcome.evidence
    seen = remote.observe(everything)
    assert isinstance(seen[package.ref], SeenPackage)
    running = seen[unit.ref]
    assert isinstance(running, SeenUnit)
    assert (running.active, running.enabled, running.needs_reload) == ("active", True, False)
    assert not planned(remote, *everything)
    assert remote.probe(gate).holds
    assert remote.probe(gate, patience=1).holds
    assert "etcd" in remote.evidence("etcd")
    state = remote.unit_state("etcd", since=60)
    assert (state.state, state.pid, state.exits) == ("active", running.pid, 0)
    assert abs(state.started - running.started_at) < 1  # both are late by what `date` takes to start
    assert [bool(text) for text in remote.ask(gate, [gate.url, gate.url])] == [True, True]

    changed = want(remote, Kind.FILE, drop_in, File(b"[Service]\nNice=2\n"), package)
    plan = planned(remote, package, changed, owned, config, unit)
    assert actions(plan) == [Action.UPDATE, Action.RELOAD, Action.RESTART]
    # cut off before the restart: the next plan finds a process that is older than its definition
    half = Plan(plan.changes[:2], plan.after[:2])
    carried_out(remote, half)
    again = planned(remote, package, changed, owned, config, unit)
    assert actions(again) == [Action.RESTART]
    carried_out(remote, again)
    restarted = remote.observe([unit])[unit.ref]
    assert isinstance(restarted, SeenUnit)
    assert restarted.pid != running.pid
    assert not planned(remote, package, changed, owned, config, unit)

    missing = want(remote, Kind.UNIT, "no-such-unit", Unit("no-such-unit"))
    plan = Plan((Change(missing.ref, Action.START, "suite", Missing.ABSENT, missing.resource, "the suite"),), ((),))
    outcome, _ = carried_out(remote, plan)
    assert outcome.failed == 0
    assert "no-such-unit" in outcome.evidence


def definitions(remote: Remote) -> None:
    """A drop-in comes back with its old time, which systemd does not notice; on a host that has had `services`."""
    drop_in = "/etc/systemd/system/etcd.service.d/10-suite.conf"
    old = File(b"[Service]\nNice=1\n")
    one, two = (want(remote, Kind.FILE, drop_in, file) for file in (old, File(b"[Service]\nNice=2\n")))
    unit = want(remote, Kind.UNIT, "etcd", Unit("etcd", (drop_in,)), one)
    for definition in (one, two):
        carried_out(remote, planned(remote, definition, unit))
    back = want(remote, Kind.FILE, drop_in, Backup(old.sha256, 0o644, "root", "root"))
    plan = planned(remote, back, unit)
    assert actions(plan) == [Action.RESTORE, Action.RELOAD, Action.RESTART]
    # cut off before the daemon-reload: what is wanted is there, and the next plan loads it all the same
    carried_out(remote, Plan(plan.changes[:1], plan.after[:1]))
    again = planned(remote, one, unit)
    assert actions(again) == [Action.RELOAD, Action.RESTART]
    carried_out(remote, again)
    assert not planned(remote, one, unit)


def settings(remote: Remote) -> None:
    """What differs is set, stays so, and comes back; what a host does not have is as wanted; what fails says why."""
    selinux = want(remote, Kind.SETTING, "selinux", Setting("permissive"))
    swap = want(remote, Kind.SETTING, "swap", Setting("off"))
    port = want(remote, Kind.SETTING, "firewalld-port 6443/tcp", Setting("open"))
    everything = (selinux, swap, port)
    assert list(remote.observe(everything).values()) == [SeenSetting("enforcing"), SeenSetting("on"), Missing.ABSENT]
    plan = planned(remote, *everything)
    assert [change.reason for change in plan.changes] == ["enforcing instead of permissive", "on instead of off"]
    outcome, reports = carried_out(remote, plan)
    assert outcome == Outcome(frozenset({0, 1}))
    assert [report.word for report in reports] == ["begin", "done", "begin", "done"]
    assert not planned(remote, *everything)

    old = want(remote, Kind.SETTING, "swap", Setting("on"))
    plan = planned(remote, old)
    assert actions(plan) == [Action.SET]
    carried_out(remote, plan)
    assert list(remote.observe([swap]).values()) == [SeenSetting("on")]

    mixed = want(remote, Kind.SETTING, "selinux", Setting("enforcing now, permissive at boot"))
    plan = planned(remote, mixed, swap)
    outcome, _ = carried_out(remote, plan)
    assert outcome == Outcome(frozenset({0, 1}))
    assert not planned(remote, mixed, swap)
    assert list(remote.observe([selinux]).values()) == [SeenSetting("enforcing now, permissive at boot")]


def drains(remote: Remote) -> None:
    """A node is drained while the host does other things, is known to be until it is given back, and then is not."""
    begins = want(remote, Kind.SETTING, "drained n1", Setting("timeout=60s,force"))
    closes = want(remote, Kind.SETTING, "schedulable n1", Setting("released"))
    gate = Gate("http://127.0.0.1/api/v1/pods", Check.DRAINED, "kubelet", expects=("n1",), deadline=20)
    assert list(remote.observe([begins, closes]).values()) == [SeenSetting("released")] * 2
    assert not planned(remote, begins, closes)
    opens = Change(begins.ref, Action.SET, "suite", SeenSetting("released"), begins.resource, "the suite")
    outcome, _ = carried_out(remote, Plan((opens,), ((),)))
    assert outcome == Outcome(frozenset({0}))
    assert wait(gate, remote, remote) == ""
    assert list(remote.observe([begins, closes]).values()) == [SeenSetting("drained")] * 2
    plan = planned(remote, closes)
    assert [change.reason for change in plan.changes] == ["a run drained it and did not finish"]
    carried_out(remote, plan)
    assert not planned(remote, closes)
    assert list(remote.observe([begins]).values()) == [SeenSetting("released")]


ROTATED = b"""\
# secret: removed long ago
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aescbc:
      keys:
      - {name: new, secret: "bmV3"}
      - name: old # until all Secrets are written again
        secret: b2xk
  - identity: {}
"""


def sealed(remote: Remote, folder: str, user: str) -> None:
    """The keys of Secrets in a configuration that differs are known by sums, and nothing else of it is."""
    path = f"{folder}/encryption.yaml"
    carried_out(remote, planned(remote, want(remote, Kind.FILE, path, File(ROTATED, 0o600, user, user, secret=True))))
    for content, expected in ((b"other\n", encryption.sums(ROTATED)), (ROTATED, frozenset())):
        item = want(remote, Kind.FILE, path, File(content, 0o600, user, user, secret=True, made_of=("encryption.key",)))
        found = remote.observe([item])[item.ref]
        assert isinstance(found, SeenFile)
        assert (found.sealed, found.content) == (expected, None)


def recorded(remote: Remote, *wanted: DesiredResource) -> Plan:
    """The plan for what is wanted, and for what has left that, with the record that it keeps."""
    whole = {item.ref: item for item in wanted}
    question = records.question(remote.name)
    seen = {**remote.observe([*wanted, question])}
    desired = with_leaving(whole, whole, seen, [remote.name], None)
    seen |= remote.observe([item for item in desired.values() if item.leaving])
    desired = with_adopted(desired, seen)
    return records.recording(make_plan(desired, seen), desired, seen)


def done(remote: Remote, *wanted: DesiredResource) -> list[Action]:
    plan = recorded(remote, *wanted)
    outcome, _ = carried_out(remote, plan)
    assert outcome.failed is None, outcome.evidence
    assert not recorded(remote, *wanted)
    return actions(plan)


def record(remote: Remote) -> tuple[Placed, ...]:
    return records.entries(remote.observe([records.question(remote.name)]), remote.name)


def leaving(remote: Remote, folder: str, user: str) -> None:
    """What is placed is recorded; what is no longer wanted leaves, and what was there before is back as it was."""
    path = f"{folder}/etc/kubernetes/config"
    theirs, ours = (File(content, mode, user, user) for content, mode in ((b"theirs\n", 0o604), (b"ours\n", 0o640)))
    before = want(remote, Kind.FILE, path, theirs)
    carried_out(remote, planned(remote, before))  # nothing is recorded of this
    assert record(remote) == ()

    config = want(remote, Kind.FILE, path, ours)
    secret = want(remote, Kind.FILE, f"{folder}/new/key", dataclasses.replace(ours, secret=True))
    assert done(remote, config, secret) == [Action.UPDATE, Action.CREATE]
    assert [(entry.name, entry.sha256, entry.secret) for entry in record(remote)] == [
        (path, ours.sha256, False), (secret.ref.name, ours.sha256, True),
    ]  # fmt: skip
    assert done(remote, want(remote, Kind.FILE, path, File(b"new\n", 0o640, user, user)), secret) == [Action.UPDATE]

    plan = recorded(remote)
    there, hidden = (change.before for change in plan.changes)
    assert isinstance(there, SeenFile)
    assert isinstance(hidden, SeenFile)
    assert (there.content, there.kept, there.original) == (b"new\n", b"theirs\n", theirs.sha256)
    assert hidden.content is None
    assert done(remote) == [Action.RESTORE, Action.REMOVE]
    assert not planned(remote, before)
    assert record(remote) == ()

    # by other hands
    assert done(remote, config) == [Action.UPDATE]
    carried_out(remote, planned(remote, before))
    assert done(remote) == [Action.ADOPT]
    assert (record(remote), planned(remote, before)) == ((), Plan((), ()))

    # somebody else's by now
    assert done(remote, config) == [Action.UPDATE]
    since = want(remote, Kind.FILE, path, File(b"since\n", 0o640, user, user))
    carried_out(remote, planned(remote, since))
    assert done(remote) == [Action.RESTORE]
    assert not planned(remote, since, want(remote, Kind.FILE, f"{path}~", theirs))
    assert record(remote) == ()
    carried_out(remote, planned(remote, want(remote, Kind.FILE, f"{path}~", Absent()), before))

    # a file that the record lacks, as after a power cut, or of a version without records
    adopts = want(remote, Kind.RECORD, "placed", Record((Placed(Kind.PACKAGE, "x", "suite"),)))
    carried_out(remote, planned(remote, adopts))
    carried_out(remote, planned(remote, config))
    assert done(remote, config) == [Action.ADOPT]
    assert [entry.name for entry in record(remote) if entry.kind is Kind.FILE] == [path]

    # a file of a version without records, in the very run that changes it: it is no original
    old, new = (
        want(
            remote,
            Kind.FILE,
            f"{folder}/new/conf",
            File(f"# {RENDERED}x\n{word}\n".encode(), 0o640, user, user, hidden),
        )
        for word, hidden in (("old", False), ("new", True))
    )
    carried_out(remote, planned(remote, old))
    assert done(remote, config, new) == [Action.ADOPT, Action.UPDATE]
    steps = done(remote, config)
    assert steps == [Action.REMOVE]  # and not RESTORE


def departing(remote: Remote, folder: str) -> None:
    """A service leaves with its package, its user's files and what it made; on a host that has had `definitions`."""
    made = f"{folder}/made"
    package = want(remote, Kind.PACKAGE, "etcd", Package("etcd", leaves=Leaves("suite", (made,))))
    drop_in = want(remote, Kind.FILE, "/etc/systemd/system/etcd.service.d/10-suite.conf", File(b"[Service]\nNice=1\n"))
    unit = want(remote, Kind.UNIT, "etcd", Unit("etcd", (drop_in.ref.name,), (), ("etcd",)), package, drop_in)
    assert done(remote, package, drop_in, unit) == [Action.ADOPT]
    carried_out(remote, planned(remote, want(remote, Kind.FILE, f"{made}/token", File(b""))))
    stopped = want(remote, Kind.UNIT, "etcd", Unit("etcd", active=False))
    assert actions(planned(remote, stopped)) == [Action.STOP]
    carried_out(remote, planned(remote, stopped))
    assert not planned(remote, stopped)
    disabled = want(remote, Kind.UNIT, "etcd", Unit("etcd", active=False, enabled=False))
    assert actions(planned(remote, disabled)) == [Action.DISABLE]
    assert done(remote, package, drop_in, unit) == [Action.START]

    steps = done(remote)
    assert steps == [Action.STOP, Action.REMOVE, Action.CLEAN, Action.UNINSTALL]
    gone = [
        dataclasses.replace(package, resource=NoPackage()),
        dataclasses.replace(unit, resource=disabled.resource, after=()),
    ]
    assert not planned(remote, *gone)
    left = want(remote, Kind.LEFTOVERS, "suite", NoLeftovers(Leaves("suite", (made,))))
    assert not planned(remote, left)
    assert record(remote) == ()


_LABEL, _ROLE = "node-label n1 disk", "node-label n2 node-role.kubernetes.io/worker"
_NOTE, _TAINT = "node-annotation n1 example.com/note", "node-taint n1 dedicated:NoSchedule"
OF_NODES = (_LABEL, _ROLE, _NOTE, _TAINT)


def nodes(remote: Remote) -> None:
    """What nodes are to have is set, found changed by somebody else, set again, and taken back."""
    texts = {_LABEL: "ssd", _ROLE: "", _NOTE: 'says "hi" & more\nin two lines', _TAINT: "db"}

    def of_nodes(values: Mapping[str, str]) -> list[DesiredResource]:
        return [want(remote, Kind.SETTING, name, Setting(value)) for name, value in values.items()]

    everything = of_nodes({name: host_nodes.value(text) for name, text in texts.items()})
    assert list(remote.observe(everything).values()) == [SeenSetting("none")] * 4
    plan = planned(remote, *everything)
    assert actions(plan) == [Action.SET] * 4
    assert carried_out(remote, plan)[0] == Outcome(frozenset(range(4)))
    assert not planned(remote, *everything)

    other = of_nodes({_LABEL: host_nodes.value("hdd"), _TAINT: "=", _NOTE: host_nodes.value("")})
    assert carried_out(remote, planned(remote, *other))[0] == Outcome(frozenset(range(3)))
    plan = planned(remote, *everything)
    assert sorted(change.reason for change in plan.changes) == ["it is empty", "it is empty", "it is hdd"]
    carried_out(remote, plan)
    carried_out(remote, plan)  # what is so already can be set once more
    assert not planned(remote, *everything)

    gone = of_nodes(dict.fromkeys(OF_NODES, "none"))
    plan = planned(remote, *gone)
    assert carried_out(remote, plan)[0] == Outcome(frozenset(range(4)))
    carried_out(remote, plan)
    assert not planned(remote, *gone)


def nodes_annotated(remote: Remote, text: str) -> None:
    """An annotation with this text is set, and seen as wanted."""
    item = want(remote, Kind.SETTING, _NOTE, Setting(host_nodes.value(text)))
    assert carried_out(remote, planned(remote, item))[0] == Outcome(frozenset({0}))
    assert not planned(remote, item)


def nodes_missing(remote: Remote, node: str) -> str:
    """The words with which a label of a node fails that is not registered; that it has none is fine."""
    name = f"node-label {node} disk"
    item = want(remote, Kind.SETTING, name, Setting("=ssd"))
    outcome, _ = carried_out(remote, planned(remote, item))
    assert outcome.failed == 0
    return outcome.evidence


def values(remote: Remote, *names: str) -> list[str]:
    """What there is of these settings."""
    found = remote.observe([want(remote, Kind.SETTING, name, Setting("")) for name in names])
    return [one.value if isinstance(one, SeenSetting) else "" for one in found.values()]
