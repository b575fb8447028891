"""Addons: what is read of the user's folder, what is wanted in the cluster, and how a master is asked and told."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from k8s_installer import inventory, profiles
from k8s_installer.bundle.images import images
from k8s_installer.cli.terminal import Terminal
from k8s_installer.desired import Desired, check, desire
from k8s_installer.errors import InventoryError
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.render import render
from k8s_installer.host import addons, families
from k8s_installer.host.perform import evidence
from k8s_installer.inventory import Addon, Cluster, Role
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Absent, File, Gate, Kind, Missing, Ref, Seen, SeenSetting, Setting
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.undo import reversible
from k8s_installer.render import Renderer
from k8s_installer.report.text import change_words
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, placeholder
from tests.unit.test_host_settings import done, put, seen, want
from tests.unit.test_inventory import GOOD as A_CLUSTER
from tests.unit.test_perform import marks, program

INVENTORY = f'cluster: {{name: lab, version: "1.20.2"}}\nhosts:{TOPOLOGIES["all-in-one"]}'
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
SUM = "0f" * 32


def read(folder: Path, **files: str) -> tuple[Addon, ...]:
    """The addons of a folder with these files; two underscores of a name are a dot."""
    (folder / "addons").mkdir()
    for name, text in files.items():
        (folder / "addons" / name.replace("__", ".")).write_text(text)
    return inventory.parse(INVENTORY, folder / "inventory.yaml").addons


def wrong(folder: Path, **files: str) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        read(folder, **files)
    return [str(finding).removeprefix(f"{folder}/addons/") for finding in caught.value.findings]


MASTERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def wanted(lab: Cluster) -> Desired:
    """What is wanted without the profile's own addons."""
    profile = profiles.profile_of(lab).model_copy(update={"addons": {}})
    return desire(lab, profile, placeholder(lab), Renderer())


def of_addons(lab: Cluster) -> Desired:
    return {ref: item for ref, item in wanted(lab).items() if item.component == "addons"}


def test_the_manifests_are_read_in_the_order_of_their_names_and_nothing_else_is(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [{**MAP_OBJECT, "metadata": {"name": "three"}}]}
    found = read(
        tmp_path,
        b__yaml=f"# nothing\n---\n{MAP}---\n\n---\n{MAP.replace('one', 'two')}",
        a__json=json.dumps(listed, indent="\t"),
        c__yml="apiVersion: v1\nkind: Secret\nmetadata: {name: word, namespace: x}\n",
        README__md="no manifest",
    )
    assert [(addon.name, addon.secret) for addon in found] == [("a.json", False), ("b.yaml", False), ("c.yml", True)]
    assert found[1].content.startswith(b"# nothing\n---\n")
    assert "word" not in repr(found[2])


MAP_OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: [\n", "a.yaml:2: while parsing a flow node did not find expected node content"),
        ("# nothing\n", "a.yaml: contains no object"),
        ("- 1\n", "a.yaml:1: an object is a mapping with apiVersion, kind and metadata"),
        (f"{MAP}---\nkind: Pod\n", "a.yaml:5: an object without apiVersion, metadata.name"),
        (f"{MAP}---\napiVersion: v1\nkind: Pod\nmetadata: 3\n", "a.yaml:5: an object without metadata.name"),
        (f"{MAP}---\n{MAP}", "a.yaml:5: ConfigMap one appears twice (first in a.yaml:1)"),
        (f"{MAP}kind: Pod\n", "a.yaml:4: duplicate key kind (first on line 2)"),
    ],
)
def test_a_manifest_that_cannot_be_applied_is_a_finding_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert wrong(tmp_path, a__yaml=text) == [said]


def test_names_that_no_addon_can_have(tmp_path: Path) -> None:
    files = {"a b__yaml": MAP, "cluster-dns__yaml": MAP.replace("one", "two")}
    assert wrong(tmp_path, **files) == [
        "a b.yaml: an addon's name may have only letters, digits, '.', '-' and '_'",
        "cluster-dns.yaml: cluster-dns.yaml is the cluster's own DNS (rename the file)",
    ]


