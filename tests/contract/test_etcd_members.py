"""Real etcd on loopback whose members change as plans say: killed in between, and planned again from what it says.

With etcd 3.3, which has no learners and is what CentOS 7 has, and with 3.4, which has them. With TEST_ALL=1 in the
environment a run is killed after every step, else after every third one.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer import inventory, pki, profiles
from k8s_installer.desired import Desired, desire, etcd
from k8s_installer.errors import InstallerError, LabError
from k8s_installer.host import families, gates
from k8s_installer.lab.rpms import payload
from k8s_installer.lab.state import default_cache
from k8s_installer.model.desired import DesiredResource, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    File,
    Gate,
    Kind,
    Missing,
    Ref,
    Seen,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.planning.etcd.changing import changing, questions
from k8s_installer.planning.etcd.members import require_members
from k8s_installer.planning.make import make_plan
from k8s_installer.render import Renderer
from tests.contract.programs import bookworm_etcd
from tests.contract.test_etcd import CONF, Members, conf
from tests.unit.clusters import leaves

HOSTS = ("m1", "m2", "m3", "m4", "m5", "m6")
MOST = 1 if os.environ.get("TEST_ALL") else 3  # steps of a run before it is killed
LOG = logging.getLogger(__name__)  # shown with --log-cli-level=INFO
IDLE = SeenUnit("loaded", "inactive", "dead", enabled=False, pid=0, started_at=0.0, needs_reload=False)


class Killed(Exception):  # noqa: N818 - no error
    """The installer was killed before its next step."""


@pytest.fixture(scope="module", params=["3.3", "3.4"])
def program(request: pytest.FixtureRequest) -> Path:
    """Etcd as the lab's hosts run it, and the first version that has learners."""
    version = str(request.param)
    try:
        if version == "3.3":
            found = payload(default_cache(), lambda _: None) / "etcd-server/usr/bin/etcd"
        else:
            found = bookworm_etcd() / "etcd"
    except LabError as error:
        pytest.skip(f"etcd {version} cannot be fetched: {error}")
    assert (
        f"Version: {version}."
        in subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    )
    return found


