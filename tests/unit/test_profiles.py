from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jinja2
import jinja2.meta
import pytest
from pydantic import ValidationError

from k8s_installer import profiles
from k8s_installer.desired import bundled, host
from k8s_installer.desired.agreements import DNS_TOLERATES
from k8s_installer.desired.check import check
from k8s_installer.errors import InputError, InventoryError
from k8s_installer.inventory import Role
from k8s_installer.profiles.pieces import FileSpec, Style
from k8s_installer.profiles.schema import REST, Profile
from k8s_installer.profiles.when import Facts, holds
from k8s_installer.render import packaged_templates
from tests.unit.clusters import cluster

ALL = [profiles.load(version) for version in profiles.available()]
every_profile = pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.version)


def test_versions_are_listed_oldest_first() -> None:
    assert profiles.available() == ("1.5.2", "1.9.4", "1.20.2")


def test_an_unknown_version_names_those_that_there_are_and_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"unknown Kubernetes version 1\.21\.2: .* 1\.5\.2, 1\.9\.4, 1\.20\.2"
    ) as caught:
        profiles.load("1.21.2")
    assert caught.value.hint == "did you mean 1.20.2?"


def test_an_unknown_version_of_an_inventory_names_its_line() -> None:
    with pytest.raises(InventoryError) as caught:
        profiles.profile_of(cluster("9"))
    assert str(caught.value) == (
        "/srv/lab/inventory.yaml:1: unknown Kubernetes version 9: profiles exist for 1.5.2, 1.9.4, 1.20.2"
    )


def test_the_profile_of_an_inventory_is_that_of_its_version() -> None:
    assert profiles.profile_of(cluster("1.5.2", "insecure")).version == "1.5.2"


@pytest.mark.parametrize(("version", "served_by"), [("1.5.0", "1.5.2"), ("1.5.2", "1.5.2"), ("1.20.15", "1.20.2")])
def test_a_profile_serves_its_minor_version(version: str, served_by: str) -> None:
    assert profiles.load(version).version == served_by
    assert profiles.profile_of(cluster(version)).version == served_by


@pytest.mark.parametrize("version", ["1.2.0", "1.20", "1.20.x", "1.20.02", "v1.20.2", "1.20.2-rc.1", "2.20.2", ""])
def test_what_is_no_version_of_a_known_minor_version_is_unknown(version: str) -> None:
    with pytest.raises(InputError, match="unknown Kubernetes version"):
        profiles.load(version)


def own(folder: Path, version: str = "1.99.0", *, text: str = "", flags: str = "") -> Path:
    """A folder with a profile of somebody's own, made of 1.20.2's."""
    packaged = Path(profiles.__file__).parent
    (folder / "flags").mkdir(parents=True, exist_ok=True)
    of_packaged = (
        (packaged / "1.20.2.yaml").read_text(encoding="utf-8").replace('version: "1.20.2"', f'version: "{version}"')
    )
    (folder / f"{version}.yaml").write_text(text or of_packaged, encoding="utf-8")
    of_packaged = (packaged / "flags/1.20.2.json").read_text(encoding="utf-8")
    (folder / "flags" / f"{version}.json").write_text(flags or of_packaged, encoding="utf-8")
    return folder


def test_of_several_profiles_of_a_minor_version_the_nearest_older_one_serves(tmp_path: Path) -> None:
    for version in ("1.98.0", "1.99.2", "1.99.8", "1.99.10"):
        own(tmp_path, version)
    assert profiles.available([tmp_path]) == (*profiles.available(), "1.98.0", "1.99.2", "1.99.8", "1.99.10")
    asked = ("1.99.1", "1.99.2", "1.99.7", "1.99.8", "1.99.9", "1.99.10", "1.99.15")
    assert [profiles.load(version, [tmp_path]).version for version in asked] == [
        "1.99.2", "1.99.2", "1.99.2", "1.99.8", "1.99.8", "1.99.10", "1.99.10",
    ]  # fmt: skip


def test_profiles_beside_the_inventory_come_first_each_file_for_itself(tmp_path: Path) -> None:
    folder = own(tmp_path / "profiles", "1.20.2")
    lab = replace(cluster("1.20.2"), folder=tmp_path)
    assert profiles.profile_of(lab) == profiles.load("1.20.2")
    (folder / "flags" / "1.20.2.json").unlink()
    path = folder / "1.20.2.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("registry.k8s.io/pause:3.2", "mine:1"), encoding="utf-8")
    assert profiles.profile_of(lab).pause_image == "mine:1"
    assert profiles.load("1.20.2").pause_image == "registry.k8s.io/pause:3.2"