def test_a_secret_among_addons_is_no_more_than_its_sum_when_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = b"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {word: hunter2}\n"
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons/s.yaml").write_bytes(secret)
    (tmp_path / "cluster.yaml").write_text(A_CLUSTER)
    inputs = Inputs(tmp_path / "cluster.yaml")
    render(inputs, tmp_path / "out", [], Terminal(inputs.inventory))
    (there,) = (tmp_path / "out").rglob("s.yaml")
    total = hashlib.sha256(secret).hexdigest()
    assert there.read_text() == f"# a manifest with a Secret: {len(secret)} bytes, SHA-256 {total}\n"
    assert there.stat().st_mode & 0o777 == 0o600
    render(inputs, None, [], Terminal(inputs.inventory))
    assert "hunter2" not in capsys.readouterr().out


def test_files_that_cannot_be_read_are_findings(tmp_path: Path) -> None:
    (tmp_path / "addons/a.yaml").mkdir(parents=True)
    (tmp_path / "addons/b.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InventoryError) as caught:
        inventory.parse(INVENTORY, tmp_path / "inventory.yaml")
    assert [finding.message for finding in caught.value.findings] == [
        "cannot read the addon: is a directory, not a file",
        "not UTF-8 text",
    ]


def agent(*tolerations: str, kind: str = "DaemonSet", network: str = "true", more: str = "") -> str:
    """A manifest of pods on the host's network that tolerate these."""
    pod = f"{{hostNetwork: {network}, tolerations: [{', '.join(tolerations)}]}}"
    return f"{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: a{more}}}, spec: {{template: {{spec: {pod}}}}}}}\n"


def rule(kind: str, more: str = "") -> str:
    return f"---\n{{apiVersion: x/v1, kind: {kind}, metadata: {{name: r{more}}}}}\n"


ANYTHING = "{operator: Exists}"


@pytest.mark.parametrize(
    ("text", "early"),
    [
        (MAP, False),
        (f"# k8s-installer: early\n{MAP}", True),
        (f"#\n\n---\n# why it comes then\n##  k8s-installer:early  \n{MAP}", True),
        (f"{MAP}# k8s-installer: early\n", False),
        (f"# k8s-installer: late\n{rule('ClusterRole')}", False),
        (rule("PodSecurityPolicy") + rule("ClusterRole") + rule("ClusterRoleBinding"), True),
        (rule("CustomResourceDefinition") + rule("Namespace"), True),
        (rule("ServiceAccount", ", namespace: kube-system"), True),
        (rule("ServiceAccount", ", namespace: mine"), False),
        (rule("ServiceAccount", ", namespace: r") + rule("Namespace"), True),
        (rule("ServiceAccount", ", namespace: first"), True),  # which the addon before this one makes
        (rule("ClusterRole") + rule("Widget"), False),
        (agent(ANYTHING), True),
        (agent("{operator: Exists, effect: NoSchedule}", more=", namespace: kube-system"), True),
        (agent("{key: node.kubernetes.io/not-ready, operator: Exists}") + rule("Widget"), True),
        (agent("{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}"), False),
        (agent("{key: node.kubernetes.io/not-ready}"), False),
        (agent("{key: mine, operator: Exists}", "7"), False),
        (agent(ANYTHING, network="false"), False),
        (agent(ANYTHING, kind="Deployment"), False),
        (agent(ANYTHING, more=", namespace: mine"), False),
        (agent(ANYTHING) + rule("ValidatingWebhookConfiguration"), False),
        ("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}}", False),
        (
            "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {hostNetwork: true}}}}",
            False,
        ),
    ],
)
def test_what_nodes_and_pods_need_is_early_and_a_comment_says_it_of_anything(
    tmp_path: Path, text: str, early: object
) -> None:
    files = {"a__yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: first}}", "b__yaml": text}
    found = {addon.name: addon.early for addon in read(tmp_path, **files)}
    assert found == {"a.yaml": True, "b.yaml": early}


def test_a_folder_says_it_too_and_early_ones_come_first_by_name(tmp_path: Path) -> None:
    (tmp_path / "addons/early").mkdir(parents=True)
    for name in ("z.yaml", "m.json"):
        (tmp_path / "addons/early" / name).write_text(json.dumps({**MAP_OBJECT, "metadata": {"name": name}}))
    (tmp_path / "addons/a.yaml").write_text(MAP)
    (tmp_path / "addons/n.yaml").write_text(rule("ClusterRole"))
    found = inventory.parse(INVENTORY, tmp_path / "inventory.yaml").addons
    assert [(addon.name, addon.early) for addon in found] == [
        ("m.json", True),
        ("n.yaml", True),
        ("z.yaml", True),
        ("a.yaml", False),
    ]


def test_what_nobody_can_follow_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "addons/early").mkdir(parents=True)
    (tmp_path / "addons/early/a.yaml").write_text(f"# k8s-installer: late\n{MAP}")
    (tmp_path / "addons/a.yaml").write_text(f"# k8s-installer: eary\n{MAP.replace('one', 'two')}")
    with pytest.raises(InventoryError) as caught:
        inventory.parse(INVENTORY, tmp_path / "inventory.yaml")
    assert [str(finding).removeprefix(f"{tmp_path}/addons/") for finding in caught.value.findings] == [
        "a.yaml: another addon has this name: addons/early/a.yaml",
        "a.yaml:1: # k8s-installer: eary: an addon is early or late",
        "early/a.yaml:1: its comment says late, but its folder is early (move the file, or change the comment)",
    ]


