"""Everything that reads the words of a host: it gives a value, or raises `Malformed`, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from k8s_installer import preflight, status
from k8s_installer.cli.console import _Screen
from k8s_installer.engine import lease
from k8s_installer.errors import InputError, TransportError
from k8s_installer.host import gates, observe, perform, placed, upload, yum
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.resources import (
    Check,
    Gate,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    Original,
    Placed,
    Ref,
    Seen,
    SeenRecord,
    Setting,
)
from k8s_installer.planning import planfile, records
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan
from k8s_installer.report import preflight as preflight_report
from k8s_installer.report import status as status_report
from k8s_installer.report.text import change_words
from k8s_installer.transport.exchange import Feed, Lines
from k8s_installer.transport.hostkeys import KnownHosts
from k8s_installer.untrusted.answers import Malformed, at
from k8s_installer.untrusted.visible import _HIDDEN, json_text, visible
from k8s_installer.verify import api, names, objects, reach
from tests.unit.clusters import cluster
from tests.unit.example import CONFIG, DROP_IN, KEY, desired
from tests.unit.test_preflight import NEEDS

Run = Callable[[bytes], None]

SETTINGS = (
    "selinux",
    "swap",
    "user kube",
    "image lab/pause:1",
    "firewalld-port 6443/tcp",
    "hosts-file",
    "addons",
    "node n1",
)
DESIRED: dict[Ref, DesiredResource] = dict(desired()) | {
    Ref("m1", Kind.SETTING, name): DesiredResource(Ref("m1", Kind.SETTING, name), Setting("off"), "host", (), "a test")
    for name in SETTINGS
}
LEAVES = Leaves("kubelet", ("/var/lib/kubelet",), chains=("KUBE-.+",))
WANTED = [
    *(item for ref, item in DESIRED.items() if ref.host == "m1"),
    records.question("m1"),
    DesiredResource(Ref("m1", Kind.LEFTOVERS, "kubelet"), NoLeftovers(LEAVES), "kubelet", (), "a test", leaving=True),
    DesiredResource(Ref("m1", Kind.FILE, "/etc/motd"), Original(), "host", (), "a test", leaving=True),
]
CLUSTER = cluster()
SUM = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

ENTRIES = (
    Placed(Kind.FILE, "/etc/motd", "host", "nodes", ("kubelet", "docker"), sha256=SUM, secret=True),
    Placed(Kind.UNIT, "kubelet", "kubelet", "nodes"),
    Placed(Kind.UNIT, "docker", "docker", "nodes", before="active enabled"),
    Placed(Kind.PACKAGE, "socat", "kubelet", came_with=("kubelet",)),
    Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=LEAVES),
    *(Placed(Kind.SETTING, name, "host", before="none") for name in SETTINGS),
)
RECORDED = "\n".join(map(placed.line, ENTRIES))
OBSERVED = f"""\
clock 1700000100.500000000 100.25
file 81a4 root:domain users:0:1234 1700000000.000000000 2049:131:2048:1700000000.000000000 {CONFIG}
file 8180 kube:kube:997:995 1700000000.000000000 2049:132:2048:1700000000.000000000 {KEY}
file 41ed root:root:0:0 1700000000.000000000 2049:133:2048:1700000000.000000000 {DROP_IN}
file 81a4 root:root:0:0 1690000000.000000000 2049:134:2048:1690000000.000000000 /var/lib/rpm/Packages
{SUM}  {CONFIG}
{SUM} *{KEY}
content {CONFIG} aGVsbG8K
rpm kubernetes-master 1.20.2 2.el7.centos 1690000000
package kubernetes-node is not installed
setting off off swap
setting permissive enforcing selinux
setting none none hosts-file
record new {placed.PATH}
{RECORDED}
original /etc/motd {SUM}
kept /etc/motd aGVsbG8K
left kubelet /var/lib/kubelet
units
Id=kube-apiserver.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=812
ExecMainStartTimestampMonotonic=50250000
NeedDaemonReload=no