KUBELET = "    config_schema: kubelet-1.20.2\n"  # all that 1.20.2 says of its kubelet


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version: "1.99.0"', 'version: "1.99.1"', "{path}: version: is 1.99.1, but the file is named 1.99.0"),
        ("cgroup_driver: systemd", "cgroup-driver: systemd", "{path}: cgroup-driver: Extra inputs are not permitted"),
        (KUBELET, f"{KUBELET}    after: {{here: [dokker]}}\n", "{path}: components.kubelet.after: there is no component dokker"),
        (
            KUBELET, f"{KUBELET}    flags: {{always: {{nodeip: 10.0.0.1}}}}\n",
            "{path}: components.kubelet.flags: kubelet has no flag nodeip in Kubernetes 1.99.0",
        ),
        (
            'coredns: "registry.k8s.io/coredns:1.7.0"', 'coredns: "registry.k8s.io/coredns"',
            "{path}: dns.coredns: the tag of its image coredns must have a version, for its variants",
        ),
        ("components:", "components: [", ": while parsing a flow sequence"),
    ],
    ids=["another version", "an unknown key", "an unknown component", "an unknown flag", "no version of an image", "no YAML"],
)  # fmt: skip
def test_what_is_wrong_in_a_profile_is_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = own(tmp_path) / "1.99.0.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        profiles.load("1.99.0", [tmp_path])
    assert message.format(path=path) in caught.value.message


def said_of(tmp_path: Path, old: str, new: str, *, of: str = "1.20.2.yaml") -> list[str]:
    """What is found in an inventory beside which a file of the profile differs."""
    path = own(tmp_path / "profiles", "1.20.2") / of
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    lab = replace(cluster("1.20.2"), folder=tmp_path)
    return [str(one).removeprefix(f"{tmp_path}/") for one in check(lab, profiles.profile_of(lab))]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  kube-proxy: {}", "  kube-proxy: {flags: {tls: {proxy-mode: iptable}}}",
            'profiles: components.kube-proxy of 1.20.2: proxy-mode: there is no "iptable" here (did you mean iptables?)',
        ),
        (
            KUBELET, f"{KUBELET}    config: {{healthzPort: high}}\n",
            'profiles: components.kubelet of 1.20.2: healthzPort: must be a whole number, not "high"',
        ),
        (
            KUBELET, f"{KUBELET}    config: {{readOnlyPort: null, readOnlyPrt: 0}}\n",
            "profiles: components.kubelet of 1.20.2: readOnlyPrt: unknown key (did you mean readOnlyPort?)",
        ),
    ],
)  # fmt: skip
def test_the_values_of_a_profile_of_ones_own_are_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert said_of(tmp_path, old, new) == [message]


def test_a_type_that_nothing_is_known_of_is_an_error_of_the_profile(tmp_path: Path) -> None:
    """Or its values would not be checked, and nobody would know."""
    old = '"max-pods": {\n   "default": "110",\n   "deprecated": true,\n   "type": "int32"'
    found = said_of(tmp_path, old, old.replace("int32", "int23"), of="flags/1.20.2.json")
    assert found == ["profiles: flags of kubelet 1.20.2: max-pods: the type int23 is unknown (did you mean int32?)"]
    found = said_of(tmp_path, old, old.replace("int32", "odd"), of="flags/1.20.2.json")
    assert found == ["profiles: flags of kubelet 1.20.2: max-pods: the type odd is unknown (string accepts any value)"]


def test_a_file_may_have_a_schema_where_the_flags_of_its_program_are_unknown(tmp_path: Path) -> None:
    text = (Path(profiles.__file__).parent / "1.20.2.yaml").read_text(encoding="utf-8")
    more = "  network: {config_schema: kubelet-1.20.2, config: {maxPods: 5}}\n"
    own(tmp_path, "1.20.2", text=text.replace("  network: {}\n", more, 1))
    schema = profiles.load("1.20.2", [tmp_path]).config_schemas["network"]
    assert "maxPods" in schema.keys
    assert "maxPods" not in schema.values