def with_packaged(lab: Cluster) -> profiles.Profile:
    """The profile of a cluster, with an early addon of its own."""
    profile = profiles.profile_of(lab)
    spec = profiles.AddonSpec(why="A test.", template="addons/service.yaml.j2")
    return profile.model_copy(update={"addons": {"kubelet-clients.yaml": spec}})


@pytest.mark.parametrize(("version", "security"), MODES)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_early_addons_come_after_the_first_master_and_before_any_kubelet(
    version: str, security: str, topology: str
) -> None:
    own = (Addon("cni.yaml", MAP.encode(), early=True), Addon("b.yaml", b"x"))
    lab = replace(cluster(version, security, topology), addons=own)
    desired = desire(lab, with_packaged(lab), placeholder(lab), Renderer())
    master = lab.having(Role.MASTER)[0].name

    def setting(name: str) -> Ref:
        return Ref(master, Kind.SETTING, name)

    assert desired[setting("addons")].resource == Setting("kubelet-clients.yaml,cni.yaml,b.yaml")
    packaged = Ref(master, Kind.FILE, "/etc/kubernetes/addons/kubelet-clients.yaml")
    assert desired[packaged].after == (setting("addons"),)
    assert desired[packaged].because == "A test."
    assert desired[Ref(master, Kind.FILE, "/etc/kubernetes/addons/cni.yaml")].after == (
        setting("addon kubelet-clients.yaml"),
    )
    kubelets = [item for ref, item in desired.items() if (ref.kind, ref.name) == (Kind.UNIT, "kubelet")]
    assert kubelets
    assert all(setting("addon cni.yaml") in item.after for item in kubelets)
    late = desired[Ref(master, Kind.FILE, "/etc/kubernetes/addons/b.yaml")]
    assert {ref for ref in desired if ref.kind is Kind.GATE} | {setting("addon cni.yaml")} == set(late.after)
    before: set[Ref] = set()
    waiting = [setting("addon cni.yaml")]
    while waiting:
        before |= set(new := [ref for ref in desired[waiting.pop()].after if ref not in before])
        waiting += new
    assert {ref.host for ref in before} <= {host.name for host in lab.hosts if host.roles & {"etcd", "master"}}
    assert not {ref.name for ref in before} & {"kubelet", "kubelet is healthy"}
    assert any(ref.name.startswith("kube-apiserver is") for ref in before)


def test_a_file_with_the_name_of_a_manifest_of_the_profile_is_a_finding() -> None:
    lab = replace(cluster(), addons=(Addon("kubelet-clients.yaml", b"x"),))
    assert [str(finding) for finding in check(lab, with_packaged(lab))] == [
        f"{lab.folder}/addons: kubelet-clients.yaml is a manifest of Kubernetes 1.20.2 itself (rename the file)"
    ]


def test_an_inventory_is_one_document() -> None:
    with pytest.raises(InventoryError, match=r"^i.yaml:\d+: a second document: there must be only one$"):
        inventory.parse(f"{INVENTORY}---\na: 1\n", Path("i.yaml"))
    with pytest.raises(InventoryError, match="an inventory is a mapping"):
        inventory.parse("", Path("i.yaml"))


