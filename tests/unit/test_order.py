"""The apiserver's certificate for kubelets relies on a binding: which is first depends on whether the API runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from benchmarks.pure import answers
from k8s_installer import profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.errors import InstallerError
from k8s_installer.inventory import Cluster
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile, SeenSetting, SeenUnit, Setting
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.order import evidence, require_ahead
from k8s_installer.planning.select import of_components, on_members
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster, leaves, placeholder

ADDON = "kubelet-api-admin.yaml"
CERTIFICATE = "/etc/kubernetes/pki/apiserver-kubelet-client.crt"
SETTING, MANIFEST = Ref("m1", Kind.SETTING, f"addon {ADDON}"), Ref("m1", Kind.FILE, f"/etc/kubernetes/addons/{ADDON}")
RBAC = ("1.9.4", "1.20.2")


def wanted(lab: Cluster) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def before_the_binding(desired: Desired) -> dict[Ref, Seen]:
    """A cluster that runs with a certificate in the group of administrators, and has no binding."""
    seen = answers(desired)
    for ref, found in seen.items():
        if ref.name == CERTIFICATE and isinstance(found, SeenFile):
            seen[ref] = replace(found, sha256="0" * 64)
    return seen | {
        SETTING: SeenSetting("none"),
        MANIFEST: Missing.ABSENT,
        Ref("m1", Kind.SETTING, "addons"): SeenSetting("old.yaml"),
    }


def steps(plan: Plan) -> list[tuple[str, Action, str]]:
    return [(change.ref.host, change.action, change.ref.name) for change in plan.changes]


def waits_for(plan: Plan, later: tuple[str, Action, str], earlier: tuple[str, Action, str]) -> bool:
    names = steps(plan)
    todo, seen = [names.index(later)], set[int]()
    while todo:
        seen.update(new := [index for index in plan.after[todo.pop()] if index not in seen])
        todo += new
    return names.index(earlier) in seen


@pytest.mark.parametrize("version", RBAC)
def test_the_certificate_is_in_no_group_and_the_binding_names_its_user(version: str) -> None:
    lab = cluster(version)
    leaf = leaves(lab)["apiserver-kubelet-client"]
    assert (leaf.user, leaf.group) == ("kube-apiserver-kubelet-client", "")
    file = wanted(lab)[MANIFEST].resource
    assert isinstance(file, File)
    binding = yaml.safe_load(file.content)
    assert binding["roleRef"]["name"] == "system:kubelet-api-admin"
    assert [(subject["kind"], subject["name"]) for subject in binding["subjects"]] == [("User", leaf.user)]


def test_where_a_file_of_rules_decides_the_certificate_keeps_its_group() -> None:
    lab = cluster("1.5.2")
    assert leaves(lab)["apiserver-kubelet-client"].group == "system:masters"
    assert SETTING not in wanted(lab)


@pytest.mark.parametrize("version", RBAC)
def test_a_first_start_applies_it_when_the_api_answers_and_before_the_kubelets(version: str) -> None:
    desired = wanted(cluster(version))
    bare: dict[Ref, Seen] = dict.fromkeys(answers(desired), Missing.ABSENT)
    plan = make_plan(desired, bare | {SETTING: SeenSetting("none")})
    binding = ("m1", Action.SET, SETTING.name)
    assert waits_for(plan, binding, ("m1", Action.START, "kube-apiserver"))
    for node in ("n1", "n2"):
        assert waits_for(plan, (node, Action.START, "kubelet"), binding)


@pytest.mark.parametrize("version", RBAC)
def test_a_cluster_that_runs_has_it_before_any_master_gets_the_new_certificate(version: str) -> None:
    desired = wanted(cluster(version, topology="etcd-apart"))
    plan = make_plan(desired, before_the_binding(desired))
    binding = ("m1", Action.SET, SETTING.name)
    for master in ("m1", "m2"):
        assert waits_for(plan, (master, Action.UPDATE, CERTIFICATE), binding)
        assert waits_for(plan, (master, Action.RESTART, "kube-apiserver"), binding)
    # and nothing else goes ahead: what left the inventory is taken out when the masters work again
    assert waits_for(plan, ("m1", Action.SET, "addons"), ("m1", Action.RESTART, "kube-apiserver"))


def test_an_api_that_does_not_run_is_repaired_first() -> None:
    desired = wanted(cluster())
    seen = before_the_binding(desired)
    unit = Ref("m1", Kind.UNIT, "kube-apiserver")
    running = seen[unit]
    assert isinstance(running, SeenUnit)
    seen[unit] = replace(running, active="failed")
    plan = make_plan(desired, seen)
    assert waits_for(plan, ("m1", Action.SET, SETTING.name), ("m1", Action.START, "kube-apiserver"))


def test_an_edit_of_something_else_waits_for_no_addon() -> None:
    desired = wanted(cluster())
    seen = answers(desired) | {SETTING: SeenSetting("not known")}
    flags = Ref("m1", Kind.FILE, "/etc/kubernetes/apiserver")
    found = seen[flags]
    assert isinstance(found, SeenFile)
    seen[flags] = replace(found, sha256="0" * 64)
    plan = make_plan(desired, seen)
    assert waits_for(plan, ("m1", Action.SET, SETTING.name), ("m1", Action.RESTART, "kube-apiserver"))


def test_a_part_of_the_cluster_has_its_own_part_of_the_order() -> None:
    desired = wanted(cluster(topology="etcd-apart"))
    seen = before_the_binding(desired)
    binding = ("m1", Action.SET, SETTING.name)
    first = make_plan(on_members(desired, {"m1"}), seen)
    assert waits_for(first, ("m1", Action.RESTART, "kube-apiserver"), binding)
    addons = make_plan(of_components(desired, {"addons"}), seen)
    assert binding in steps(addons)


@pytest.mark.parametrize("version", RBAC)
@pytest.mark.parametrize(
    ("left", "named"), [("--limit m2", ["m2"]), ("--only kube-apiserver", ["m1", "m2"]), ("--limit m2 --only kube-apiserver", ["m2"])]
)  # fmt: skip
def test_a_part_that_leaves_the_binding_out_takes_no_rights_away(version: str, left: str, named: list[str]) -> None:
    desired = wanted(cluster(version, topology="etcd-apart"))
    seen = before_the_binding(desired)
    part = on_members(desired, {"m2"}) if "m2" in left else desired
    part = of_components(part, {"kube-apiserver"}) if "kube-apiserver" in left else part
    assert evidence(desired, part) == {SETTING: desired[SETTING]}  # it is looked at, though it is in the other part
    with pytest.raises(InstallerError) as caught:
        require_ahead(desired, seen, part)
    first, *files = caught.value.message.splitlines()
    assert first == f"these files need the addon {ADDON}, which is not applied yet; nothing was changed:"
    assert files == [f"  {master}: {CERTIFICATE}" for master in named]
    assert "let --limit include m1 and --only include addons, or leave both out" in caught.value.hint
    with pytest.raises(InstallerError):  # nothing is known of it
        require_ahead(desired, {ref: found for ref, found in seen.items() if ref != SETTING}, part)
    addon = desired[SETTING].resource
    assert isinstance(addon, Setting)
    require_ahead(desired, seen | {SETTING: SeenSetting(addon.value)}, part)
    require_ahead(desired, answers(desired) | {SETTING: SeenSetting("none")}, part)  # the files stay as they are
    bare: dict[Ref, Seen] = dict.fromkeys(answers(desired), Missing.ABSENT)
    require_ahead(desired, bare, part)  # component by component, from nothing


def test_a_part_that_has_the_binding_or_no_file_that_needs_it_is_let_through() -> None:
    desired = wanted(cluster(topology="etcd-apart"))
    seen = before_the_binding(desired)
    for part in (
        desired,
        on_members(desired, {"m1"}),
        of_components(desired, {"kubelet"}),
        on_members(desired, {"n1"}),
    ):
        assert evidence(desired, part) == {}
        require_ahead(desired, seen, part)