@every_profile
def test_the_pods_of_the_dns_tolerate_the_taint_that_the_rules_take_for_tolerated(profile: Profile) -> None:
    if "register-with-taints" in profile.known_flags["kubelet"]:
        for spec in profile.dns.values():
            text = (packaged_templates() / spec.template).read_text(encoding="utf-8")
            assert f"tolerations:\n        - {{key: {DNS_TOLERATES}, operator: Exists}}\n" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("{", "cannot read {path}: Expecting property name"),
        ("[]", "{path}: must be a mapping"),
        ('{"kubelet": 5}', "1.99.0.yaml: known_flags.kubelet: Input should be a valid "),
        ('{"kubelet": {}}', "components.kube-proxy: the flags of kube-proxy are not in flags/1.99.0.json"),
        ('{"kubelet": {}}', "components.kubernetes: the flags of kube-proxy are not in flags/1.99.0.json"),
    ],
)
def test_what_is_wrong_in_a_list_of_flags_is_told(tmp_path: Path, flags: str, message: str) -> None:
    path = own(tmp_path, flags=flags) / "flags" / "1.99.0.json"
    with pytest.raises(InputError) as caught:
        profiles.load("1.99.0", [tmp_path])
    assert message.format(path=path) in caught.value.message


def test_a_profile_without_flags_and_one_that_is_named_for_no_version_are_told(tmp_path: Path) -> None:
    flags = own(tmp_path) / "flags" / "1.99.0.json"
    flags.unlink()
    with pytest.raises(InputError, match=rf"^cannot read {flags}: No such file or directory$"):
        profiles.load("1.99.0", [tmp_path])
    (tmp_path / "1.99.yaml").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"/1\.99\.yaml: a profile is named after its version with three numbers"):
        profiles.available([tmp_path])


def test_people_are_told_of_a_profile_that_is_another_patch_version_s() -> None:
    profile = profiles.load("1.20.2")
    assert profiles.note("1.20.2", profile) == ""
    assert profiles.note("1.20.15", profile) == "Kubernetes 1.20.15 uses the profile of 1.20 (its flags are 1.20.2's)"


@every_profile
def test_the_packages_are_of_the_inventory_s_version(profile: Profile) -> None:
    for component in profile.components.values():
        assert profile.version not in component.packages.values(), "say {{ cluster.version }}"


@every_profile
def test_a_host_has_the_components_of_its_roles_in_the_order_of_the_profile(profile: Profile) -> None:
    masters = ["network", "kubernetes", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "flannel"]
    nodes = ["network", "kubernetes", "flannel", "docker", "kubelet", "kube-proxy"]
    assert list(profile.on(frozenset({Role.MASTER}))) == masters
    assert list(profile.on(frozenset({Role.ETCD}))) == ["etcd", "flannel-etcd", "flannel-network"]
    assert list(profile.on(frozenset({Role.NODE}))) == nodes
    assert list(profile.on(frozenset(Role))) == list(profile.components)


@every_profile
def test_every_default_flag_is_one_that_the_program_knows(profile: Profile) -> None:
    for name, component in profile.components.items():
        if name in profile.known_flags:
            sets = component.flags
            used = {*sets.always, *sets.tls, *sets.insecure, *sets.routes}
            assert used <= profile.known_flags[name].keys(), name


@every_profile
def test_every_flag_has_one_variable_that_holds_it(profile: Profile) -> None:
    for name, component in profile.components.items():
        named = [flag for flags in component.variables.values() for flag in flags]
        assert len(named) == len(set(named)), name
        sets = component.flags
        homeless = {*sets.always, *sets.tls, *sets.insecure, *sets.routes} - set(named)
        assert not homeless or REST in named, name


@every_profile
def test_every_template_exists_and_every_packaged_one_is_used(profile: Profile) -> None:
    used = {
        spec.template
        for other in ALL
        for component in other.components.values()
        for spec in component.files.values()
        if spec.template
    }
    used |= {host.TEMPLATE, bundled.TEMPLATE, *(spec.template for other in ALL for spec in other.dns.values())}
    used |= {spec.template for other in ALL for spec in other.addons.values()}
    used |= {
        str(value)
        for other in ALL
        for spec in other.dns.values()
        for variant in spec.variants.values()
        for value in variant.values()
        if str(value).endswith(".j2")
    }
    used |= {"draft/inventory.yaml.j2"}  # of `init`, for nobody's host
    here = packaged_templates()
    for name in list(used):
        tree = jinja2.Environment().parse((here / name).read_text())  # noqa: S701 - read, and never rendered
        used |= {included for included in jinja2.meta.find_referenced_templates(tree) if included}
    assert used == {str(path.relative_to(here)) for path in here.rglob("*.j2")}