@pytest.mark.parametrize(("version", "security"), MODES)
def test_without_a_dns_and_a_folder_only_what_was_applied_is_looked_for(version: str, security: str) -> None:
    found = of_addons(cluster(version, security))
    assert [(str(ref), item.resource) for ref, item in found.items()] == [("m1: setting addons", Setting("none"))]


def test_addons_come_in_a_row_behind_every_gate_and_the_dns_before_the_users() -> None:
    own = (Addon("a.yaml", MAP.encode()), Addon("b.yaml", b"secret", secret=True))
    everything = wanted(replace(cluster(), dns="coredns", addons=own))
    found = {ref: item for ref, item in everything.items() if item.component == "addons"}
    assert [str(ref) for ref in found] == [
        "m1: setting addons",
        "m1: file /etc/kubernetes/addons/cluster-dns.yaml",
        "m1: setting addon cluster-dns.yaml",
        "m1: gate cluster DNS is ready",
        "m1: file /etc/kubernetes/addons/a.yaml",
        "m1: setting addon a.yaml",
        "m1: file /etc/kubernetes/addons/b.yaml",
        "m1: setting addon b.yaml",
    ]
    refs = list(found)
    for before, ref in pairwise(refs):
        assert found[ref].after[0] == before
        assert len(found[ref].after) == 1 or ref == refs[1]
    gates = {ref for ref in everything if ref.kind is Kind.GATE}
    assert set(found[refs[1]].after) == {refs[0], *gates} - {refs[3]}
    assert set(found[refs[0]].after) == {ref for ref in gates if ref.name.startswith(MASTERS)}
    assert found[refs[0]].resource == Setting("cluster-dns.yaml,a.yaml,b.yaml")
    secret = found[refs[6]].resource
    assert isinstance(secret, File)
    assert (secret.secret, secret.mode) == (True, 0o600)
    assert found[refs[7]].resource == Setting(secret.sha256)


def test_the_gate_asks_for_pods_of_this_very_manifest() -> None:
    def asked(lab: Cluster) -> tuple[str, str]:
        found = {ref.kind: item.resource for ref, item in of_addons(lab).items()}
        file, gate = found[Kind.FILE], found[Kind.GATE]
        assert isinstance(file, File)
        assert isinstance(gate, Gate)
        revision = gate.url.rpartition("%3D")[2]
        assert f'k8s-installer/revision: "{revision}"' in file.content.decode()
        return gate.url, revision

    lab = replace(cluster(), dns="coredns")
    url, revision = asked(lab)
    assert url.startswith("https://127.0.0.1:6443/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns,")
    mine = replace(lab, images=replace(lab.images, dns={"coredns": "mine:1.8"}))
    assert asked(mine)[1] != revision
    old = replace(cluster("1.5.2", "insecure"), dns="kube-dns")
    assert asked(old)[0].startswith("http://127.0.0.1:8080/api/v1/")


def test_a_dns_that_the_version_has_not_is_a_finding() -> None:
    text = INVENTORY.replace("1.20.2", "1.5.2").replace("}\nhosts", ", dns: coredns}\nhosts", 1)
    lab = inventory.parse(text, Path("i.yaml"))
    assert [str(finding) for finding in check(lab, profiles.profile_of(lab))] == [
        "i.yaml:1: dns: there is no coredns for Kubernetes 1.5.2: use kube-dns or none"
    ]


def change(name: str, value: str, before: SeenSetting) -> Change:
    item = want(name, value)
    return Change(item.ref, Action.SET, "addons", before, item.resource, "a test")


