"""Labels, annotations and taints of nodes: from the inventory to what a master says to the API, and back."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer import profiles
from k8s_installer.desired import check, desire
from k8s_installer.desired.nodes import registering
from k8s_installer.errors import InventoryError
from k8s_installer.host import families, nodes
from k8s_installer.host.observe import parse, script
from k8s_installer.host.perform import evidence
from k8s_installer.inventory import Cluster, NodeSettings, Taint
from k8s_installer.inventory.nodes import LARGEST_ANNOTATION
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import File, Gate, Kind, Placed, Ref, SeenSetting, Setting, Unit
from k8s_installer.planning import records
from k8s_installer.planning.equivalence import same
from k8s_installer.planning.make import make_plan
from k8s_installer.render import Renderer
from k8s_installer.report.grouped import about
from k8s_installer.report.text import change_words, plan_lines
from tests.fakes import FakeHost
from tests.unit.clusters import cluster, placeholder
from tests.unit.test_host_settings import done, seen, want
from tests.unit.test_perform import marks, program
from tests.unit.test_placed import RUNNING, applied, planned, seen_by

LABEL, ROLE = "node-label n1 disk", "node-label n1 node-role.kubernetes.io/db"
NOTE, TAINT = "node-annotation n1 example.com/note", "node-taint n1 dedicated:NoSchedule"
HOSTS = """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]%s}
  n2: {address: 10.77.0.22, roles: [node]}
