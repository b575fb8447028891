"""From which version to which: what masters answer, and which plans are refused for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.pure import answers
from k8s_installer import profiles
from k8s_installer.desired import check, desire
from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import HostError, InstallerError, InventoryError
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.flows.versions import require_versions
from k8s_installer.host import versions as question
from k8s_installer.host.versions import Answer, ApiObject
from k8s_installer.inventory import Addon, ApiKind, Cluster, Drain
from k8s_installer.model.desired import Desired, Turn
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Kind, Missing, Package, Ref, Seen, SeenFile, SeenPackage
from k8s_installer.planning import versions
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.select import narrowed
from k8s_installer.profiles import Profile
from k8s_installer.render import Renderer
from k8s_installer.transport import Result, Transport
from k8s_installer.untrusted.answers import Malformed
from tests.unit.clusters import cluster, placeholder
from tests.unit.test_perform import program

HOSTS = """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  m2: {address: 10.77.0.12, roles: [master]}
  n1: {address: 10.77.0.21, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node]}
"""
ALL = ("m1", "m2", "n1", "n2")
PODPRESET = ApiObject("settings.k8s.io/v1alpha1", "podpresets", "web/env", applied=False)


def lab(version: str = "1.20.2", programs: str = "") -> Cluster:
    return cluster(version, topology=HOSTS, programs=programs)


def wanted(found: Cluster) -> Desired:
    return desire(found, profiles.profile_of(found), placeholder(found), Renderer([]))


def upgrade(items: Desired, *hosts: str, installed: str = "1.19.0") -> tuple[Plan, dict[Ref, Seen]]:
    """The plan where these hosts have other programs than are wanted, and what was seen."""
    seen: dict[Ref, Seen] = dict(answers(items))
    for ref, there in answers(items).items():
        if ref.host in hosts and ref.name.startswith("kubernetes-") and isinstance(there, SeenPackage):
            seen[ref] = replace(there, version=installed)
        elif ref.host in hosts and ref.name.startswith("/usr/bin/kube") and isinstance(there, SeenFile):
            seen[ref] = replace(there, sha256="0" * 64)
    return make_plan(narrowed(items, lambda item: item.ref.host in hosts), seen), seen


@dataclass
class Masters:
    """What a session is to these checks: masters that answer."""

    said: Mapping[str, str]
    users: str = "end\n"
    asked: list[str] = field(default_factory=list)

    def ask(self, names: list[str], ask: Callable[[Transport], object]) -> dict[str, object]:
        self.asked += names
        return {name: self._of(name, ask) for name in names}

    def _of(self, name: str, ask: Callable[[Transport], object]) -> object:
        def run(script: str, *, timeout: float) -> Result:
            assert timeout > 0
            return Result(0, self.said[name] if script == question.QUESTION else self.users, "")

        if name not in self.said:
            return HostError(name, "no route")
        return ask(cast("Transport", SimpleNamespace(host=name, run=run)))


def says(apiserver: str, **kubelets: str) -> str:
    return "".join([f"apiserver {apiserver}\n", *(f"kubelet {name} {of}\n" for name, of in kubelets.items()), "end\n"])


Made = tuple[Plan, Mapping[Ref, Seen]]


def guarded(
    found: Cluster, made: Made, masters: Masters, profile: Profile | None = None, undoes: tuple[str, ...] = ()
) -> None:
    plan, seen = made
    profile = profile or profiles.profile_of(found)
    resolved = SimpleNamespace(inventory=found, cluster=found, undoes=undoes, profile=profile)
    fleet = ObservedFleet({}, {}, seen, {}, {})
    require_versions(cast("Session", masters), cast("Resolved", resolved), fleet, plan)


def refused(found: Cluster, made: Made, masters: Masters) -> InstallerError:
    with pytest.raises(InstallerError) as raised:
        guarded(found, made, masters)
    return raised.value


@pytest.mark.parametrize("programs", ["packages", "tarball"])
def test_a_version_that_can_be_reached_is_planned(programs: str) -> None:
    items = wanted(lab(programs=programs))
    made = upgrade(items, *ALL)
    assert {change.action for change in made[0].changes} >= {
        Action.UPGRADE if programs == "packages" else Action.UPDATE
    }
    for running in ("v1.19.16", "v1.20.0", "v1.20.2", "v1.20.9-eks.1", "unknown"):
        masters = Masters(dict.fromkeys(("m1", "m2"), says(running, n1="v1.18.3", n2=running)))
        guarded(lab(programs=programs), made, masters)
        assert masters.asked[:2] == ["m1", "m2"]


@pytest.mark.parametrize("programs", ["packages", "tarball"])
def test_nodes_are_drained_before_their_programs_are_replaced_where_the_inventory_asks_for_it(programs: str) -> None:
    asking = replace(lab(programs=programs), drain=Drain(restarts=True))
    plan, _ = upgrade(wanted(asking), *ALL)
    for name in ("n1", "n2"):
        mine = [change.ref.name for change in plan.changes if change.turn == Turn("nodes", name)]
        assert mine[:2] == [f"drained {name}", f"node {name} is drained"]
        assert mine[-1] == f"schedulable {name}"
    assert not any("drained" in change.ref.name for change in upgrade(wanted(lab(programs=programs)), *ALL)[0].changes)


@pytest.mark.parametrize(
    ("version", "running", "words", "hint"),
    [
        ("1.20.2", "v1.21.3", "version 1.20.2 is older than what runs: m2 (1.21.3)", 'version: "1.21.3"'),
        ("1.20.2", "v1.18.9", "version 1.20.2 cannot be reached from what runs: m2 (1.18.9)", "upgrades from 1.19 or 1.20:"),
        ("1.20.2", "v1.9.4", "version 1.20.2 cannot be reached from what runs: m2 (1.9.4)", "one after the other"),
        ("1.9.4", "v1.20.2", "version 1.9.4 is older than what runs: m2 (1.20.2)", "stored in etcd"),
        ("1.9.4", "v1.5.2", "version 1.9.4 cannot be reached from what runs: m2 (1.5.2)", "upgrades from 1.8 or 1.9:"),
        ("1.5.2", "v1.9.4", "version 1.5.2 is older than what runs: m2 (1.9.4)", 'version: "1.9.4"'),
    ],
)  # fmt: skip
def test_an_older_minor_version_and_one_that_skips_are_refused(
    version: str, running: str, words: str, hint: str
) -> None:
    """Whatever the inventory said before: what counts is what one of the masters still runs."""
    found = lab(version)
    error = refused(found, upgrade(wanted(found), *ALL), Masters({"m1": says(f"v{version}"), "m2": says(running)}))
    assert error.message == f"{words}; nothing was changed"
    assert hint in error.hint


def test_a_patch_goes_both_ways() -> None:
    made = upgrade(wanted(lab()), *ALL, installed="1.20.7")
    assert {change.action for change in made[0].changes if change.ref.kind is Kind.PACKAGE} == {Action.DOWNGRADE}
    guarded(lab(), made, Masters({"m1": says("v1.20.7", n1="v1.20.7"), "m2": says("v1.20.2")}))


def test_nodes_do_not_come_before_their_masters() -> None:
    made = upgrade(wanted(lab()), "n1", "n2")
    masters = Masters({"m1": says("v1.20.1"), "m2": says("v1.19.4")})
    error = refused(lab(), made, masters)
    assert error.message == (
        "kubelets of Kubernetes 1.20.2 on n1, n2 would be newer than the API server of m2 (1.19.4); nothing was changed"
    )
    assert "let --limit include them" in error.hint
    guarded(lab(), made, Masters({"m1": says("v1.20.1"), "m2": says("v1.21.4")}))
    guarded(lab(), upgrade(wanted(lab()), *ALL), masters)


def test_masters_do_not_leave_kubelets_too_far_behind() -> None:
    made = upgrade(wanted(lab()), "m1", "m2")
    kubelets = {f"n{number}": "v1.17.4" for number in range(1, 8)}
    error = refused(lab(), made, Masters({"m1": says("v1.19.1", **kubelets), "m2": says("v1.19.1", z="v1.18.0")}))
    assert error.message == (
        "an API server of Kubernetes 1.20.2 works with kubelets from 1.18 on, and these are older: "
        "n1 (1.17.4), n2 (1.17.4), n3 (1.17.4), n4 (1.17.4), n5 (1.17.4), 2 more; nothing was changed"
    )
    profile = profiles.profile_of(lab())
    free = profile.model_copy(
        update={"components": {name: one for name, one in profile.components.items() if name != "kubelet"}}
    )
    guarded(lab(), made, Masters({"m1": says("v1.19.1", **kubelets), "m2": says("v1.19.1")}), profile=free)


def test_nobody_is_asked_where_no_program_is_replaced_or_nothing_runs_yet() -> None:
    items = wanted(lab())
    nobody = Masters({})
    guarded(lab(), (make_plan(items, answers(items)), answers(items)), nobody)
    fresh = dict.fromkeys(items, Missing.ABSENT)
    guarded(lab(), (make_plan(items, fresh), fresh), nobody)
    guarded(lab(), upgrade(items, *ALL), nobody, undoes=("1",))
    assert nobody.asked == []


def test_of_a_node_that_joins_the_masters_are_asked() -> None:
    items = wanted(lab())
    seen: dict[Ref, Seen] = {ref: Missing.ABSENT for ref in items if ref.host == "n2"}
    plan = make_plan(narrowed(items, lambda item: item.ref.host == "n2"), seen)
    masters = Masters({"m1": says("v1.19.1"), "m2": says("v1.19.1")})
    assert "would be newer" in refused(lab(), (plan, seen), masters).message


def test_masters_that_do_not_answer_are_passed_over_unless_none_does() -> None:
    made = upgrade(wanted(lab()), *ALL)
    guarded(lab(), made, Masters({"m2": says("v1.20.1")}))
    assert refused(lab(), made, Masters({})).message == "m1: no route"


def test_objects_of_apis_that_go_are_named() -> None:
    made = upgrade(wanted(lab()), *ALL)
    users = "".join(
        [
            *(f"object extensions/v1beta1 deployments a/{name} applied\n" for name in "abcdefg"),
            "object extensions/v1beta1 deployments a/later known\n",
            "object extensions/v1beta1 podsecuritypolicies nobodys known\n",
            "object settings.k8s.io/v1alpha1 podpresets web/env known\n",
            "end\n",
        ]
    )  # fmt: skip
    said = {"m1": says("v1.19.1"), "m2": says("v1.20.2")}
    error = refused(lab(), made, Masters(said, users))
    assert error.message.splitlines() == [
        "objects in the cluster use APIs that Kubernetes 1.20.2 does not have; nothing was changed:",
        "  Deployment of extensions/v1beta1: a/a, a/b, a/c, a/d, a/e, 2 more (use apps/v1)",
        "  PodPreset of settings.k8s.io/v1alpha1: web/env (there is no such kind any more)",
    ]
    # a patch takes no API away, and nodes have none
    guarded(lab(), made, Masters(dict.fromkeys(said, says("v1.20.1")), users))
    guarded(lab(), upgrade(wanted(lab()), "n1"), Masters(dict.fromkeys(said, says("v1.21.1")), users))


def test_a_cluster_that_cannot_say_which_objects_there_are_is_not_upgraded() -> None:
    made = upgrade(wanted(lab()), *ALL)
    masters = Masters(dict.fromkeys(("m1", "m2"), says("v1.19.1")), "unanswered connection refused\nend\n")
    error = refused(lab(), made, masters)
    assert error.message.endswith("nothing was changed: connection refused")
    assert masters.asked == ["m1", "m2", "m1", "m2"]
    masters.users = ""
    assert "not the objects of a cluster" in refused(lab(), made, masters).message


def test_a_profile_without_apis_that_go_asks_for_no_objects() -> None:
    profile = profiles.profile_of(lab()).model_copy(update={"removed_apis": ()})
    masters = Masters(dict.fromkeys(("m1", "m2"), says("v1.19.1")))
    guarded(lab(), upgrade(wanted(lab()), *ALL), masters, profile=profile)
    assert masters.asked == ["m1", "m2"]


def test_an_addon_of_an_api_that_is_gone_is_found_with_its_line() -> None:
    kinds = (
        ApiKind("extensions/v1beta1", "Ingress", 1),
        ApiKind("extensions/v1beta1", "Deployment", 7),
        ApiKind("settings.k8s.io/v1alpha1", "PodPreset", 9),
    )
    addon = Addon("old.yaml", b"", file="addons/old.yaml", kinds=kinds)
    found = replace(lab(), addons=(addon,))
    assert [str(finding) for finding in check(found, profiles.profile_of(found))] == [
        "addons/old.yaml:7: there is no Deployment of extensions/v1beta1 in Kubernetes 1.20.2 (use apps/v1)",
        "addons/old.yaml:9: there is no PodPreset of settings.k8s.io/v1alpha1 in Kubernetes 1.20.2",
    ]
    found = replace(lab("1.9.4"), addons=(addon,))
    assert not check(found, profiles.profile_of(found))


@pytest.mark.parametrize("version", profiles.available())
def test_a_profile_says_from_where_it_is_reached(version: str) -> None:
    profile: Profile = profiles.load(version)
    major, minor = versions.minor(version)
    assert profile.upgrades_from == (f"{major}.{minor - 1}",)
    assert profile.components["kubelet"].skew is not None


# packages in one release


def pinned(more: str, programs: str = "") -> Cluster:
    return cluster(topology=HOSTS, programs=programs, more=f"packages: {more}\n")


def test_the_inventory_may_name_the_release_of_a_package() -> None:
    items = wanted(pinned('{etcd: "3.3.11-2.el7.centos", docker: "2:1.13.1-209.el7", kubernetes-node: 1.20.2-1.el7}'))
    found = {ref: item.resource.version for ref, item in items.items() if isinstance(item.resource, Package)}
    assert {ref.name: version for ref, version in found.items()} == {
        "etcd": "3.3.11-2.el7.centos", "docker": "2:1.13.1-209.el7", "kubernetes-node": "1.20.2-1.el7",
        "kubernetes-master": "1.20.2", "kubernetes-client": "1.20.2",
    }  # fmt: skip
    etcd = Ref("m1", Kind.PACKAGE, "etcd")
    seen = {**answers(items), etcd: SeenPackage("3.3.11", "1.el7.centos", 1.0)}
    plan = make_plan(items, seen)
    assert [(change.action, change.ref.name) for change in plan.changes][:2] == [
        (Action.UPGRADE, "etcd"), (Action.RESTART, "etcd"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("{etdc: 3.3.11-2}", "packages: no component of this cluster installs etdc (did you mean etcd?)"),
        ("{flannel: 0.7.1-4.el7}", "packages: no component of this cluster installs flannel"),
        ("{kubernetes-node: 1.20.3-1.el7}", "packages: kubernetes-node 1.20.3-1.el7 is not of version 1.20.2, which the cluster has (1.20.2-RELEASE, or leave it out)"),
        ('{kubernetes-node: "0:1.20.2-1.el7"}', ""),
    ],
)  # fmt: skip
def test_a_package_that_nothing_installs_is_found(more: str, words: str) -> None:
    found = pinned(more)
    assert [str(finding).partition(": ")[2] for finding in check(found, profiles.profile_of(found))] == [words] * bool(
        words
    )


def test_programs_of_a_tarball_have_no_packages() -> None:
    found = pinned("{kubernetes-node: 1.20.2-1}", "tarball")
    (finding,) = check(found, profiles.profile_of(found))
    assert finding.message == "packages: no component of this cluster installs kubernetes-node"


@pytest.mark.parametrize("more", ["{etcd: 3.3}", "{etcd: -1}", "{etcd: '1 2'}", "{etcd: '1-2-3'}", "{'a b': '1'}"])
def test_what_is_no_version_of_a_package_is_refused(more: str) -> None:
    with pytest.raises(InventoryError, match="packages"):
        pinned(more)


# what a master answers


@pytest.mark.parametrize("text", ["", "end\n", "apiserver v1.20.2\n", "apiserver v1.20.2\nkubelet n1\nend\n"])
def test_half_an_answer_is_none(text: str) -> None:
    with pytest.raises(Malformed):
        question.parse(text)


@pytest.mark.parametrize(
    "text", ["", "object a b c d\n", "thing a/b c d known\nend\n", "object a/b c\nend\n", "object a/b c d e\nend\n"]
)
def test_half_a_list_of_objects_is_none(text: str) -> None:
    with pytest.raises(Malformed):
        question.parse_users(text)


def test_versions_that_are_none_are_unknown() -> None:
    said = says("v1.20", n1="<no", n2="v1.20.2+f00", n3="v1.20.99999999")
    assert question.parse(said) == Answer("", {"n2": "1.20.2"})


KUBECTL = """\
printf '%s\\n' "$*" >>{folder}/said
case "$1" in -s) shift 2 ;; --kubeconfig=*) shift ;; esac
[ ! -f {folder}/down ] || {{ echo 'The connection to the server was refused' >&2; exit 1; }}
case "$1 $2" in
  'get nodes') echo kubelet n1 v1.19.3 ;;
  api-versions*) printf '%s\\n' apps/v1 extensions/v1beta1 settings.k8s.io/v1alpha1 batch/v2alpha1 ;;
  'get deployments'*) printf '%s\\n' 'a/one %7B%22apiVersion%22%3A%22extensions%2Fv1beta1%22%2C' 'a/two ' \\
    'a/three %7B%22apiVersion%22%3A%22apps%2Fv1%22%7D' ;;
  'get podpresets'*) echo 'Warning: PodPreset is deprecated' >&2 ;;
  'get jobs'*) echo "error: the server doesn't have a resource type" >&2; exit 1 ;;
  *) echo 'Unauthorized' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def master(tmp_path: Path) -> Path:
    for folder in ("bin", "root/usr/bin", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    program(tmp_path / "bin", "kubectl", KUBECTL.format(folder=tmp_path))
    program(tmp_path / "bin", "systemctl", "echo MainPID=0")
    return tmp_path


def answer(folder: Path, script: str) -> str:
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "K8S_INSTALLER_ROOT": f"{folder}/root"}
    return subprocess.run(
        ["/bin/sh", "-s"], input=script, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_what_is_installed_counts_where_nothing_runs(master: Path) -> None:
    assert question.parse(answer(master, question.QUESTION)) == Answer("", {"n1": "1.19.3"})
    program(master / "root/usr/bin", "kube-apiserver", "echo Kubernetes v1.20.2")
    assert question.parse(answer(master, question.QUESTION)) == Answer("1.20.2", {"n1": "1.19.3"})
    (master / "down").touch()
    assert question.parse(answer(master, question.QUESTION)) == Answer("1.20.2", {})


def test_what_runs_counts_although_its_file_is_another_one(master: Path) -> None:
    """A shell stands for a server: its process is a program that says no version, so the file does."""
    program(master / "root/usr/bin", "kube-apiserver", "echo Kubernetes v1.20.2")
    source = master / "server.c"
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        'int main(int n, char **a) { if (n > 1) puts("Kubernetes v1.19.7"); else pause(); return 0; }\n'
    )
    subprocess.run(["cc", "-o", master / "server", source], check=True)
    with subprocess.Popen([master / "server"]) as server:
        (master / "server").unlink()
        program(master / "bin", "systemctl", f"echo MainPID={server.pid}")
        assert question.parse(answer(master, question.QUESTION)).apiserver == "1.19.7"
        server.kill()


def test_objects_are_asked_for_by_the_api_that_goes(master: Path) -> None:
    apis = [
        ("extensions/v1beta1", "deployments"), ("settings.k8s.io/v1alpha1", "podpresets"), ("apps/v1beta1", "deployments"),
        ("batch/v2alpha1", "jobs"),
    ]  # fmt: skip
    found = question.parse_users(answer(master, question.users(apis)))
    assert found == (
        ApiObject("extensions/v1beta1", "deployments", "a/one", applied=True),
        ApiObject("extensions/v1beta1", "deployments", "a/two", applied=False),
        ApiObject("extensions/v1beta1", "deployments", "a/three", applied=False),
    )
    asked = [line.partition("get ")[2].split()[0] for line in (master / "said").read_text().splitlines()[1:]]
    jobs = "jobs.v2alpha1.batch"  # a second time for the words of the refusal
    assert asked == ["deployments.v1beta1.extensions", "podpresets.v1alpha1.settings.k8s.io", jobs, jobs]
    assert question.parse_users(answer(master, question.users([("apps/v1", "daemonsets")]))) == "Unauthorized"
    (master / "down").touch()
    refused = question.parse_users(answer(master, question.users(apis)))
    assert refused == "The connection to the server was refused"