def test_what_setting_an_addon_does_is_said_in_words_and_what_is_taken_out_does_not_come_back() -> None:
    apply, undo = change("addon a.yaml", SUM, SeenSetting("none")), change("addon a.yaml", "none", SeenSetting(SUM))
    removal = change("addons", "none", SeenSetting("a.yaml"))
    assert [change_words(item) for item in (apply, undo, removal)] == [
        "apply addon a.yaml",
        "remove addon a.yaml",
        "remove addons",
    ]
    assert [reversible(item) for item in (apply, undo, removal)] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "found", "value", "reason"),
    [
        ("addons", "none", "a.yaml", ""),
        ("addons", "a.yaml", "b.yaml,a.yaml", ""),
        ("addons", "a.yaml,c.yaml,d.yaml", "b.yaml,a.yaml", "c.yaml, d.yaml: no longer wanted"),
        ("addons", "a.yaml", "none", "a.yaml: no longer wanted"),
        ("addon a.yaml", SUM, SUM, ""),
        ("addon a.yaml", "none", SUM, "it is not applied yet"),
        ("addon a.yaml", "incomplete", SUM, "some of its objects are missing"),
        ("addon a.yaml", "other", SUM, "some of its objects differ from what was applied"),
        ("addon a.yaml", "unanswered", SUM, "the API server did not answer for it"),
        ("addon a.yaml", "ab" * 32, SUM, "a different version is applied"),
        ("addon a.yaml", SUM, "none", "it was not applied before"),
        ("addon a.yaml", SUM, "incomplete", ""),  # what a rollback may find before a run, and cannot want
    ],
)
def test_why_an_addon_is_applied_or_taken_out(name: str, found: str, value: str, reason: str) -> None:
    assert families.differs(name, found, value) == reason


# A kubectl whose cluster is the folder `cluster`: an object is a file with its annotation, named kind.name; a manifest
# is lines `kind name`. The real one is the fleet's.
KUBECTL = """\
cluster={folder}/cluster said={folder}/said
echo "$*" >>"$said"
[ ! -f {folder}/down ] || {{ echo 'The connection to the server was refused' >&2; exit 1; }}
case "$1" in -s|--kubeconfig*) [ "$1" = -s ] && shift; shift ;; esac
verb=$1 file= sum=
shift
while [ $# -gt 0 ]; do
  case $1 in -f) file=$2; shift ;; -o) columns=${{2#*=}}; shift ;; {annotation}=*) sum=${{1#*=}} ;; -n) shift ;; --*) ;;
    *) single="${{single-}}$1." ;;
  esac
  shift
done
status=0
[ "$verb" != get ] || echo "${{columns%%:*}}"
if [ -n "${{single-}}" ]; then rm "$cluster/${{single%.}}"; exit; fi
while read -r kind name; do
  object=$cluster/$kind.$name
  case $kind:$verb in
    :*|---:*) ;;
    leak:apply) cat {folder}/words >&2; status=1 ;;
    bad:apply) echo "$name is invalid" >&2; status=1 ;;
    new:apply) [ -f "$object" ] || {{ echo 'no matches for kind "new"' >&2; status=1; }}; echo none >"$object" ;;
    *:apply) [ -f "$object" ] || echo none >"$object" ;;
    *:annotate) echo "$sum" >"$object" ;;
    *:delete) [ -f {folder}/stuck ] && {{ echo "$name is stuck"; status=1; }}; rm -f "$object"; echo "$kind \\"$name\\" deleted" ;;
    *:get) if [ ! -f "$object" ]; then echo "Error (NotFound): $name" >&2; status=1
      elif [ -n "${{columns-}}" ]; then
        case $columns in SUM*) cat "$object" ;; *) echo "uid-$kind-$name $kind v1 <none> $name" ;; esac
      fi ;;
  esac
done <"$file"
exit $status
"""


@pytest.fixture
def master(tmp_path: Path) -> Path:
    for folder in ("bin", "cluster", "root"):
        (tmp_path / folder).mkdir()
    program(tmp_path / "bin", "kubectl", KUBECTL.format(folder=tmp_path, annotation=addons.ANNOTATION))
    return tmp_path


def applied(folder: Path, name: str, text: str) -> str:
    """Put a manifest on the master and have it applied; what went wrong, or nothing."""
    file = put(folder, f"etc/kubernetes/addons/{name}", text)
    result = done(folder, f"addon {name}", File(file.read_bytes()).sha256)
    return evidence(result.stdout) if marks(result.stdout)[-1] == "failed 0" else ""


def cluster_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in sorted((folder / "cluster").iterdir())}


def sum_of(text: str) -> str:
    return File(text.encode()).sha256


def test_what_was_never_applied_is_known_without_a_process(tmp_path: Path) -> None:
    assert seen(tmp_path, "addons", "addon a.yaml") == [SeenSetting("none"), SeenSetting("none")]