"""
OURS = (
    ', labels: {disk: ssd, node-role.kubernetes.io/db: ""}, taints: [dedicated=db:NoSchedule],'
    " annotations: {example.com/note: 'two words'}"
)


def lab(own: str = OURS, more: str = "", version: str = "1.20.2") -> Cluster:
    return cluster(version, topology=HOSTS % own, more=more)


def findings(own: str, more: str = "", version: str = "1.20.2") -> list[str]:
    try:
        found = lab(own, more, version)
    except InventoryError as error:
        return [finding.message for finding in error.findings]
    return [finding.message for finding in check(found, profiles.profile_of(found))]


def wanted(found: Cluster) -> Desired:
    return desire(found, profiles.profile_of(found), placeholder(found), Renderer([]))


def of_nodes(found: Cluster) -> dict[str, str]:
    return {
        ref.name: item.resource.value
        for ref, item in wanted(found).items()
        if isinstance(item.resource, Setting) and families.node(ref.name)
    }


# the inventory


def test_a_host_has_what_all_nodes_have_with_its_own_over_it() -> None:
    everywhere = "nodes: {labels: {env: prod, disk: hdd, old: x}, taints: [a:NoSchedule], annotations: {b: c}}\n"
    found = lab(", labels: {disk: ssd, old: null}, taints: [dedicated=db:NoExecute]", everywhere)
    assert [host.node for host in found.hosts] == [
        NodeSettings(),
        NodeSettings({"env": "prod", "disk": "ssd"}, {"b": "c"}, (Taint("dedicated", "db", "NoExecute"),)),
        NodeSettings({"env": "prod", "disk": "hdd", "old": "x"}, {"b": "c"}, (Taint("a", "", "NoSchedule"),)),
    ]
    assert lab(", taints: []", everywhere).hosts[1].node.taints == ()
    assert [str(taint) for host in found.hosts for taint in host.node.taints] == [
        "dedicated=db:NoExecute",
        "a:NoSchedule",
    ]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("labels: {gpu: true}", 'hosts.n1.labels.gpu: True must be quoted: write "true" with the quotes'),
        ("annotations: {a: 3}", 'must be quoted: write "3"'),
        ("labels: {-x: a}", "hosts.n1.labels.-x: '-x' is not a key: use at most 63 letters"),
        (f"labels: {{{'a' * 64}: a}}", "is not a key"),
        ("labels: {A.b/c: d}", "has a prefix that is no DNS name: 'A.b'"),
        ("labels: {/c: d}", "has a prefix that is no DNS name: ''"),
        (f"labels: {{{'a.' * 127}/c: d}}", "has a prefix that is no DNS name"),
        ("labels: {e: 'a b'}", "must be empty or at most 63 letters"),
        (f"labels: {{e: {'a' * 64}}}", "must be empty or at most 63 letters"),
        ("labels: {kubernetes.io/hostname: n1}", "is a label that each kubelet sets itself"),
        ("annotations: {scheduler.alpha.kubernetes.io/taints: x}", "use `taints`, which sets them in every version"),
        ("annotations: {node.alpha.kubernetes.io/ttl: '0'}", "the cluster's programs set themselves"),
        (f"annotations: {{a: {'a' * (LARGEST_ANNOTATION + 1)}}}", "is larger than 96 KiB in JSON"),
        ('annotations: {a: "' + "\\n" * (LARGEST_ANNOTATION // 6 + 1) + '"}', "is larger than 96 KiB in JSON"),
        ('annotations: {a: "\\0"}', "has a character that an annotation cannot contain"),
        (f"annotations: {{a: {'a' * 90000}, b: {'a' * 90000}, c: {'a' * 90000}}}", "larger than 256 KiB in all"),
        ("taints: [dedicated]", "hosts.n1.taints.0: 'dedicated' must end with an effect: :NoSchedule, :PreferNoSchedule or :NoExecute"),
        ("taints: [a=b:noschedule]", "must end with an effect"),
        ("taints: [{a: b}]", "must be text such as dedicated=db:NoSchedule"),
        ("taints: ['-=b:NoSchedule']", "has a wrong key: '-' is not a key"),
        ("taints: ['a=b c:NoSchedule']", "has a wrong value: 'b c' must be empty"),
        ("taints: [node.kubernetes.io/not-ready:NoExecute]", "the controller-manager sets and removes itself"),
        ("taints: [a=b:NoSchedule, a:NoSchedule]", "two taints have the key a and the effect NoSchedule"),
    ],
)  # fmt: skip
def test_what_the_api_would_reject_is_refused_with_its_line(own: str, words: str) -> None:
    (found,) = findings(f", {own}")
    assert words in found


def test_a_host_that_is_no_node_has_no_labels() -> None:
    with pytest.raises(InventoryError, match="host m1 has labels and taints but is not a node"):
        cluster(topology=HOSTS.replace("master]", "master], labels: {a: b}, taints: [a:NoSchedule]") % "")


def test_an_effect_that_the_version_does_not_have_is_refused() -> None:
    (found,) = findings(", taints: [a:NoExecute, b:NoSchedule]", version="1.5.2")
    assert found == "the taint a:NoExecute has an effect that Kubernetes 1.5.2 does not have"
    assert findings(", taints: [a:NoExecute]") == findings(", taints: [a:NoSchedule]", version="1.5.2") == []


# what is wanted


@pytest.mark.parametrize(("version", "family"), [("1.5.2", "node-annotated-taint"), ("1.9.4", "node-taint"), ("1.20.2", "node-taint")])  # fmt: skip
def test_each_is_a_setting_of_the_first_master_once_the_node_is_ready(version: str, family: str) -> None:
    found = wanted(lab(version=version))
    taint = TAINT.replace("node-taint", family)
    expected = {taint: "=db", LABEL: "=ssd", ROLE: "=", NOTE: "=two+words"}
    assert of_nodes(lab(version=version)) == expected
    for name in expected:
        item = found[Ref("m1", Kind.SETTING, name)]
        assert item.turn == Turn("nodes", "n1")
        assert Ref("m1", Kind.GATE, "node n1 is ready") in item.after
        assert Ref("m1", Kind.GATE, "kube-apiserver is ready") in item.after
        assert all(ref in found for ref in item.after)


def kubelet_file(found: Cluster, host: str = "n1") -> bytes:
    item = wanted(found)[Ref(host, Kind.FILE, "/etc/kubernetes/kubelet")].resource
    assert isinstance(item, File)
    return item.content


@pytest.mark.parametrize("version", ["1.9.4", "1.20.2"])
def test_a_kubelet_that_can_registers_its_node_with_the_taints(version: str) -> None:
    tainted, bare = lab(version=version), lab("", version=version)
    flag = b" --register-with-taints=dedicated=db:NoSchedule"
    assert kubelet_file(tainted).replace(flag, b"") == kubelet_file(bare)
    assert flag in kubelet_file(tainted)
    assert kubelet_file(tainted, "n2") == kubelet_file(bare, "n2")
    own = ", taints: [b:NoSchedule, a=x:NoSchedule], components: {kubelet: {args: {register-with-taints: [a=x:NoSchedule]}}}"
    assert b"--register-with-taints=a=x:NoSchedule,b=:NoSchedule" in kubelet_file(lab(own, version=version))
    own = own.replace("[a=x:NoSchedule]}", '"a=x:NoSchedule,c:NoExecute"}')
    assert b"--register-with-taints=a=x:NoSchedule,c:NoExecute,b=:NoSchedule" in kubelet_file(lab(own, version=version))


def test_a_kubelet_of_1_5_has_no_such_flag() -> None:
    assert kubelet_file(lab(version="1.5.2")) == kubelet_file(lab("", version="1.5.2"))
    found = lab(version="1.5.2")
    assert registering(found, profiles.profile_of(found)) is found


@pytest.mark.parametrize("version", ["1.5.2", "1.9.4", "1.20.2"])
def test_taints_that_keep_the_clusters_dns_off_every_node_are_found(version: str) -> None:
    found = dataclasses.replace(lab("", "nodes: {taints: [dedicated=db:NoSchedule]}\n", version), dns="kube-dns")
    (finding,) = check(found, profiles.profile_of(found))
    words = "every node has a taint that the kube-dns pods do not tolerate, or is not schedulable [dns-node]"
    assert finding.message == words


def test_an_edit_of_taints_restarts_no_kubelet() -> None:
    """A kubelet that runs has read them, and its node is registered."""
    old, new = kubelet_file(lab()), kubelet_file(lab(OURS.replace("=db", "=web")))
    assert old != new
    assert same("/etc/kubernetes/kubelet", old, new)
    assert same("/etc/kubernetes/kubelet", kubelet_file(lab("")), new)
    assert not same("/etc/kubernetes/kubelet", old, new.replace(b"--node-ip=10", b"--node-ip=11"))


# how a master asks and sets


KUBECTL = """\
printf '%s\\n' "$*" >>{folder}/said
case "$1" in -s) shift 2 ;; --kubeconfig=*) shift ;; esac
[ ! -f {folder}/down ] || {{ echo 'The connection to the server was refused' >&2; exit 1; }}
case $1 in
  get) cat {folder}/nodes ;;
  *) cat {folder}/refused 2>/dev/null && exit 1 || exit 0 ;;