@every_profile
def test_a_file_comes_from_a_template_or_from_the_pki_and_never_from_both(profile: Profile) -> None:
    for component in profile.components.values():
        for path, spec in component.files.items():
            assert bool(spec.template) != bool(spec.pki), path


@every_profile
def test_every_key_is_readable_by_its_owner_alone(profile: Profile) -> None:
    for component in profile.components.values():
        for path, spec in component.files.items():
            if spec.secret or spec.pki.endswith(".key"):
                assert spec.mode == 0o600, path


@every_profile
def test_what_a_component_waits_for_or_reads_of_others_exists(profile: Profile) -> None:
    paths = {path for component in profile.components.values() for path in component.files}
    for component in profile.components.values():
        assert {*component.after.here, *component.after.everywhere, *component.after.installed} <= set(
            profile.components
        )
        assert set(component.reads) <= paths


@every_profile
def test_what_is_fixed_is_a_flag_or_a_key_that_exists(profile: Profile) -> None:
    for name, component in profile.components.items():
        sets = component.flags
        known = {*(profile.accepted(name) or {*sets.always, *sets.tls, *sets.insecure})}
        if name == "flannel":  # its unit gives these, or ours would have to
            known |= {"etcd-endpoints", "etcd-prefix", "subnet-file", "kube-subnet-mgr"}
        assert set(component.fixed) <= known | set(component.config), name


@every_profile
def test_a_port_that_a_gate_asks_is_fixed_where_a_flag_sets_it(profile: Profile) -> None:
    gates = [gate for component in profile.components.values() for gate in component.gates]
    asked = [end.url.split("/")[2] for gate in gates for end in (gate.tls, gate.insecure) if end is not None]
    ports = {int(place.partition(":")[2]) for place in asked}
    for name, component in profile.components.items():
        sets = component.flags
        defaults = {**sets.always, **sets.tls, **sets.insecure, **component.config}
        assert {key for key, value in defaults.items() if isinstance(value, int) and value in ports} <= set(
            component.fixed
        ), name


@every_profile
def test_every_service_of_kubernetes_has_a_program_and_a_unit_in_each_source(profile: Profile) -> None:
    for name, component in profile.components.items():
        if not (component.unit and component.style is Style.KUBERNETES and component.variables):
            continue
        assert bool(component.packages) == ("packages" in profile.programs), name
        if "tarball" in profile.programs:
            assert component.programs == (name,)
            unit = component.files[f"/etc/systemd/system/{name}.service"]
            for source in profile.programs:
                assert holds(unit.when, Facts("routes", "tls", source)) == (source == "tarball")
            assert unit.used_by == "systemd"


@every_profile
def test_a_tarball_has_an_address_and_every_source_is_named_once(profile: Profile) -> None:
    assert ("tarball" in profile.programs) == bool(profile.tarball)
    assert len(set(profile.programs)) == len(profile.programs)


@every_profile
def test_the_owner_of_a_file_is_a_user_that_its_component_brings(profile: Profile) -> None:
    for name, component in profile.components.items():
        for path, spec in component.files.items():
            if spec.owner != "root" and "tarball" in profile.programs and component.programs:
                assert spec.owner in component.users, (name, path)


@every_profile
def test_a_gate_that_others_wait_for_has_a_plain_name(profile: Profile) -> None:
    for component in profile.components.values():
        for gate in component.gates:
            assert gate.asked_from == "first-master" or "{{" not in gate.name


@every_profile
def test_every_reason_is_a_sentence(profile: Profile) -> None:
    for component in profile.components.values():
        reasons = [component.why, *(spec.why for spec in component.files.values())]
        for why in [*reasons, *(gate.why for gate in component.gates)]:
            assert why.endswith("."), why
            assert why[0].isupper() or why.startswith(("docker", "etcd", "kube", "systemd")), why


def test_a_mode_is_octal_and_quoted() -> None:
    assert FileSpec.model_validate({"why": "x", "mode": "0640"}).mode == 0o640
    with pytest.raises(ValidationError, match="a mode must be quoted"):
        FileSpec.model_validate({"why": "x", "mode": 640})