def test_an_addon_is_applied_with_its_sum_and_seen_by_it(master: Path) -> None:
    text = "map one\nmap two\n"
    assert applied(master, "a.yaml", text) == ""
    assert cluster_of(master) == {"map.one": sum_of(text), "map.two": sum_of(text)}
    assert seen(master, "addons", "addon a.yaml") == [SeenSetting("a.yaml"), SeenSetting(sum_of(text))]
    copy = master / "root/var/lib/k8s-installer/addons/a.yaml"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == (text, 0o600)
    (master / "cluster/map.one").write_text("none\n")
    assert seen(master, "addon a.yaml") == [SeenSetting("other")]
    (master / "cluster/map.one").unlink()
    assert seen(master, "addon a.yaml") == [SeenSetting("incomplete")]
    applied(master, "b.yaml", "map three\n")
    (master / "down").touch()
    (master / "said").unlink()
    found = seen(master, "addon a.yaml", "addon b.yaml", "addon c.yaml")
    assert found == [SeenSetting("unanswered"), SeenSetting("unanswered"), SeenSetting("none")]
    assert len((master / "said").read_text().splitlines()) == 2  # of the first one alone


def test_a_master_asks_with_its_certificates_where_it_has_them_and_else_the_open_port(master: Path) -> None:
    applied(master, "a.yaml", "map one\n")
    assert all(line.startswith("-s http://127.0.0.1:8080 ") for line in (master / "said").read_text().splitlines())
    (master / "said").unlink()
    config = put(master, "root/.kube/config", "")
    seen(master, "addon a.yaml")
    assert all(line.startswith(f"--kubeconfig={config} ") for line in (master / "said").read_text().splitlines())


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_what_a_manifest_names_no_more_is_taken_out_when_the_rest_is_applied(master: Path, name: str) -> None:
    applied(master, name, "map one\nmap two\n")
    assert applied(master, name, "map two\nmap three\n") == ""
    assert cluster_of(master) == dict.fromkeys(("map.three", "map.two"), sum_of("map two\nmap three\n"))


def test_a_refusal_is_told_in_the_apis_words_and_what_was_begun_is_not_forgotten(master: Path) -> None:
    applied(master, "a.yaml", "map one\n")
    assert applied(master, "a.yaml", "map two\nbad thing\n") == "thing is invalid"
    copy = master / "root/var/lib/k8s-installer/addons/a.yaml"
    kept = copy.read_text()
    assert applied(master, "a.yaml", "map two\nbad thing\n") == "thing is invalid"
    assert copy.read_text() == kept == "map one\n\n---\nmap two\nbad thing\n"
    assert list(cluster_of(master)) == ["map.one", "map.two"]
    assert seen(master, "addon a.yaml") == [SeenSetting("incomplete")]
    assert applied(master, "a.yaml", "map one\n") == ""
    assert list(cluster_of(master)) == ["map.one"]


def test_a_kubectl_that_gets_no_answer_is_named(master: Path) -> None:
    program(master / "bin", "timeout", 'shift; case "$*" in *annotate*) exit 124 ;; esac; exec "$@"')
    assert applied(master, "a.yaml", "map one\n") == "kubectl annotate: no answer within 60 s"


def test_what_kubectl_shows_of_an_object_that_is_refused_is_not_told(master: Path) -> None:
    (master / "words").write_text(
        'Error from server (BadRequest): error when applying patch:\n{"data":{"word":"xyzzy"}}\nto:\nName: "word"\n'
        'Object: &{map["data":map["word":"xyzzy"]]}\nfor: "30-word.json": illegal base64 data at input byte 5, '
        'error found in #10 byte of ...|":"xyzzy"},"kind|...\n'
    )
    assert applied(master, "a.yaml", "leak word\n").splitlines() == [
        "Error from server (BadRequest): error when applying patch:",
        "to:",
        'Name: "word"',
        'for: "30-word.json": illegal base64 data at input byte 5',
    ]


def test_a_kind_that_has_just_been_made_is_waited_for(master: Path) -> None:
    assert applied(master, "a.yaml", "new x\n") == ""
    assert cluster_of(master) == {"new.x": sum_of("new x\n")}