esac
"""


@pytest.fixture
def master(tmp_path: Path) -> Path:
    for folder in ("bin", "root"):
        (tmp_path / folder).mkdir()
    program(tmp_path / "bin", "kubectl", KUBECTL.format(folder=tmp_path))
    (tmp_path / "nodes").write_text(
        "label n1 disk =hdd\nlabel n1 kubernetes.io/hostname =n1\nannotation n1 example.com/note =two+words\n"
        "taint n1 dedicated:NoSchedule =\ntaint n1 dedicated:NoExecute =db\nlabel n2 disk =ssd\n"
    )
    return tmp_path


def said(folder: Path) -> list[str]:
    return [line.removeprefix("-s http://127.0.0.1:8080 ") for line in (folder / "said").read_text().splitlines()]


def test_all_nodes_are_asked_for_once_and_each_setting_is_answered(master: Path) -> None:
    many = [f"node-label n{number} disk" for number in range(3, 2000)]
    found = seen(master, LABEL, ROLE, NOTE, TAINT, "node-taint n1 dedicated:NoExecute", "node-label n2 disk", *many)
    expected = ["=hdd", "none", "=two+words", "=", "=db", "=ssd", *["none"] * len(many)]
    assert found == [SeenSetting(value) for value in expected]
    assert len(said(master)) == 1


def test_an_api_that_does_not_answer_is_asked_once(master: Path) -> None:
    (master / "down").touch()
    assert seen(master, LABEL, TAINT, NOTE) == [SeenSetting("unanswered")] * 3
    assert len(said(master)) == 1


def test_a_host_without_kubectl_has_no_cluster_yet(master: Path) -> None:
    program(master / "bin", "kubectl", "exit 1")
    (master / "bin/kubectl").chmod(0o644)
    for name in ("awk", "date"):  # this machine may have a kubectl of its own
        (master / "bin" / name).symlink_to(str(shutil.which(name)))
    questions = [want(LABEL, ""), want(TAINT, "")]
    environment = {"PATH": f"{master}/bin", "K8S_INSTALLER_ROOT": f"{master}/root"}
    printed = subprocess.run(
        ["/bin/sh", "-s"], input=script(questions), env=environment, capture_output=True, text=True, check=True
    )
    assert list(parse(printed.stdout, questions).values()) == [SeenSetting("none")] * 2


def test_before_any_node_is_registered_none_has_anything(master: Path) -> None:
    (master / "nodes").write_text("")
    assert seen(master, LABEL, TAINT) == [SeenSetting("none")] * 2


def test_the_taints_of_1_5_are_read_from_their_annotation(master: Path) -> None:
    (master / "nodes").write_text(
        "annotation n1 other =%5B%7B%22key%22%3A%22x%22%7D%5D\n"
        "annotation n1 scheduler.alpha.kubernetes.io/taints =%5B%7B%22key%22%3A%22a.io%2Fb%22%2C%22value%22%3A%22c%22%2C"
        "%22effect%22%3A%22NoSchedule%22%2C%22timeAdded%22%3Anull%7D%2C+%7B%0A%22effect%22%3A+%22NoSchedule%22%2C+%22key"
        "%22%3A%22d%22%7D%5D\ntaint n1 e:NoSchedule =f\n"
    )
    names = ("a.io/b:NoSchedule", "d:NoSchedule", "a.io/b:PreferNoSchedule", "e:NoSchedule", "x:")
    found = seen(master, *(f"node-annotated-taint n1 {name}" for name in names))
    assert found == [SeenSetting(value) for value in ("=c", "=", "none", "none", "none")]


@pytest.mark.parametrize(
    ("name", "value", "call"),
    [
        (LABEL, "=ssd", 'patch node n1 --type=merge -p {"metadata":{"labels":{"disk":"ssd"}}}'),
        (ROLE, "=", 'patch node n1 --type=merge -p {"metadata":{"labels":{"node-role.kubernetes.io/db":""}}}'),
        (LABEL, "none", 'patch node n1 --type=merge -p {"metadata":{"labels":{"disk":null}}}'),
        (NOTE, nodes.value('a "b" \\ ü\n%'), 'patch node n1 --type=merge -p {"metadata":{"annotations":{"example.com/note":"a \\"b\\" \\\\ ü\\u000A%"}}}'),
        (TAINT, "=db", "taint node n1 dedicated=db:NoSchedule --overwrite"),
        (TAINT, "=", "taint node n1 dedicated=:NoSchedule --overwrite"),
        (TAINT, "none", "taint node n1 dedicated:NoSchedule-"),
        (TAINT.replace("node-taint", "node-annotated-taint"), "=db", "taint node n1 dedicated=db:NoSchedule --overwrite"),
    ],
)  # fmt: skip
def test_each_is_set_and_removed_by_one_call(master: Path, name: str, value: str, call: str) -> None:
    assert marks(done(master, name, value).stdout) == ["begin 0", "done 0"]
    assert said(master) == [call]


@pytest.mark.parametrize("name", [LABEL, NOTE, TAINT])
def test_what_was_not_known_stays(master: Path, name: str) -> None:
    """A run that began while the API did not answer, and is undone."""
    assert marks(done(master, name, "unanswered").stdout) == ["begin 0", "done 0"]
    assert not (master / "said").exists()


def test_a_refusal_is_told_in_the_apis_words_and_what_is_so_already_is_none(master: Path) -> None:
    refused = master / "refused"
    refused.write_text("node/n1 not patched\n")
    assert marks(done(master, LABEL, "=ssd").stdout) == ["begin 0", "done 0"]
    for words in ('Error from server (NotFound): nodes "n1" not found\n', 'taint "dedicated:NoSchedule" not found\n'):
        refused.write_text(words)
        assert marks(done(master, TAINT, "none").stdout) == ["begin 0", "done 0"]
    refused.write_text('Error from server (NotFound): nodes "n1" not found\n')
    assert evidence(done(master, LABEL, "=ssd").stdout).startswith("node n1 is not registered; restart its kubelet")
    refused.write_text("The Node is invalid\n")
    assert evidence(done(master, TAINT, "=db").stdout) == "The Node is invalid"


# what people read


@pytest.mark.parametrize(
    ("name", "found", "value", "words", "reason"),
    [
        (LABEL, "none", "=ssd", "set label disk=ssd", "it is not set"),
        (LABEL, "=hdd", "=ssd", "set label disk=ssd", "it is hdd"),
        (LABEL, "=", "=ssd", "set label disk=ssd", "it is empty"),
        (LABEL, "=ssd", "none", "remove label disk", "it is ssd"),
        (LABEL, "unanswered", "=ssd", "set label disk=ssd", "the API server does not answer for it"),
        (LABEL, "=ssd", "unanswered", "", ""),
        (LABEL, "=ssd", "=ssd", "", ""),
        (LABEL, None, "none", "", ""),
        (LABEL, None, "=ssd", "set label disk=ssd", "it is not set"),
        (TAINT, "none", "=db", "set taint dedicated=db:NoSchedule", "it is not set"),
        (TAINT, "=db", "=", "set taint dedicated:NoSchedule", "it is db"),
        (TAINT, "=db", "none", "remove taint dedicated:NoSchedule", "it is db"),
        (NOTE, "none", nodes.value("two words"), "set annotation example.com/note=two words", "it is not set"),
        (NOTE, nodes.value("a\n\x1b"), nodes.value("x" * 99), f"set annotation example.com/note={'x' * 60}...", "it is a\\n\\x1b..."),
    ],
)  # fmt: skip
def test_a_plan_says_what_becomes_of_which_node(
    name: str, found: str | None, value: str, words: str, reason: str
) -> None:
    assert families.differs(name, found, value) == reason
    ref = Ref("m1", Kind.SETTING, name)
    item = DesiredResource(ref, Setting(value), "nodes", (), "a test", Turn("nodes", "n1"))
    changes = make_plan({ref: item}, {ref: SeenSetting(found or "none")}).changes
    assert [change_words(change) for change in changes] == [words] * bool(words)
    assert [about(change) for change in changes] == ["n1"] * bool(words)
    shown = [str(line) for line in plan_lines(lab(), Plan(changes, ((),) * len(changes)), {ref: item})]
    assert not words or f"  n1  ~ {words}  ({reason})" in shown


@pytest.mark.parametrize(("before", "back"), [(None, "none"), ("unanswered", "none"), ("none", "none"), ("=x", "=x")])
def test_what_is_no_longer_wanted_becomes_what_it_was(before: str | None, back: str) -> None:
    assert families.original(LABEL, before) == back
    assert not families.one_way(LABEL)


# the record: whose it is


def setting(name: str, value: str, master: str = "m1") -> DesiredResource:
    turn = Turn("nodes", families.node(name))
    return DesiredResource(Ref(master, Kind.SETTING, name), Setting(value), "nodes", (), "a test", turn)


def api(host: str) -> DesiredResource:
    unit = Unit("kube-apiserver")
    return DesiredResource(Ref(host, Kind.UNIT, unit.name), unit, unit.name, (), "a test", Turn("masters", host))


def items(*found: DesiredResource) -> Desired:
    return {item.ref: item for item in found}


def a_master(name: str) -> FakeHost:
    """A host whose API runs; those of one cluster share its settings."""
    return FakeHost(name, units={"kube-apiserver": RUNNING}, settings={LABEL: "none", TAINT: "none"})


def test_what_we_set_is_taken_back_and_what_others_set_stays() -> None:
    fake = a_master("m1")
    fake.settings[LABEL] = "=hdd"
    fake.settings["node-label n1 theirs"] = "=x"
    applied(
        items(api("m1"), setting(LABEL, "=ssd"), setting(TAINT, "=db"), setting("node-label n1 theirs", "=x")), fake
    )
    plan = applied(items(api("m1")), fake)
    assert {(change.ref.name, getattr(change.after, "value", "")) for change in plan.changes} == {
        (LABEL, "=hdd"),
        (TAINT, "none"),
    }
    assert all(change.turn == Turn("nodes", "n1") for change in plan.changes)
    assert fake.settings == {LABEL: "=hdd", TAINT: "none", "node-label n1 theirs": "=x"}
    assert not fake.record


def test_what_somebody_else_changes_is_set_again_and_the_first_value_is_remembered() -> None:
    fake = a_master("m1")
    whole = items(api("m1"), setting(LABEL, "=ssd"))
    applied(whole, fake)
    fake.settings[LABEL] = "=hdd"
    assert [change.action for change in applied(whole, fake).changes] == [Action.SET]
    assert fake.record[Kind.SETTING, LABEL].before == "none"
    applied(items(api("m1")), fake)
    assert fake.settings[LABEL] == "none"


def test_another_first_master_takes_over_what_is_recorded() -> None:
    first, second = a_master("m1"), a_master("m2")
    second.settings = first.settings  # of one cluster
    fleet = (first, second)
    applied(items(api("m1"), api("m2"), setting(LABEL, "=ssd")), *fleet)
    moved = items(api("m1"), api("m2"), setting(LABEL, "=ssd", "m2"))
    plan = applied(moved, *fleet)
    # the old one forgets them once the new one has written them
    assert [(change.ref.host, change.action) for change in plan.changes] == [("m2", Action.ADOPT), ("m1", Action.ADOPT)]
    assert plan.after == ((), (0,))
    assert (list(first.record), list(second.record)) == ([], [(Kind.SETTING, LABEL)])
    assert first.settings[LABEL] == "=ssd"
    applied(items(api("m1"), api("m2")), *fleet)
    assert first.settings[LABEL] == "none"


def test_a_master_that_leaves_lets_another_one_take_back_what_it_has_set() -> None:
    first, second = a_master("m1"), a_master("m2")
    second.settings = first.settings
    applied(items(api("m1"), api("m2"), setting(LABEL, "=ssd")), first, second)
    plan = planned(items(api("m2")), {"m1": first, "m2": second}, master="m2")
    assert [
        (change.ref, getattr(change.after, "value", "")) for change in plan.changes if change.ref.name == LABEL
    ] == [(Ref("m2", Kind.SETTING, LABEL), "none")]


def test_a_cluster_that_leaves_takes_its_nodes_along() -> None:
    fake = a_master("m1")
    applied(items(api("m1"), setting(LABEL, "=ssd")), fake)
    plan = planned({}, {"m1": fake})
    assert LABEL not in {change.ref.name for change in plan.changes}


def test_a_record_of_a_later_version_may_name_settings_that_are_not_known() -> None:
    fake = a_master("m1")
    entry = Placed(Kind.SETTING, "node-colour n1", "nodes", before="none")
    fake.record[Kind.SETTING, entry.name] = entry
    assert not planned(items(api("m1")), {"m1": fake})
    assert records.entries(seen_by({"m1": fake}, [records.question("m1")]), "m1") == (entry,)


def test_edges_and_settings_grow_with_the_nodes() -> None:
    def count(nodes_count: int) -> tuple[int, int]:
        hosts = "\n  m1: {address: 10.77.0.1, roles: [etcd, master]}\n" + "".join(
            f"  n{number}: {{address: 10.77.0.{number}, roles: [node]}}\n" for number in range(2, nodes_count + 2)
        )
        found = wanted(cluster(topology=hosts, more="nodes: {labels: {a: b, c: d}, taints: [e:NoSchedule]}\n"))
        own = [item for ref, item in found.items() if ref.kind is Kind.SETTING and families.node(ref.name)]
        gates = {ref for ref, item in found.items() if isinstance(item.resource, Gate) and item.turn.group == "nodes"}
        return len(own), sum(len(gates.intersection(item.after)) for item in own)

    assert [count(number) for number in (1, 10, 20)] == [(3, 3), (30, 30), (60, 60)]
