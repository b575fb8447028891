"""Real etcd on loopback with the very files and certificates of an inventory: what may be started beside data."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from k8s_installer import inventory, pki, profiles
from k8s_installer.desired import Desired, check, desire, etcd
from k8s_installer.errors import InstallerError, LabError
from k8s_installer.host import gates, observe
from k8s_installer.lab.rpms import payload
from k8s_installer.lab.state import default_cache
from k8s_installer.model.resources import Check, Data, File, Gate, Kind, Ref, Seen, SeenFile, SeenUnit
from k8s_installer.planning.etcd.config import environment
from k8s_installer.planning.etcd.facts import further
from k8s_installer.planning.etcd.members import require_members
from k8s_installer.planning.select import of_components, on_members
from k8s_installer.render import Renderer
from tests.unit.clusters import leaves

CONF = "/etc/etcd/etcd.conf"
NET = f"127.77.{os.getpid() % 250}"  # two runs on one machine have addresses of their own
KEY = "L3JlZ2lzdHJ5L3dlYg=="  # /registry/web


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """etcd 3.3.25, which the lab's hosts run, or the machine's own."""
    del tmp_path_factory
    there = shutil.which("etcd")
    if there is not None:
        return Path(there)
    try:
        return payload(default_cache(), lambda _: None) / "etcd-server/usr/bin/etcd"
    except LabError as error:
        pytest.skip(f"there is no etcd here, and none can be fetched: {error}")


@dataclass
class Members:
    """Hosts of etcd that are processes here, each with an address and folders of its own."""

    program: Path
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    confs: dict[str, bytes] = field(default_factory=dict)  # each host's etcd.conf, as its etcd was started with it

    def desired(self, *names: str, joining: str = "", data: str = "data") -> Desired:
        hosts = "".join(
            f"  {name}: {{address: {self.address(name)}, roles: [{roles}], components: {{etcd: {{args: {args}}}}}}}\n"
            for name in names
            for roles in ["etcd, master" if name == "m1" else "etcd"]
            for state in [", initial-cluster-state: existing" if name == joining else ""]
            for args in [f"{{data-dir: {self.folder / name / data}{state}}}"]
        )
        text = (
            f'cluster: {{name: c, version: "1.20.2"}}\nhosts:\n{hosts}  n1: {{address: 127.0.77.99, roles: [node]}}\n'
        )
        cluster = inventory.parse(text, self.folder / "cluster.yaml")
        keys = pki.ensure(self.folder / "pki", leaves(cluster))
        wanted = desire(cluster, profiles.profile_of(cluster), keys, Renderer())
        for name in names:
            (self.folder / name / "pki").mkdir(parents=True, exist_ok=True)
            for ref, item in wanted.items():
                if ref.host == name and ref.name.startswith("/etc/etcd/pki/") and isinstance(item.resource, File):
                    (self.folder / name / "pki" / Path(ref.name).name).write_bytes(item.resource.content)
        return wanted

    def address(self, name: str) -> str:
        return f"{NET}.{name[1:]}"

    def start(self, wanted: Desired, *names: str, by_hand: bytes = b"") -> None:
        """As systemd would, with etcd.conf as its environment; its second listener is the machine's own loopback."""
        for name in names:
            self.confs[name] = by_hand or conf(wanted, name)
            text = self.confs[name].decode().replace(",https://127.0.0.1:2379", "")
            env = environment(text.replace("/etc/etcd/pki", str(self.folder / name / "pki")).encode())
            with (self.folder / name / "log").open("ab") as log:
                self.running[name] = subprocess.Popen([self.program], env=env, stdout=log, stderr=log)

    def stop(self, *names: str) -> None:
        for name in names:
            process = self.running.pop(name)
            process.terminate()
            process.wait()

    def ask(self, name: str, path: str, data: object, seconds: int = 5) -> dict[str, object]:
        """One call of etcd's own API, under the prefix that this version knows."""
        keys = [str(self.folder / "m1/pki" / file) for file in ("ca.crt", "healthcheck.crt", "healthcheck.key")]
        for prefix in ("v3", "v3beta"):
            argv = [
                "curl",
                "-sS",
                "-m",
                str(seconds),
                "--cacert",
                keys[0],
                "--cert",
                keys[1],
                "--key",
                keys[2],
                "-d",
                json.dumps(data),
            ]
            done = subprocess.run(
                [*argv, f"https://{self.address(name)}:2379/{prefix}/{path}"],
                capture_output=True,
                text=True,
                check=True,
            )
            if done.stdout.startswith("{"):
                break
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def add(self, name: str) -> None:
        """`etcdctl member add`; etcd refuses until all members have been connected for some seconds."""
        until = time.monotonic() + 20
        while "member" not in self.ask(
            "m1", "cluster/member/add", {"peerURLs": [f"https://{self.address(name)}:2380"]}
        ):
            assert time.monotonic() < until
            time.sleep(0.5)

    def put(self, name: str, value: str) -> None:
        self.ask(name, "kv/put", {"key": KEY, "value": value})

    def value(self, name: str) -> str:
        """The key's value by that member's own data, without asking the others."""
        found = self.ask(name, "kv/range", {"key": KEY, "serializable": True}).get("kvs", [])
        assert isinstance(found, list)
        return str(found[0]["value"]) if found else ""

    def gate(self, wanted: Desired, name: str, check: Check) -> gates.GateAnswer:
        """Ask a gate of a host with its own script; only what is the machine's here is the member's instead."""
        (gate,) = [
            item.resource
            for ref, item in wanted.items()
            if ref.host == name and isinstance(item.resource, Gate) and item.resource.check is check
        ]
        folder = str(self.folder / name / "pki")
        here = dataclasses.replace(
            gate,
            url=gate.url.replace("127.0.0.1", self.address(name)),
            **{part: getattr(gate, part).replace("/etc/etcd/pki", folder) for part in ("ca", "cert", "key")},
        )
        output = subprocess.run(["/bin/sh"], input=gates.script(here, 2), capture_output=True, text=True, check=False)
        return gates.judge(here, output.stdout)

    def hold(self, wanted: Desired, *names: str) -> str:
        """Wait until both gates of all these hosts hold; what does not after 20 seconds."""
        until, said = time.monotonic() + 20, ["nothing was asked"]
        while said and time.monotonic() < until:
            answers = [
                self.gate(wanted, name, check) for name in names for check in (Check.ETCD_HEALTH, Check.ETCD_MEMBERS)
            ]
            said = [answer.words for answer in answers if not answer.holds]
        return "\n".join(said)

    def seen(self, wanted: Desired, *, used: bool) -> dict[Ref, Seen]:
        """What a look at the hosts gives: the data asked by the real script, files as they were started with."""
        found = logs(wanted)
        for name, content in self.confs.items():
            sha256 = File(content).sha256
            found[Ref(name, Kind.FILE, CONF)] = SeenFile(sha256, 0o644, "root", "root", 0.0, content)
            active = "active" if name in self.running else "inactive"
            found[Ref(name, Kind.UNIT, "etcd")] = SeenUnit("loaded", active, "-", True, 1, 1.0, False)
        api = SeenUnit("loaded", "active" if used else "inactive", "-", used, 1, 1.0, False)
        found[Ref("m1", Kind.UNIT, "kube-apiserver")] = api
        return {**found, **logs(further(wanted, found, wanted))}