def test_a_typed_list_holds_objects(tmp_path: Path) -> None:
    role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}}"
    text = f"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleList\nitems:\n- {role}\n"
    assert [addon.name for addon in read(tmp_path, roles__yaml=text)] == ["roles.yaml"]
    (tmp_path / "twice").mkdir()
    with pytest.raises(InventoryError, match="Role a appears twice"):
        read(tmp_path / "twice", roles__yaml=text, more__yaml=text)


def test_what_is_wanted_no_more_is_taken_out_with_its_files_and_the_rest_stays(master: Path) -> None:
    for name in ("a", "b", "c"):
        applied(master, f"{name}.yaml", f"map {name}\n")
    assert marks(done(master, "addons", "x.yaml,b.yaml").stdout) == ["begin 0", "done 0"]
    assert list(cluster_of(master)) == ["map.b"]
    assert seen(master, "addons") == [SeenSetting("b.yaml")]
    assert [path.name for path in (master / "root/etc/kubernetes/addons").iterdir()] == ["b.yaml"]
    assert sorted(path.read_text() for path in (master / "kept").glob("[!r]*") if not path.suffix) == [
        "map a\n",
        "map c\n",
    ]
    (master / "stuck").touch()
    result = done(master, "addons", "none")
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert evidence(result.stdout).startswith("b is stuck")
    assert seen(master, "addons") == [SeenSetting("b.yaml")]


def test_the_last_to_come_is_the_first_to_go(master: Path) -> None:
    for number, name in enumerate(("policy", "agent", "app")):
        applied(master, f"{name}.yaml", f"map {name}\n")
        os.utime(master / f"root/var/lib/k8s-installer/addons/{name}.yaml", (number, number))
    assert applied(master, "policy.yaml", "map policy\nmap more\n") == ""  # an edit does not make it the last
    (master / "said").unlink()
    done(master, "addons", "none")
    gone = [line.rpartition("/")[2] for line in (master / "said").read_text().splitlines() if " delete " in line]
    assert gone == ["app.yaml", "agent.yaml", "policy.yaml"]


def test_a_run_that_is_undone_takes_out_what_it_applied(master: Path) -> None:
    applied(master, "a.yaml", "map a\n")
    assert marks(done(master, "addon a.yaml", "none").stdout) == ["begin 0", "done 0"]
    assert cluster_of(master) == {}
    assert seen(master, "addons", "addon a.yaml") == [SeenSetting("none"), SeenSetting("none")]


def test_a_rollback_wants_no_file_and_no_objects_where_a_run_made_them() -> None:
    path, setting = Ref("m1", Kind.FILE, "/etc/kubernetes/addons/a.yaml"), Ref("m1", Kind.SETTING, "addon a.yaml")
    found = of_addons(replace(cluster(), addons=(Addon("a.yaml", MAP.encode()),)))
    back = {
        **found,
        path: replace(found[path], resource=Absent()),
        setting: replace(found[setting], resource=Setting("none")),
    }
    back = {
        ref: replace(item, after=tuple(other for other in item.after if other in back)) for ref, item in back.items()
    }
    has: dict[Ref, Seen] = {
        path: Missing.ABSENT,
        setting: SeenSetting(SUM),
        Ref("m1", Kind.SETTING, "addons"): SeenSetting("a.yaml"),
    }
    assert [(change.action, change.ref) for change in make_plan(back, has).changes] == [(Action.SET, setting)]


def test_a_bundle_has_the_images_of_the_dns_and_of_the_users_manifests(tmp_path: Path) -> None:
    pod = "spec: {initContainers: [{name: i, image: 'init:1'}], containers: [{name: a, image: 'app:2'}, {name: b}, 7]}"
    manifests = read(
        tmp_path,
        app__yaml=f"apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: a}}, {pod}}}\n---\n"
        f"{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: b}}, spec: {{template: {{{pod}}}}}}}\n"
        "---\n{apiVersion: v1, kind: Odd, metadata: {name: c}, containers: none}\n",
    )
    assert manifests[0].images == ("init:1", "app:2")
    lab = replace(cluster(), dns="coredns", addons=manifests)
    wanted = images(lab, profiles.profile_of(lab))
    assert wanted == ("registry.k8s.io/pause:3.2", "registry.k8s.io/coredns:1.7.0", "init:1", "app:2")