@dataclass
class Changing(Members):
    """Members whose hosts do what a plan says about etcd; all else is as it should be."""

    steps: int = 0  # that were carried out
    dead: set[str] = field(default_factory=set)  # hosts that are gone

    def wanted(self, *names: str, again: str = "") -> Desired:
        """An inventory with these members; m1 is a master, and all other hosts are nodes."""
        hosts = "".join(
            f"  {name}: {{address: {self.address(name)}, roles: [{', '.join(roles)}]{args}}}\n"
            for name in HOSTS
            if name not in self.dead
            for roles in [["etcd"] * (name in names) + ["master" if name == "m1" else "node"]]
            for folder in [self.folder / name / "data"]
            for state in [", initial-cluster-state: existing" if name == again else ""]
            for args in [f", components: {{etcd: {{args: {{data-dir: {folder}{state}}}}}}}" if name in names else ""]
        )
        cluster = inventory.parse(
            f'cluster: {{name: c, version: "1.20.2", network: none}}\nhosts:\n{hosts}', self.folder / "c.yaml"
        )
        keys = pki.ensure(self.folder / "pki", leaves(cluster))
        found = desire(cluster, profiles.profile_of(cluster), keys, Renderer())
        for ref, item in found.items():
            if ref.name.startswith("/etc/etcd/pki/") and isinstance(item.resource, File):
                path = self.folder / ref.host / "pki" / Path(ref.name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(item.resource.content)
        return found

    def here(self, host: str, script: str, *, check: bool = True) -> str:
        """What a host's script says, run with what is the member's here."""
        script = script.replace("127.0.0.1", self.address(host)).replace(
            "/etc/etcd/pki", str(self.folder / host / "pki")
        )
        script = script.replace(CONF, str(self.folder / host / "etcd.conf"))
        done = subprocess.run(["/bin/sh"], input=f"root=\n{script}", capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def look(self, desired: Desired) -> dict[Ref, Seen]:
        """All hosts: as wanted, but for etcd, which is as it is."""
        found = {**answers(desired), **self.seen(desired, used=True)}
        for ref, item in desired.items():
            if item.component == "etcd" and ref.host not in self.confs and ref.name in (CONF, "etcd"):
                found[ref] = IDLE if ref.kind is Kind.UNIT else Missing.ABSENT
        for ref, there in found.items():
            if isinstance(there, SeenUnit):
                found[ref] = dataclasses.replace(there, started_at=1e9)  # with all files as they are
        asked = questions(desired, [host for host in HOSTS if host not in self.dead])
        for ref in asked:
            (self.folder / ref.host).mkdir(exist_ok=True)
            said = self.here(ref.host, families.questions([ref.name]))
            (answer,) = (value for _, value in families.answers(line.partition(" ")[2] for line in said.splitlines()))
            found[ref] = SeenSetting(answer) if answer is not None else Missing.ABSENT
        return found

    def plan(self, *names: str, again: str = "") -> Plan:
        """The plan for these members: what leaves is what runs, and is not among them."""
        desired = self.wanted(*names, again=again)
        found, part = self.look(desired), dict(desired)
        for host in self.running.keys() - set(names):
            ref, stopped = Ref(host, Kind.UNIT, "etcd"), Unit("etcd", active=False, enabled=False)
            part[ref] = DesiredResource(ref, stopped, "etcd", (), "leaves", Turn("etcd", host), leaving=True)
            found[ref] = SeenUnit("loaded", "active", "-", enabled=True, pid=1, started_at=1.0, needs_reload=False)
        chained, more = changing(desired, part, found, [host for host in HOSTS if host not in self.dead])
        require_members(desired, more, chained)
        return make_plan(chained, more)

    def apply(self, *names: str, most: int = 1_000, again: str = "") -> None:
        """Carry out a plan, or so many steps of it."""
        made = self.plan(*names, again=again)
        budget = itertools.count()
        for change in made.changes:
            if self.does(change):
                if next(budget) >= most:
                    raise Killed
                self.carry_out(change)
                self.steps += 1
        self.confs = {host: content for host, content in self.confs.items() if host in names}

    def does(self, change: Change) -> bool:
        gate = change.after
        if isinstance(gate, Gate):
            return gate.unit == "etcd"
        return change.component == "etcd" and change.action not in (Action.RELOAD, Action.INSTALL)

    def carry_out(self, change: Change) -> None:
        host = change.ref.host
        match change.after:
            case Setting() as setting:
                name = change.ref.name
                self.here(host, families.setters([name]) + families.setter(name, setting.value))
            case File() as file if change.ref.name == CONF:
                (self.folder / host / "etcd.conf").write_bytes(file.content)
                self.confs[host] = file.content
            case Unit() as unit:
                assert change.action is (Action.START if unit.active else Action.STOP), "no member restarts"
                if unit.active:
                    self.launch(host)
                else:
                    self.stop(host)
            case Gate() as gate:
                self.await_gate(host, gate)
            case _:
                pass

    def launch(self, host: str) -> None:
        """Start a member, and wait for its log: systemd waits longer, and so does the next look for a host's script."""
        self.start({}, host, by_hand=self.confs[host])
        until = time.monotonic() + 40
        while not list((self.folder / host / "data/member/wal").glob("*.wal")):
            assert time.monotonic() < until
            time.sleep(0.05)

    def await_gate(self, host: str, gate: Gate) -> None:
        until, words = time.monotonic() + 40, ""
        while time.monotonic() < until:
            answer = gates.judge(gate, self.here(host, gates.script(gate, 2), check=False))  # there is no systemd
            if answer.holds:
                return
            words = answer.words
        pytest.fail(f"{host}: {words}")

    def converge(self, *names: str, again: str = "") -> int:
        """Kill the installer after a step, or some, and begin again; how often that was."""
        for times in range(100):
            try:
                self.apply(*names, most=MOST, again=again)
            except Killed:
                continue
            return times
        raise AssertionError("it never converges")

    def crash(self, host: str, *, gone: bool) -> None:
        """A host dies; it is gone, or its disk is."""
        process = self.running.pop(host)
        process.kill()
        process.wait()
        shutil.rmtree(self.folder / host / "data")
        if gone:
            self.dead.add(host)
            del self.confs[host]


@dataclass
class Writer:
    """A client that writes a key every 100 ms, to members that are wanted if it can; they are its endpoints.

    `longest` is the longest time without a key written, in seconds.
    """

    members: Changing
    names: tuple[str, ...] = ()
    count: int = 0
    longest: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        last = time.monotonic()
        while not self.ended.wait(0.1):
            key = base64.b64encode(f"/k/{self.count}".encode()).decode()
            for name in sorted(self.members.running, key=lambda name: (name not in self.names, name)):
                try:
                    said = self.members.ask(name, "kv/put", {"key": key, "value": key}, seconds=1)
                except (OSError, ValueError, subprocess.CalledProcessError):
                    continue
                if "header" in said:
                    self.count += 1
                    self.longest = max(self.longest, time.monotonic() - last)
                    last = time.monotonic()
                    break


@pytest.fixture
def members(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Changing]:
    monkeypatch.setattr(etcd, "_SYSTEM", ())
    found = Changing(program, tmp_path)
    yield found
    found.stop(*list(found.running))


def begin(members: Changing, *names: str) -> None:
    desired = members.wanted(*names)
    for name in names:
        members.confs[name] = conf(desired, name)
        (members.folder / name / "etcd.conf").write_bytes(members.confs[name])
        members.launch(name)
    for ref, item in desired.items():
        if isinstance(item.resource, Gate) and item.resource.unit == "etcd":
            members.await_gate(ref.host, item.resource)


def listed(members: Changing, host: str) -> set[str]:
    found = members.ask(host, "cluster/member/list", {})["members"]
    assert isinstance(found, list)
    assert not [one for one in found if one.get("isLearner")]
    return {str(one["name"]) for one in found}


def revisions(members: Changing) -> set[object]:
    """What each member has by its own data."""
    found = [
        members.ask(name, "kv/range", {"key": "AA==", "range_end": "AA==", "serializable": True})
        for name in members.running
    ]
    return {str(one.get("count", "0")) for one in found}


def forget(members: Changing, *names: str) -> None:
    """The data of former members is moved away, as the refusal says."""
    for name in names:
        shutil.rmtree(members.folder / name / "data")


def test_members_grow_and_shrink_killed_in_between_while_a_client_writes(members: Changing) -> None:
    begin(members, "m1")
    writer = Writer(members)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        for names, gone in (
            (("m1", "m2", "m3"), ()),
            (("m3", "m4", "m5"), ("m1", "m2")),  # five for a while
            (("m4",), ("m3", "m5")),
        ):
            writer.names = names
            times = members.converge(*names)
            assert members.running.keys() == set(names)
            assert listed(members, names[0]) == set(names)
            assert times > 0
            assert not [change for change in members.plan(*names).changes if members.does(change)]
            forget(members, *gone)
    finally:
        writer.ended.set()
        thread.join()
    for name in members.running:
        found = members.ask(
            name, "kv/range", {"key": "L2sv", "range_end": "L2sw", "count_only": True, "serializable": True}
        )
        assert int(str(found["count"])) >= writer.count
    LOG.info("%s steps, %s keys, longest gap %.1f s", members.steps, writer.count, writer.longest)


def test_a_member_whose_host_or_disk_is_gone_is_replaced(members: Changing) -> None:
    begin(members, "m1", "m2", "m3")
    members.put("m1", "b25l")
    members.crash("m3", gone=True)
    members.converge("m1", "m2", "m4")
    assert listed(members, "m1") == {"m1", "m2", "m4"}
    assert members.value("m4") == "b25l"

    members.crash("m2", gone=False)
    with pytest.raises(InstallerError, match="m2 has no data, and m1, m4 have data of a cluster that is in use"):
        members.plan("m1", "m2", "m4")
    members.converge("m1", "m2", "m4", again="m2")
    assert listed(members, "m1") == {"m1", "m2", "m4"}
    assert members.value("m2") == "b25l"


def test_a_member_that_a_first_start_did_not_get_to_is_started(members: Changing) -> None:
    desired = members.wanted("m1", "m2", "m3")
    for name in ("m1", "m2"):
        members.confs[name] = conf(desired, name)
        (members.folder / name / "etcd.conf").write_bytes(members.confs[name])
        members.launch(name)
    until = time.monotonic() + 40
    while members.ask("m1", "kv/range", {"key": "AA=="}).get("header") is None:
        assert time.monotonic() < until
    members.put("m1", "b25l")
    members.converge("m1", "m2", "m3")
    assert listed(members, "m1") == {"m1", "m2", "m3"}
    assert members.value("m3") == "b25l"
    assert not [change for change in members.plan("m1", "m2", "m3").changes if members.does(change)]


def test_what_would_cost_the_quorum_is_refused_and_not_a_member_changes(members: Changing) -> None:
    begin(members, "m1", "m2", "m3")
    members.crash("m3", gone=True)
    members.dead.remove("m3")
    for names in (("m1", "m2", "m3", "m4"), ("m1", "m3")):
        with pytest.raises(InstallerError):
            members.plan(*names)
    assert listed(members, "m1") == {"m1", "m2", "m3"}
