"""Pictures: what they show, that no text is covered, and that names cannot be anything but names."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.desired.connections import connections
from k8s_installer.drawing import Arrow, Box, Drawing, Lane, data, dot, mermaid, svg
from k8s_installer.drawing import cluster as of_cluster
from k8s_installer.drawing import plan as of_plan
from k8s_installer.drawing.layout import CHAR, LINE, Layout, Placed, Point, layout
from k8s_installer.drawing.wording import columns, shortened, wrapped
from k8s_installer.inventory import Cluster
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.turns import Batch
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, placeholder

MANY = "\n" + "".join(
    f"  {role[0]}{number}: {{address: 10.77.{part}.{number}, roles: [{role}]}}\n"
    for part, (role, count) in enumerate({"etcd": 3, "master": 3, "node": 40}.items())
    for number in range(1, count + 1)
)
EDIT = "components:\n  kubelet: {args: {node-status-max-images: 7}}\n  kube-apiserver: {args: {profiling: false}}\n"
# of hosts, from logs: whatever others may write
HOSTILE = (
    '"]; click n0 href "javascript:alert(1)" %%{init: {"theme": "x"}}%%', "</text><script>alert(1)</script>", "a\\N\\l\\", "&lt;&#34;&amp;",
    "\x1b[2J\u202egnp.exe\ufffe\ud800\n--> x", "-->|end|", "}\n}\n", "日本語のとても長い名前がここにあります日本語のとても長い名前", "x" * 300, "`code` #quot; ${x}", "",
)  # fmt: skip


def hostile(*, tall: bool = False) -> Drawing:
    """Every text is one that could mean something to somebody."""
    boxes = [
        Box(text, f"lane{number % 2}", number // 3, (text, text), "outside", text)
        for number, text in enumerate(HOSTILE)
    ]
    arrows = [
        Arrow(one.id, other.id, HOSTILE[number % 11], ("tls", "plain", "local", "")[number % 4], one.id)
        for number, (one, other) in enumerate(zip(boxes, [*boxes[3:], *boxes[:3]], strict=True))
    ]
    lanes = (Lane("lane0", (HOSTILE[0], HOSTILE[1])), Lane("lane1"))
    return Drawing(HOSTILE[1], HOSTILE[0], lanes, tuple(boxes), tuple(arrows), tall, HOSTILE[:2])


def drawn(lab: Cluster) -> Drawing:
    profile = profiles.profile_of(lab)
    return of_cluster.drawing(lab, profile, connections(lab, profile))


def wants(lab: Cluster) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def first(lab: Cluster) -> Plan:
    absent: dict[Ref, Seen] = dict.fromkeys(answers(wants(lab)), Missing.ABSENT)
    return make_plan(wants(lab), absent)


def edit(batch: str = "25%") -> tuple[Cluster, Plan]:
    """Forty nodes and three masters that an edit restarts."""
    lab = cluster(topology=MANY, more=EDIT)
    return lab, make_plan(wants(lab), answers(wants(cluster(topology=MANY))), Batch.parse(batch))


def pictures() -> dict[str, Drawing]:
    made = {f"{version}-{security}-{topology}-{network}": drawn(cluster(version, security, topology, network=network))
            for version, security in (MODES[0], MODES[-1]) for topology in TOPOLOGIES for network in ("routes", "flannel")}  # fmt: skip
    made["many"] = drawn(cluster(topology=MANY, network="flannel"))
    for topology in TOPOLOGIES:
        lab = cluster(topology=topology)
        made[f"plan-{topology}"] = of_plan.drawing(lab, first(lab))
    made["plan-edit"] = of_plan.drawing(*edit())
    return {**made, "hostile": hostile(), "hostile-tall": hostile(tall=True)}


PICTURES = pictures()
every_picture = pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


def texts(placed: Layout) -> list[Rectangle]:
    """Where the letters of all texts are."""
    found = [
        (at.x + 10, top + LINE * number + 2, at.x + 10 + columns(line) * CHAR, top + LINE * (number + 1) - 2)
        for at, top in ((at, at.y + 10) for _, at in placed.lanes)
        for number, line in enumerate(at.lines)
    ]
    found += [
        (at.x + 10, at.y + (at.height - LINE * len(at.lines)) / 2 + LINE * number + 2, at.x + 10 + columns(line) * CHAR, at.y + (at.height + LINE * len(at.lines)) / 2 - 2)
        for _, at in placed.boxes
        for number, line in enumerate(at.lines[:1])
    ]  # fmt: skip
    return found + [
        (x, y - 10, x + columns(one.label) * CHAR * 11 / 12, y)
        for one in placed.routes
        for x, y in [one.at]
        if one.label
    ]


def rectangle(at: Placed) -> Rectangle:
    return at.x, at.y, at.x + at.width, at.y + at.height


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def line(begin: Point, end: Point) -> Rectangle:
    (x, y), (to_x, to_y) = begin, end
    return min(x, to_x) - 0.1, min(y, to_y) - 0.1, max(x, to_x) + 0.1, max(y, to_y) + 0.1


@every_picture
def test_no_text_lies_on_another_and_no_line_on_a_text_or_a_box(picture: Drawing) -> None:
    placed = layout(picture)
    words, boxes = texts(placed), [rectangle(at) for _, at in placed.boxes]
    assert not [pair for pair in combinations(words, 2) if overlap(*pair)]
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    inner = [(left + 1, top + 1, right - 1, bottom - 1) for left, top, right, bottom in boxes]
    for route in placed.routes:
        for begin, end in zip(route.points, route.points[1:], strict=False):
            assert begin[0] == end[0] or begin[1] == end[1]
            assert not [word for word in words + inner if overlap(line(begin, end), word)]


@every_picture
def test_everything_lies_inside_the_picture_and_every_text_in_its_box(picture: Drawing) -> None:
    placed = layout(picture)
    for left, top, right, bottom in (*texts(placed), *(rectangle(at) for _, at in placed.boxes)):
        assert left >= 0 <= top
        assert right <= placed.width
        assert bottom <= placed.height
    for _, at in placed.boxes:
        assert max(map(columns, at.lines), default=0) * CHAR <= at.width - 19.9
        assert len(at.lines) * LINE <= at.height - 19.9
    for route in placed.routes:
        assert all(0 <= x <= placed.width and 0 <= y <= placed.height for x, y in route.points)


@every_picture
def test_svg_is_xml_with_all_texts_and_without_anything_active(picture: Drawing) -> None:
    for alone in (True, False):
        text = svg(picture, "p1", alone=alone)
        root = ET.fromstring(text)  # noqa: S314 - ours
        space = "{http://www.w3.org/2000/svg}" if alone else ""
        tags = {element.tag.removeprefix(space) for element in root.iter()}
        assert tags <= {"svg", "title", "desc", "style", "rect", "g", "text", "polyline", "polygon"}
        assert ("style" in tags) is alone
        attributes = {name for element in root.iter() for name in element.attrib}
        assert not {name for name in attributes if name.startswith(("on", "style")) or "href" in name}
        assert root.attrib["aria-labelledby"] == "p1-title p1-text"
        assert "url(" not in text
        assert len(root.findall(f".//{space}polyline")) == len(picture.arrows)


def test_hostile_names_stay_names() -> None:
    picture = hostile()
    text = svg(picture)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    for form in (dot(picture), mermaid(picture)):
        assert "\x1b" not in form
        assert "\u202e" not in form
    body = re.sub(r'"(?:[^"\\]|\\.)*"', '""', dot(picture))  # what is no string
    assert set(re.findall(r"[^\s]+", body)) <= {
        "digraph", '""', "{", "}", "rankdir=LR;", "node", "[shape=box,", 'fontname=""];', "edge", '[fontname="",', "fontsize=10];", "subgraph",
        "cluster_0", 'label="";', 'fontname="";', "->", 'label="",', 'tooltip="",', 'style=""];', 'tooltip=""];', "style=dashed];", "style=dotted];", '[label="",',
        *(f"n{number}" for number in range(11)),
    }  # fmt: skip
    assert '"a\\\\N\\\\l\\\\"' in dot(picture)
    assert "&amp;lt;" in dot(picture)
    for row in mermaid(picture).splitlines()[2:]:
        assert re.fullmatch(r' +(subgraph g0\["[^"]*"\]|end|n\d+\(\["[^"]*"\]\)|n\d+ -->(\|"[^"]*"\|)? n\d+)', row)
    assert not set(mermaid(picture)) & set("%`{}$\\'!?*~")


def test_a_cluster_shows_who_connects_to_whom() -> None:
    picture = drawn(cluster(topology="etcd-apart", network="flannel"))
    assert picture.title == "lab: Kubernetes 1.20.2 on 6 hosts"
    assert [lane.lines[:2] for lane in picture.lanes] == [
        (), ("n1", "node"), ("m1, m2", "2 hosts: master"), ("e1 to e3", "3 hosts: etcd"),
    ]  # fmt: skip
    arrows = {(arrow.source, arrow.target, arrow.label) for arrow in picture.arrows}
    assert {
        ("node/kubelet", "master/kube-apiserver", "6443/tcp of m1, cert kubelet"),
        ("node/flannel", "etcd/flannel-etcd", "2389/tcp, cert flannel-etcd-client"),
        ("node/pods", "master/kube-apiserver", "6443/tcp, via 10.254.0.1:443"),
        ("node/kubelet", "node/docker", "docker.sock"),
        ("outside/clients", "node/kube-proxy", "30000-32767/udp"),
    } <= arrows
    about = next(
        arrow.about for arrow in picture.arrows if arrow.source == "node/kubelet" and arrow.label.startswith("6443")
    )
    assert about == (
        "kubelet on n1 connects to kube-apiserver on m1 at 6443/tcp (https). Watches the pods of its node and reports their state and the node's. "
        "The client shows the certificate kubelet (CN=system:node:HOST, O=system:nodes) of ca. "
        "The server shows the certificate apiserver (CN=kube-apiserver) of ca, verified with /etc/kubernetes/pki/ca.crt."
    )
    assert next(box.lines for box in picture.boxes if box.id == "etcd/etcd") == ("etcd", "peers: 2380/tcp")


def test_what_stays_on_a_host_leads_to_no_other_frame() -> None:
    hosts = "\n  m1: {address: 10.0.0.1, roles: [etcd, master]}\n  m2: {address: 10.0.0.2, roles: [master]}"
    picture = drawn(cluster(topology=f"{hosts}\n  n1: {{address: 10.0.0.3, roles: [node]}}\n"))
    ends = [(arrow.source, arrow.target) for arrow in picture.arrows if arrow.source.endswith("kube-scheduler")]
    assert ends == [
        ("etcd+master/kube-scheduler", "etcd+master/kube-apiserver"),
        ("master/kube-scheduler", "master/kube-apiserver"),
    ]


def test_services_that_talk_to_nobody_are_shown(tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "mine.yaml").write_text("why: Ours.\nroles: [node]\nunit: mine\n")
    (tmp_path / "cluster.yaml").write_text(
        f"cluster: {{name: lab, version: 1.20.2}}\nhosts:{TOPOLOGIES['one-master-two-nodes']}"
    )
    boxes = [box.id for box in drawn(inventory.load(tmp_path / "cluster.yaml")).boxes]
    assert "node/mine" in boxes
    assert {box for box in boxes if box.endswith("/network")} == {"node/network", "etcd+master/network"}
    assert [box.id for box in drawn(cluster(network="none")).boxes if box.id.endswith("/network")]


def test_without_tls_arrows_say_so() -> None:
    picture = drawn(cluster("1.5.2", "insecure"))
    plain = {arrow.label for arrow in picture.arrows if arrow.kind == "plain"}
    assert plain == {"8080/tcp, no encryption", "2379/tcp, no encryption"}
    tls = {arrow.label for arrow in picture.arrows if arrow.kind == "tls"}
    assert tls == {"10250/tcp, not verified", "6443/tcp, via 10.254.0.1:443, not verified", "https"}
    assert drawn(cluster(topology="all-in-one")).title == "lab: Kubernetes 1.20.2 on 1 host"


def test_many_hosts_are_one_frame() -> None:
    picture = drawn(cluster(topology=MANY, network="flannel"))
    assert picture.lanes[1].lines == ("n1 to n40", "40 hosts: node")
    assert len(picture.boxes) == len(drawn(cluster(topology="etcd-apart", network="flannel")).boxes)


def test_a_load_balancer_is_named_on_the_arrow() -> None:
    text = f"cluster: {{name: lab, version: 1.20.2, api_endpoint: 'api.example.com:443'}}\nhosts:{TOPOLOGIES['etcd-apart']}"
    picture = drawn(inventory.parse(text, Path("/srv/lab/inventory.yaml")))
    assert "6443/tcp, cert kubelet, via api.example.com:443" in {arrow.label for arrow in picture.arrows}


def steps(picture: Drawing) -> list[tuple[str, ...]]:
    return [(box.lane, *box.lines) for box in sorted(picture.boxes, key=lambda box: box.rank)]


def test_a_plan_takes_turns() -> None:
    picture = of_plan.drawing(*edit())
    assert picture.tall
    assert steps(picture)[:6] == [
        ("masters", "prepare", "update /etc/kubernetes/apiserver", "on m1"),
        ("masters", "restart kube-apiserver", "on m1"),
        ("masters", "wait until", "kube-apiserver is ready", "on m1"),
        ("masters", "prepare", "update /etc/kubernetes/apiserver", "on m2"),
        ("masters", "restart kube-apiserver", "on m2"),
        ("masters", "wait until", "kube-apiserver is ready", "on m2"),
    ]
    assert steps(picture)[-3:] == [
        ("nodes", "prepare", "update /etc/kubernetes/kubelet", "on n31 to n40"),
        ("nodes", "restart kubelet", "on n31 to n40"),
        ("nodes", "wait until", "kubelet is healthy", "node * is ready", "on n31 to n40"),
    ]
    assert [arrow.source for arrow in picture.arrows] == [f"step {number}" for number in range(len(picture.boxes) - 1)]


def test_changes_are_named_in_words() -> None:
    lab = cluster()
    seen = answers(wants(lab))
    ref = Ref("n1", Kind.FILE, "/etc/kubernetes/proxy.kubeconfig")
    was = seen[ref]
    assert isinstance(was, SeenFile)
    seen[ref] = replace(was, mode=0o666)
    picture = of_plan.drawing(lab, make_plan(wants(lab), seen))
    assert steps(picture) == [("nodes", "prepare", "set mode of /etc/kubernetes/proxy.kubeconfig", "on n1")]


def test_a_first_install_starts_everything_in_its_order() -> None:
    lab = cluster()
    picture = of_plan.drawing(lab, first(lab))
    names = [box.lines[0] for box in sorted(picture.boxes, key=lambda box: box.rank) if box.kind == "start"]
    assert names == [
        "start kubernetes-network", "start etcd", "start kubernetes-network", "start kube-apiserver", "start kube-controller-manager",
        "start kube-scheduler", "start docker", "start kubelet", "start kube-proxy",
    ]  # fmt: skip
    assert ("nodes", "prepare", "create 50 files", "install 6 packages", "on n1, n2") in steps(picture)


def test_a_plan_draws_every_edge_that_does_not_follow_from_others() -> None:
    lab, plan = edit("1")
    picture = of_plan.drawing(lab, plan)
    ranks = {box.id: box.rank for box in picture.boxes}
    assert all(ranks[arrow.source] < ranks[arrow.target] for arrow in picture.arrows)
    assert {arrow.target for arrow in picture.arrows} == ranks.keys() - {"step 0"}


def test_no_changes_are_a_picture_too() -> None:
    picture = of_plan.drawing(cluster(), Plan((), ()))
    assert picture.title == "Plan for lab: no changes"
    ET.fromstring(svg(picture))  # noqa: S314 - ours
    assert data(picture)["boxes"] == ()


@pytest.mark.parametrize(
    ("text", "width", "most", "lines"),
    [
        ("short", 10, 2, ["short"]),
        ("kube-controller-manager is healthy", 12, 4, ["kube-", "controller-", "manager is", "healthy"]),
        ("one two three", 8, 1, ["one two…"]),
        ("abcdefghij", 4, 3, ["abcd", "efgh", "ij"]),
        ("abcdefghijklm", 4, 2, ["abcd", "efg…"]),
        ("a  b\n\tc", 9, 2, ["a b c"]),
        ("日本語", 4, 2, ["日本", "語"]),
        ("", 5, 2, []),
    ],
)
def test_texts_are_broken_to_fit(text: str, width: int, most: int, lines: list[str]) -> None:
    assert wrapped(text, width, most) == lines


def test_a_mark_stands_for_what_is_left_out() -> None:
    assert shortened("日本語日本語", 5) == "日本…"
    assert shortened("\x1b[2J", 20) == "\\x1b[2J"
    assert columns("e\u0301日") == 3