def logs(wanted: Desired) -> dict[Ref, Seen]:
    """What the real script says of the folders of logs."""
    data = [item for item in wanted.values() if isinstance(item.resource, Data)]
    script = observe.script(data)
    output = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=True).stdout
    return observe.parse(output, data)


@pytest.fixture
def members(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Members]:
    monkeypatch.setattr(etcd, "_SYSTEM", ())  # its data is below /tmp here, which an inventory may not say
    found = Members(program, tmp_path)
    yield found
    found.stop(*list(found.running))


def conf(wanted: Desired, name: str) -> bytes:
    file = wanted[Ref(name, Kind.FILE, CONF)].resource
    assert isinstance(file, File)
    return file.content


def refused(members: Members, wanted: Desired, *, used: bool = True) -> str:
    with pytest.raises(InstallerError) as caught:
        require_members(wanted, members.seen(wanted, used=used))
    return caught.value.message


def sums(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_growing_from_one_member_to_three_by_an_edit_is_refused_and_not_a_byte_is_lost(members: Members) -> None:
    one = members.desired("m1")
    members.start(one, "m1")
    assert members.hold(one, "m1") == ""
    members.put("m1", "cnVubmluZw==")
    three = members.desired("m1", "m2", "m3")
    words = refused(members, three)
    assert f"adds m2=https://{NET}.2:2380, m3=https://{NET}.3:2380" in words
    assert "m2 has no data" in words
    assert members.value("m1") == "cnVubmluZw=="
    members.stop("m1")
    before = sums(members.folder / "m1/data")
    refused(members, three)
    assert sums(members.folder / "m1/data") == before
    members.start(one, "m1")
    assert members.hold(one, "m1") == ""
    assert members.value("m1") == "cnVubmluZw=="
    require_members(one, members.seen(one, used=True))


def test_members_in_two_clusters_are_healthy_and_their_gates_do_not_hold(members: Members) -> None:
    """What would happen without the refusal: the order in which a plan starts a first member and restarts an old one."""
    one, three = members.desired("m1"), members.desired("m1", "m2", "m3")
    members.start(one, "m1")
    assert members.hold(one, "m1") == ""
    members.put("m1", "cnVubmluZw==")
    members.start(three, "m2", "m3")
    members.stop("m1")
    members.start(three, "m1")
    until = time.monotonic() + 20
    while not all(members.gate(three, name, Check.ETCD_HEALTH).holds for name in ("m1", "m2", "m3")):
        assert time.monotonic() < until
    assert [members.value(name) for name in ("m1", "m2", "m3")] == ["cnVubmluZw==", "", ""]
    words = {name: members.gate(three, name, Check.ETCD_MEMBERS) for name in ("m1", "m2", "m3")}
    assert not any(answer.holds for answer in words.values())
    assert f"not in its member list: m2=https://{NET}.2:2380, m3=https://{NET}.3:2380" in words["m1"].words
    assert all("2 separate clusters" in answer.words for answer in words.values())


def test_a_first_start_that_was_cut_off_resumes(members: Members) -> None:
    three = members.desired("m1", "m2", "m3")
    members.start(three, "m1")
    until = time.monotonic() + 20
    while not list(members.folder.glob("m1/data/member/wal/*.wal")):
        assert time.monotonic() < until
        time.sleep(0.05)
    seen = members.seen(three, used=False)
    assert [isinstance(seen[ref], SeenFile) for ref in three if ref.kind is Kind.DATA] == [True, False, False]
    for part in (three, of_components(three, {"etcd"}), on_members(three, {"m3"})):
        require_members(three, seen, part)
    members.start(three, "m2", "m3")
    assert members.hold(three, "m1", "m2", "m3") == ""


def test_members_are_added_by_hand_and_a_lost_one_is_replaced_as_the_guide_says(members: Members) -> None:
    """The steps of docs/etcd.md; `apply` starts a replaced member, for its `initial-cluster` is that of the cluster."""
    one, three = members.desired("m1"), members.desired("m1", "m2", "m3")
    members.start(one, "m1")
    assert members.hold(one, "m1") == ""
    members.put("m1", "cnVubmluZw==")
    for name, line in (("m2", f",m3=https://{NET}.3:2380"), ("m3", "")):
        members.add(name)
        by_hand = conf(three, name).replace(line.encode(), b"").replace(b'STATE="new"', b'STATE="existing"')
        members.start(three, name, by_hand=by_hand)
        until = time.monotonic() + 20
        while not members.gate(three, name, Check.ETCD_HEALTH).holds:
            assert time.monotonic() < until
    assert "m1 has etcd's data" in refused(members, three)
    members.confs |= {name: conf(three, name) for name in ("m1", "m2", "m3")}
    require_members(three, members.seen(three, used=True))
    assert members.hold(three, "m1", "m2", "m3") == ""

    members.stop("m3")
    shutil.rmtree(members.folder / "m3/data")
    assert "this member has lost its data" in refused(members, three)
    listed = members.ask("m1", "cluster/member/list", {})["members"]
    assert isinstance(listed, list)
    (lost,) = [member["ID"] for member in listed if member["name"] == "m3"]
    members.ask("m1", "cluster/member/remove", {"ID": lost})
    members.add("m3")
    joining = members.desired("m1", "m2", "m3", joining="m3")
    require_members(joining, members.seen(joining, used=True))
    members.start(joining, "m3")
    assert members.hold(joining, "m1", "m2", "m3") == ""
    assert members.value("m3") == "cnVubmluZw=="
    require_members(three, members.seen(three, used=True))


def test_an_edit_does_not_take_etcd_to_a_copy_of_its_data_and_a_move_by_hand_does(members: Members) -> None:
    here = members.desired("m1")
    members.start(here, "m1")
    assert members.hold(here, "m1") == ""
    members.put("m1", "b2xk")
    members.stop("m1")
    shutil.copytree(members.folder / "m1/data", members.folder / "m1/copy")
    members.start(here, "m1")
    assert members.hold(here, "m1") == ""
    members.put("m1", "bmV3")
    copy = members.desired("m1", data="copy")
    assert "it would restart with" in refused(members, copy)
    members.stop("m1")
    assert f"m1 still has etcd's log in {members.folder}/m1/data/member/wal" in refused(members, copy)
    # what would happen
    started_with = dict(members.confs)
    members.start(copy, "m1")
    assert members.hold(copy, "m1") == ""
    assert members.value("m1") == "b2xk"
    members.stop("m1")
    members.confs = started_with
    shutil.rmtree(members.folder / "m1/copy")
    (members.folder / "m1/data").rename(members.folder / "m1/copy")
    require_members(copy, members.seen(copy, used=True))
    members.start(copy, "m1")
    assert members.hold(copy, "m1") == ""
    assert members.value("m1") == "bmV3"


def test_a_member_writes_to_its_log_whenever_it_starts(members: Members) -> None:
    """Also one that is no leader, and has nothing to write: so an older log is not that of what runs."""
    wanted = members.desired("m1", "m2", "m3")
    members.start(wanted, "m1", "m2", "m3")
    assert members.hold(wanted, "m1", "m2", "m3") == ""
    for name in ("m1", "m2", "m3"):
        members.stop(name)
        began = time.time()
        members.start(wanted, name)
        assert members.hold(wanted, "m1", "m2", "m3") == ""
        (log,) = [found for ref, found in logs(wanted).items() if ref.host == name]
        assert isinstance(log, SeenFile)
        assert log.modified_at >= began - 0.05


def peers_answer(members: Members, certificate: str) -> str:
    """The status with which m1's port for members answers who has this certificate; 000 where TLS refuses it."""
    pki_of = members.folder / "m1/pki"
    argv = [
        "curl",
        "-s",
        "--http1.1",
        "-m",
        "5",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--cacert",
        str(pki_of / "peer-ca.crt"),
    ]
    keys = ["--cert", str(pki_of / f"{certificate}.crt"), "--key", str(pki_of / f"{certificate}.key")]
    url = f"https://{members.address('m1')}:2380/members"
    return subprocess.run([*argv, *keys, url], capture_output=True, text=True, check=False).stdout


def test_a_clients_certificate_does_not_open_the_port_of_members(members: Members) -> None:
    wanted = members.desired("m1", "m2", "m3")
    members.start(wanted, "m1", "m2", "m3")
    assert members.hold(wanted, "m1", "m2", "m3") == ""
    assert [peers_answer(members, name) for name in ("peer", "healthcheck")] == ["200", "000"]


def test_members_from_before_the_peers_ca_change_over_one_at_a_time(members: Members) -> None:
    names = ("m1", "m2", "m3")
    members.desired(*names)
    for path in (*members.folder.glob("pki/etcd-peer-ca.*"), *members.folder.glob("pki/*/etcd-peer.*")):
        path.unlink()
    (members.folder / "pki/record.json").unlink()
    wanted = members.desired(*names)
    old = {b"peer-ca.crt": b"ca.crt", b"peer.crt": b"etcd.crt", b"peer.key": b"etcd.key"}
    for name in names:
        text = conf(wanted, name)
        for new, before in old.items():
            text = text.replace(b"/" + new, b"/" + before)
        assert text != conf(wanted, name)
        members.start(wanted, name, by_hand=text)
    assert members.hold(wanted, *names) == ""
    members.put("m1", "b25l")
    for name in names:
        members.stop(name)
        members.start(wanted, name)
        assert members.hold(wanted, *names) == ""
        assert [members.value(other) for other in names] == ["b25l"] * 3


URLS = [("listen", "client", 2379), ("advertise", "client", 2379), ("listen", "peer", 2380), ("initial-advertise", "peer", 2380)]  # fmt: skip
FIRST_STARTS = [
    ("/data/etcd", "/wal/etcd", ""),
    ("/data/etcd", "/data/wal", ""),
    ("/data/etcd", "/data/etcd/wal", ""),
    ("/data/etcd", "/data/etcd/member/wal", ""),
    ("/data/etcd", "/wal", "permission denied"),
    ("/data/etcd", "/data/etcd", "file already exists"),
    ("/data/etcd", "/data/etcd/member", "file already exists"),
    ("/data/etcd", "/data/etcd/member/snap", "file already exists"),
    ("/data/etcd", "/data", "wal: file not found"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="the folders are made by root, for another user")
@pytest.mark.parametrize(("data", "log", "trouble"), FIRST_STARTS)
def test_etcd_starts_for_the_first_time_in_the_folders_of_its_drop_in_or_they_are_refused(
    program: Path, data: str, log: str, trouble: str
) -> None:
    """As a user who may write nothing else; what validation refuses, etcd refuses in the same folders."""
    text = (
        'cluster: {name: c, version: "1.20.2"}\nhosts:\n  m1: {address: 127.0.77.1, roles: [etcd, master]}\n'
        f"  n1: {{address: 127.0.77.99, roles: [node]}}\ncomponents: {{etcd: {{args: {{data-dir: {data}, wal-dir: {log}}}}}}}\n"
    )
    cluster = inventory.parse(text, Path("/srv/cluster.yaml"))
    profile = profiles.profile_of(cluster)
    assert bool(check(cluster, profile)) == bool(trouble)
    names = {"header": "", "host": cluster.hosts[0]}
    drop_in = Renderer().file("etcd/folders.conf.j2", names, "m1").decode()
    (made,) = re.findall(r"^ExecStartPre=(.*)", drop_in, re.MULTILINE)
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        shutil.copy(program, f"{root}/etcd")
        argv = ["nobody" if word == "etcd" else f"{root}{word}" if word[:2] in {"/d", "/w"} else word for word in made.split() if word != "/"]  # fmt: skip
        argv[argv.index("-g") + 1] = str(grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name)
        subprocess.run(argv, check=True)
        urls = [f"--{who}-{what}-urls=http://{NET}.9:{port}" for who, what, port in URLS]
        process = subprocess.Popen(
            [f"{root}/etcd", "--name=a", f"--initial-cluster=a=http://{NET}.9:2380", *urls, f"--data-dir={root}{data}", f"--wal-dir={root}{log}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, user="nobody", extra_groups=(),
        )  # fmt: skip
        said = ""
        with process:
            for line in process.stdout or ():
                said += line
                if "ready to serve client requests" in line:
                    process.terminate()
        assert (trouble or "ready to serve client requests") in said
        assert ("ready to serve" in said) == (not trouble)