Id=ntpd.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled
MainPID=0
ExecMainStartTimestampMonotonic=0
NeedDaemonReload=no
end-of-observation
"""
STANDING = f"""\
gate 0 ok
gate 0 status 200
gate 0 ActiveState=active
gate 0 MainPID=812
touched 1700000000.0000000000 1700000000.0000000000 {CONFIG}
session alice    pts/0        192.0.2.9        Sun Mar  1 10:00:00 2026 - Sun Mar  1 11:00:00 2026  (01:00)
session bob      tty1         0.0.0.0          Sun Mar  1 10:00:00 2026 - crash                     (1+02:00)
session carol    pts/1        192.0.2.9        Sun Mar  1 10:00:00 2026   still logged in
{OBSERVED}"""
PREFLIGHT = """\
clock 1700000100.500000000
os ID="centos"
os VERSION_ID="7"
os PRETTY_NAME="CentOS Linux 7 (Core)"
systemd 219
kernel 3.10.0-1160.el7.x86_64
machine x86_64
memory     3880000 kB
cpus 2
swap /dev/dm-1                               partition\t2097148\t0\t-2
hostname m1
resolves
id machine-id 0123456789abcdef0123456789abcdef
id boot_id 6f9619ff-8b86-d011-b42d-00cf4fc964ff
address 2: eth0    inet 10.77.0.11/24 brd 10.77.0.255 scope global eth0
enforcing
no-module br_netfilter
active firewalld
daemon-json storage-driver
space /var /dev/sda1 41921540 1510120 40411420 4% /
inodes /var /dev/sda1 20970992 51215 20919777 1% /
data /var/lib/etcd /var/lib/etcd/member
listen LISTEN 0 128 *:6443 *:* users:(("haproxy",pid=812,fd=5))
pid 812 haproxy.service
rpm docker 1.13.1
sync 91000 bytes (91 kB) copied, 0.02 s, 4.5 MB/s
reach 10.77.0.11 2379 1 Connection refused
reach 10.77.0.12 2379 124 timed out
yum-status 0
yum etcd.x86_64            3.3.11-2.el7.centos            extras
end-of-preflight
"""
POD = {
    "kind": "PodList",
    "items": [
        {
            "metadata": {"name": "web-1", "uid": "u-1"},
            "spec": {"nodeName": "n1"},
            "status": {
                "phase": "Running",
                "podIP": "10.244.0.7",
                "conditions": [{"type": "Ready", "status": "False", "message": "not yet"}],
                "containerStatuses": [{"containerID": "docker://0123456789ab", "state": {"waiting": {"reason": "X"}}}],
            },
        }
    ],
}
NODE = {
    "metadata": {"name": "n1"},
    "spec": {"taints": [{"effect": "NoSchedule"}]},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "nodeInfo": {"kubeletVersion": "v1.20.2"},
    },
}
LEASE = {
    "metadata": {
        "annotations": {
            "control-plane.alpha.kubernetes.io/leader": '{"holderIdentity": "m1", "renewTime": "2026-03-01T10:00:00Z"}'
        }
    },
    "spec": {"holderIdentity": "m1", "renewTime": "2026-03-01T10:00:00.000000Z"},
}
SERVICE = {"spec": {"clusterIP": "10.254.0.9", "ports": [{"nodePort": 30080}]}}
EVENTS = {
    "items": [{"type": "Warning", "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "Failed", "message": "no"}]
}
SUBSETS = {"subsets": [{"addresses": [{"ip": "10.244.0.7"}]}]}
MEMBERS = {"header": {"cluster_id": "1"}, "members": [{"name": "m1", "peerURLs": ["https://10.77.0.11:2380"]}]}
JSONS = [MEMBERS, POD, {"items": [NODE]}, NODE, LEASE, SERVICE, EVENTS, SUBSETS, {"health": "true"}]


def text(data: bytes) -> str:
    """As the transport gives it."""
    return data.decode(errors="replace")


def _gate_answers() -> list[bytes]:
    bodies = [*map(json.dumps, JSONS), "ok", "curl: (7) Failed connect"]
    unit = "ActiveState=active\nSubState=running\nMainPID=12\nExecMainStartTimestampMonotonic=5000000\n"
    return [f"{body}\nstatus 200\n{unit}Clock=1700000000.5 60.00\n".encode() for body in bodies]


def _shown(words: str) -> None:
    """Whatever was understood can be put on a screen, and nothing hidden is left in it."""
    screen = io.StringIO()
    _Screen(file=screen, force_terminal=False, width=100, highlight=False).print(words, markup=False)
    assert not _HIDDEN.search(screen.getvalue())
    assert not _HIDDEN.search(json_text({"words": words}))
    assert json.loads(json_text({"words": words})) == {"words": words}
    assert not _HIDDEN.search(visible(words))
    visible(words).encode()


def run_observe(data: bytes) -> None:
    seen = observe.parse(text(data), WANTED)
    _shown(repr(seen))


def run_remember(data: bytes) -> None:
    observe.script(WANTED, observe.remember(text(data)))


def run_placed(data: bytes) -> None:
    """Whatever a record has can be planned, asked for and shown; it says nothing of another host."""
    found = placed.parse(text(data).split("\n"))
    seen: dict[Ref, Seen] = {records.question("m1").ref: SeenRecord(found)}
    going = with_leaving({}, {}, seen, ["m1"], None, master="m2", data=True)
    assert {ref for ref in going if ref.host != "m1"} <= {Ref("m2", Kind.SETTING, "node m1")}
    observe.script([item for item in going.values() if item.ref.host == "m1"])
    seen |= dict.fromkeys(going, Missing.ABSENT)
    wanted = with_adopted(going, seen)
    plan = records.recording(make_plan(wanted, seen), wanted, seen)
    perform.script([(number, one) for number, one in enumerate(plan.changes) if one.ref.host == "m1"])
    _shown(repr(plan))
    _shown("\n".join(map(change_words, plan.changes)))


def run_status(data: bytes) -> None:
    found = status.assess(DESIRED, {"m1": status.parse(text(data), WANTED), "n1": TransportError("n1", text(data))})
    status_report.data(found)
    _Screen(file=io.StringIO(), highlight=False).print(status_report.table(found, Path("x.yaml")))


def run_preflight(data: bytes) -> None:
    answers = preflight.parse(text(data), 1700000000.0)
    found = preflight.assess(CLUSTER, NEEDS, dict.fromkeys(NEEDS, answers))
    preflight_report.data(found)
    _Screen(file=io.StringIO(), highlight=False).print(preflight_report.lines(found, Path("x.yaml")))


def run_gates(data: bytes) -> None:
    for check in Check:
        expects = ("m1=https://10.77.0.11:2380",) if check is Check.ETCD_MEMBERS else ()
        _shown(gates.judge(Gate("https://127.0.0.1:2379", check, "kubelet", expects=expects), text(data)).words)


def run_account(data: bytes) -> None:
    account = perform.Account([1, 2, 3])
    for line in text(data).split("\n"):
        account.hear(line)
    assert account.done <= {1, 2, 3}


def run_evidence(data: bytes) -> None:
    said = perform.evidence(text(data))
    assert len(said) < perform.LARGEST_EVIDENCE + 100
    yum.hint(said)
    upload.evidence(text(data), text(data))


def run_lock(data: bytes) -> None:
    answer = lease.parse(text(data))
    if answer is not None:
        _shown(lease.LockHeld("m1", answer).message)


def run_api(data: bytes) -> None:
    for answer in api.parse(text(data)):
        _shown(answer.words)


def run_objects(data: bytes) -> None:
    answer = api.HttpReply(200, text(data))
    found = objects.pods(answer.json)
    words = [*objects.pod_evidence(found), *objects.event_evidence(answer.json), *objects.spread(found)]
    words += [*map(str, objects.nodes(answer.json)), *objects.endpoints(answer.json), *objects.named(answer.json)]
    words += [
        objects.cluster_ip(answer.json),
        str(objects.node_port(answer.json)),
        names.why_not(at(answer.json, "status")),
    ]
    _shown("\n".join(words))


def run_names(data: bytes) -> None:
    names.parse(text(data))
    reach.parse(text(data), ["web-1"])


def run_transport(data: bytes) -> None:
    feed = Feed(b"script", io.BytesIO(b"0123456789"))
    lines = Lines(b"MARK", feed.ask)
    for start in range(0, len(data), 7):
        lines.feed(data[start : start + 7])
    lines.finish()
    feed.piece(10)
    _shown(lines.text)


def run_known_hosts(data: bytes) -> None:
    KnownHosts.parse(text(data)).keys("[127.0.0.1]:22")


def run_saved(data: bytes) -> None:
    with suppress(InputError):
        planfile.load(text(data), "plan.json")


TARGETS: dict[str, tuple[Run, list[bytes]]] = {
    "observe": (run_observe, [OBSERVED.encode()]),
    "remember": (run_remember, [OBSERVED.encode()]),
    "placed": (run_placed, [RECORDED.encode()]),
    "status": (run_status, [STANDING.encode()]),
    "preflight": (run_preflight, [PREFLIGHT.encode()]),
    "gates": (run_gates, _gate_answers()),
    "account": (run_account, [b"::k8s-installer:: begin 1\n::k8s-installer:: done 1\n::k8s-installer:: begin 2\n::k8s-installer:: failed 2\nwhy\n"]),
    "evidence": (run_evidence, [b"::k8s-installer:: failed 2\nwhy\n", b"send 12\nno room\n"]),
    "lock": (run_lock, [b"::k8s-installer-lock:: held 1700000000 1700000000 1700000060 12 token-1 alice@laptop/3f2a91\n"]),
    "api": (run_api, [b"eyJtZXNzYWdlIjogIm5vIn0KNDA0\n", b"b2sKMjAw\neyJhIjogMX0KMjAw\n"]),
    "objects": (run_objects, [json.dumps(one).encode() for one in JSONS]),
    "names": (run_names, [b"resolv nameserver 10.254.0.10\nname a.b\nsaid Name: a.b\nsaid Address 1: 10.0.0.1 a.b\n", b"answer web-1\nfailure no\n"]),
    "transport": (run_transport, [b"banner\nMARK\nsend 3\nout\n"]),
    "known hosts": (run_known_hosts, [b"[127.0.0.1]:22 ssh-ed25519 AAAA\n|1|AAAA|BBBB ssh-rsa AAAA\n@revoked *.a,!b ssh-rsa AAAA\n"]),
    "saved plan": (run_saved, [json.dumps({"format": 1, "cluster": "lab", "digest": "x", "lines": ["a"]}).encode()]),
}  # fmt: skip
ALLOWED: tuple[type[Exception], ...] = (Malformed,)
