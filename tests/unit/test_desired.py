from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pure import answers, recorded
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.desired.host import RECORD
from k8s_installer.errors import InventoryError, TemplateError
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.graph import ordered
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import (
    Absent,
    Check,
    File,
    Gate,
    Kind,
    Missing,
    Package,
    Ref,
    SeenFile,
    SeenRecord,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.pki import Pki, issuing
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, leaves, placeholder

every_cluster = pytest.mark.parametrize(
    "lab",
    [
        cluster(*mode, topology, network=network)
        for mode in MODES
        for topology in TOPOLOGIES
        for network in ("routes", "none")
    ]
    + [cluster(topology=topology, programs="tarball") for topology in TOPOLOGIES],
    ids=lambda lab: f"{lab.version}-{lab.security}-{lab.hosts[0].name}-{lab.network}-{lab.programs or ''}",
)


def desired(lab: Cluster, *folders: Path) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer(folders))


def order(wanted: Desired) -> list[Ref]:
    return ordered(wanted, {ref: item.after for ref, item in wanted.items()})


def unit(host: str, name: str) -> Ref:
    return Ref(host, Kind.UNIT, name)


def gate(host: str, name: str) -> Ref:
    return Ref(host, Kind.GATE, name)


def file(wanted: Desired, host: str, path: str) -> File:
    resource = wanted[Ref(host, Kind.FILE, path)].resource
    assert isinstance(resource, File)
    return resource


@every_cluster
def test_the_edges_name_only_what_is_wanted_and_have_no_circle(lab: Cluster) -> None:
    wanted = desired(lab)
    assert len(order(wanted)) == len(wanted)
    for ref, item in wanted.items():
        assert item.ref == ref
        assert len(set(item.after)) == len(item.after), ref
        assert item.because.endswith("."), ref


@every_cluster
def test_the_same_input_gives_the_same_bytes(lab: Cluster) -> None:
    first, second = desired(lab), desired(lab)
    assert first == second
    assert list(first) == list(second)


@every_cluster
def test_what_a_unit_reads_and_runs_is_wanted_and_comes_before_it(lab: Cluster) -> None:
    wanted = desired(lab)
    for ref, item in wanted.items():
        if isinstance(item.resource, Unit):
            inputs = {Ref(ref.host, Kind.FILE, path) for path in (*item.resource.defined_by, *item.resource.reads)}
            inputs |= {Ref(ref.host, Kind.PACKAGE, package) for package in item.resource.runs}
            assert inputs <= wanted.keys()
            assert inputs <= set(item.after)
        if isinstance(item.resource, Gate):
            paths = {item.resource.ca, item.resource.cert, item.resource.key} - {""}
            assert {Ref(ref.host, Kind.FILE, path) for path in paths} <= set(item.after)


@every_cluster
def test_packages_and_users_wait_for_nothing_and_files_for_those_of_their_own_host_alone(lab: Cluster) -> None:
    packaged = profiles.profile_of(lab).source(lab) == "packages"
    for ref, item in desired(lab).items():
        if item.component == "addons":
            continue  # they wait for everything
        if isinstance(item.resource, Package | Setting):
            assert item.after == ()
        if isinstance(item.resource, File | UploadedFile):
            assert all(before.host == ref.host and before.kind in (Kind.PACKAGE, Kind.SETTING) for before in item.after)
        if isinstance(item.resource, File):
            apart = ref.name.startswith(("/etc/systemd", "/etc/sysctl", "/etc/kubernetes/network", RECORD))
            assert item.after or (item.resource.owner == "root" and (apart or not packaged)), ref


@every_cluster
def test_every_rendered_file_says_where_it_comes_from(lab: Cluster) -> None:
    for ref, item in desired(lab).items():
        if isinstance(item.resource, File) and not item.resource.content.startswith(b"<"):
            lines = item.resource.content.decode().splitlines()
            said = lines[1] if lines[0] == "#!/bin/sh" else lines[0]
            if ref.name == RECORD:
                continue
            assert said.startswith("# Rendered by k8s-installer from templates/"), ref
            assert said.endswith(f"(Kubernetes {lab.version}); change the inventory, not this file."), ref
            assert item.resource.content.endswith(b"\n"), ref
            assert b"\n\n\n" not in item.resource.content, ref


@every_cluster
def test_no_line_of_a_unit_file_is_longer_than_systemd_219_reads(lab: Cluster) -> None:
    for ref, item in desired(lab).items():
        if isinstance(item.resource, File) and ref.name.startswith("/etc/systemd/"):
            assert max(map(len, item.resource.content.splitlines())) < 2048


@pytest.mark.parametrize(("version", "security"), MODES)
def test_things_start_in_the_order_that_works(version: str, security: str) -> None:
    steps = [ref for ref in order(desired(cluster(version, security))) if ref.kind in (Kind.UNIT, Kind.GATE)]
    chain = [
        unit("m1", "etcd"), gate("m1", "etcd is healthy"),
        unit("m1", "kube-apiserver"), gate("m1", "kube-apiserver is ready"),
        unit("m1", "kube-controller-manager"), gate("m1", "kube-controller-manager is healthy"),
        unit("m1", "kube-scheduler"), gate("m1", "kube-scheduler is healthy"),
        unit("n1", "docker"), unit("n1", "kubelet"), gate("n1", "kubelet is healthy"), gate("m1", "node n1 is ready"),
    ]  # fmt: skip
    assert [ref for ref in steps if ref in chain] == chain
    assert steps.index(gate("n2", "kubelet is healthy")) < steps.index(unit("n2", "kube-proxy"))
    assert steps[-1] == gate("n2", "kube-proxy is healthy")


def test_etcd_members_start_together_and_are_asked_when_all_run() -> None:
    wanted = desired(cluster(topology="etcd-apart"))
    members = {unit(host, "etcd") for host in ("e1", "e2", "e3")}
    for host in ("e1", "e2", "e3"):
        after = set(wanted[unit(host, "etcd")].after)
        assert not members & after
        assert {Ref(other.host, Kind.PACKAGE, "etcd") for other in members} <= after
        assert {Ref(other.host, Kind.FILE, "/etc/etcd/pki/etcd.key") for other in members} <= after
        assert members <= set(wanted[gate(host, "etcd is healthy")].after)
    gates = {gate(host, "etcd is healthy") for host in ("e1", "e2", "e3")}
    for host in ("m1", "m2"):
        assert gates <= set(wanted[unit(host, "kube-apiserver")].after)


def test_nodes_wait_for_every_master() -> None:
    wanted = desired(cluster(topology="etcd-apart"))
    masters = {gate("m1", "kube-scheduler is healthy"), gate("m2", "kube-scheduler is healthy")}
    assert masters <= set(wanted[unit("n1", "docker")].after)
    assert unit("n1", "kubernetes-network") in wanted[unit("n1", "docker")].after


def test_a_node_is_asked_for_on_the_first_master_and_explained_by_its_own_kubelet() -> None:
    ready = desired(cluster(topology="etcd-apart"))[gate("m1", "node n1 is ready")].resource
    assert ready == Gate(
        url="https://127.0.0.1:6443/api/v1/nodes/n1",
        check=Check.NODE_READY,
        unit="kubelet",
        unit_host="n1",
        ca="/etc/kubernetes/pki/ca.crt",
        cert="/etc/kubernetes/pki/admin.crt",
        key="/etc/kubernetes/pki/admin.key",
    )
    alone = desired(cluster(topology="all-in-one"))[gate("c1", "node c1 is ready")].resource
    assert isinstance(alone, Gate)
    assert alone.unit_host == ""


def test_an_insecure_cluster_is_asked_over_http_and_has_no_keys() -> None:
    wanted = desired(cluster("1.5.2", "insecure"))
    assert [ref for ref in wanted if "pki" in ref.name or "kube/config" in ref.name or "kubeconfig" in ref.name] == []
    urls = [item.resource.url for item in wanted.values() if isinstance(item.resource, Gate)]
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


@pytest.mark.parametrize("version", ["1.5.2", "1.20.2"])
def test_kubectl_of_root_on_a_master_finds_the_administrators_file_where_it_looks_first(version: str) -> None:
    wanted = desired(cluster(version))
    config = file(wanted, "m1", "/root/.kube/config")
    assert (config.mode, config.owner) == (0o600, "root")
    assert b"client-key: /etc/kubernetes/pki/admin.key\n" in config.content
    assert [ref.host for ref in wanted if ref.name == "/root/.kube/config"] == ["m1"]


@pytest.mark.parametrize(("version", "security"), MODES)
def test_docker_keeps_the_options_of_its_package_but_for_the_log_driver(version: str, security: str) -> None:
    options = file(desired(cluster(version, security)), "n1", "/etc/sysconfig/docker").content
    assert b"OPTIONS='--selinux-enabled=true --signature-verification=false --log-driver=json-file " in options
    assert b"    DOCKER_CERT_PATH=/etc/docker\n" in options
    other = cluster(version, security, more="components: {docker: {args: {signature-verification: null}}}")
    assert b"signature" not in file(desired(other), "n1", "/etc/sysconfig/docker").content


def test_the_hosts_network_comes_back_behind_the_initscripts() -> None:
    lines = file(desired(cluster()), "m1", "/etc/systemd/system/kubernetes-network.service").content.splitlines()
    assert {b"PartOf=network.service", b"After=network.service"} <= set(lines)


@pytest.mark.parametrize("version", ["1.5.2", "1.5.7", "1.20.2", "1.20.15"])
def test_kubernetes_packages_are_pinned_and_the_others_are_not(version: str) -> None:
    packages = {
        ref.name: item.resource.version
        for ref, item in desired(cluster(version)).items()
        if isinstance(item.resource, Package)
    }
    kubernetes = ("kubernetes-client", "kubernetes-master", "kubernetes-node")
    assert packages == {"etcd": "", "docker": "", **dict.fromkeys(kubernetes, version)}


@pytest.mark.parametrize("version", ["1.9.4", "1.20.2"])
def test_with_a_tarball_no_package_of_kubernetes_is_left_and_each_host_has_the_programs_of_its_roles(
    version: str,
) -> None:
    wanted = desired(cluster(version, programs="tarball"))
    packages = {(ref.host, ref.name) for ref, item in wanted.items() if isinstance(item.resource, Package)}
    assert packages == {
        ("m1", "etcd"),
        *((node, package) for node in ("n1", "n2") for package in ("docker", "conntrack-tools", "socat")),
    }
    programs = [
        ref.name for ref, item in wanted.items() if isinstance(item.resource, UploadedFile) and ref.host != "n2"
    ]
    assert programs == [
        f"/usr/bin/{name}"
        for name in (
            "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
            "kubectl", "kubelet", "kube-proxy",
        )
    ]  # fmt: skip
    assert [str(ref) for ref in wanted if ref.name.startswith("user ")] == ["m1: setting user kube"]
    kubelet = wanted[unit("n1", "kubelet")].resource
    assert isinstance(kubelet, Unit)
    assert kubelet.runs == ()
    assert "/usr/bin/kubelet" in kubelet.reads
    assert "/etc/systemd/system/kubelet.service" in kubelet.defined_by


@pytest.mark.parametrize("program", ["kube-apiserver", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"])
def test_a_program_that_changes_restarts_its_own_unit_alone(program: str, tmp_path: Path) -> None:
    lab = cluster("1.9.4")
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    old = {name: UploadedFile(tmp_path, f"old {name}", 1, 0o755) for name in names}
    new = {**old, program: UploadedFile(tmp_path, f"new {program}", 1, 0o755)}

    def with_programs(programs: dict[str, UploadedFile]) -> Desired:
        return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer(), programs)

    plan = make_plan(with_programs(new), answers(with_programs(old)))
    hosts = [host.name for host in lab.hosts if f"/usr/bin/{program}" in
             {ref.name for ref in with_programs(new) if ref.host == host.name}]  # fmt: skip
    changed = {(change.ref.host, change.action, change.ref.name) for change in plan.changes}
    assert {change for change in changed if change[1] is not Action.WAIT} == {
        *((host, Action.UPDATE, f"/usr/bin/{program}") for host in hosts),
        *((host, Action.RESTART, program) for host in hosts if program != "kubectl"),
    }


def test_what_is_the_same_on_every_host_is_rendered_once() -> None:
    wanted = desired(cluster())
    for path in (
        "/etc/kubernetes/network/routes",
        "/etc/kubernetes/network/routes.sh",
        "/etc/sysctl.d/90-kubernetes.conf",
    ):
        assert file(wanted, "m1", path) is file(wanted, "n1", path) is file(wanted, "n2", path)


def test_keys_are_secret_and_certificates_are_not() -> None:
    for ref, item in desired(cluster(topology="all-in-one")).items():
        if isinstance(item.resource, File):
            assert item.resource.secret == ref.name.endswith((".key", "encryption.yaml")), ref
            assert item.resource.mode & 0o077 == 0 or not item.resource.secret, ref


def test_only_the_encryption_file_holds_a_key() -> None:
    lab = cluster(topology="all-in-one")
    secret = Pki({name: f"SECRET {name}".encode() for name in placeholder(lab).files if name.endswith(".key")})
    filled = Pki({**placeholder(lab).files, **secret.files})
    for ref, item in desire(lab, profiles.profile_of(lab), filled, Renderer()).items():
        if isinstance(item.resource, File) and b"SECRET" in item.resource.content:
            assert item.resource.secret, ref


def test_a_change_of_the_administrators_certificate_restarts_nothing() -> None:
    for item in desired(cluster(topology="all-in-one")).values():
        if isinstance(item.resource, Unit):
            assert not [path for path in item.resource.reads if "admin" in path or "healthcheck" in path]


def test_the_list_of_routes_names_every_node_and_is_absent_without_routes() -> None:
    lines = file(desired(cluster()), "m1", "/etc/kubernetes/network/routes").content.decode().splitlines()
    assert lines[2:] == ["10.244.0.0/24 10.77.0.21 n1", "10.244.1.0/24 10.77.0.22 n2"]
    without = desired(cluster(network="none"))
    assert not [ref for ref in without if "route" in ref.name or "masquerade" in ref.name]
    assert file(without, "n1", "/etc/sysconfig/docker-network").content.endswith(b'DOCKER_NETWORK_OPTIONS=""\n')


def test_a_master_that_is_no_node_does_not_touch_bridges() -> None:
    wanted = desired(cluster())
    assert not [ref for ref in wanted if ref.host == "m1" and "bridge" in ref.name]
    assert [ref for ref in wanted if ref.host == "n1" and "bridge" in ref.name]


def test_images_and_components_of_the_inventory_reach_their_files() -> None:
    lab = cluster(
        more="""
images: {pause: "registry:5000/pause:1"}
components:
  docker: {args: {insecure-registry: ["registry:5000", "other:5000"], storage-driver: devicemapper}}
  etcd: {args: {heartbeat-interval: 200, cert-file: null}}
  kubelet: {config: {maxPods: 50, authentication: {webhook: {cacheTTL: 10s}}}}
"""
    )
    wanted = desired(lab)
    assert (
        b'"--pod-infra-container-image=registry:5000/pause:1"' in file(wanted, "n1", "/etc/kubernetes/kubelet").content
    )
    docker = file(wanted, "n1", "/etc/sysconfig/docker").content
    assert b"--insecure-registry=registry:5000 --insecure-registry=other:5000'" in docker
    storage = file(wanted, "n1", "/etc/sysconfig/docker-storage").content
    assert b'"--storage-driver devicemapper "' in storage
    etcd = file(wanted, "m1", "/etc/etcd/etcd.conf").content
    assert b'#[Other]\nETCD_HEARTBEAT_INTERVAL="200"\n' in etcd
    assert b"\nETCD_CERT_FILE" not in etcd
    kubelet = file(wanted, "n1", "/etc/kubernetes/kubelet.yaml").content
    assert b"  webhook:\n    enabled: true\n    cacheTTL: 10s\n" in kubelet
    assert kubelet.endswith(b"maxPods: 50\n")


def test_docker_and_the_kubelet_have_the_same_cgroup_driver() -> None:
    new, old = desired(cluster()), desired(cluster("1.5.2"))
    for wanted in (new, old):
        assert b"--exec-opt=native.cgroupdriver=systemd" in file(wanted, "n1", "/etc/sysconfig/docker").content
    assert b"cgroupDriver: systemd\n" in file(new, "n1", "/etc/kubernetes/kubelet.yaml").content
    assert b"--cgroup-driver=systemd" in file(old, "n1", "/etc/kubernetes/kubelet").content


DOCKER = "/usr/lib/systemd/system/docker.service"
DROP_IN, START = "/etc/systemd/system/docker.service.d/40-cgroup-driver.conf", "/etc/kubernetes/docker/start.sh"


@pytest.mark.parametrize("version", ["1.5.2", "1.9.4", "1.20.2"])
def test_one_choice_of_a_cgroup_driver_reaches_docker_and_the_kubelet_of_its_host(version: str) -> None:
    nodes = (
        TOPOLOGIES["one-master-two-nodes"].rstrip("}\n").removesuffix("]")
        + "], host_settings: {cgroup_driver: cgroupfs}}\n"
    )
    wanted = desired(cluster(version, topology=nodes))
    for node, driver in (("n1", "systemd"), ("n2", "cgroupfs")):
        assert (
            f"--exec-opt=native.cgroupdriver={driver} ".encode() in file(wanted, node, "/etc/sysconfig/docker").content
        )
        kubelet = b"".join(
            item.resource.content
            for ref, item in wanted.items()
            if ref.host == node and isinstance(item.resource, File) and ref.name.startswith("/etc/kubernetes/kubelet")
        )
        assert re.findall(rb"cgroup-?[dD]river[:=] ?(\w+)", kubelet) == [driver.encode()]
    unit = wanted[Ref("n2", Kind.UNIT, "docker")].resource
    assert isinstance(unit, Unit)
    assert DROP_IN in unit.defined_by
    assert START in unit.reads
    assert Ref("n1", Kind.FILE, DROP_IN) not in wanted


# The first is of the unit of CentOS 7's docker 1.13.1, with a program that says what it is given.
@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (
            """[Service]
ExecStart=/bin/echo \\
          --add-runtime docker-runc=/usr/libexec/docker/docker-runc-current \\
          --default-runtime=docker-runc \\
          --exec-opt native.cgroupdriver=systemd \\
          --userland-proxy-path=/usr/libexec/docker/docker-proxy-current \\
          $OPTIONS \\
          $DOCKER_STORAGE_OPTIONS \\
          $REGISTRIES
ExecReload=/bin/kill -s HUP $MAINPID
""",
            "--add-runtime docker-runc=/usr/libexec/docker/docker-runc-current --default-runtime=docker-runc --userland-proxy-path=/usr/libexec/docker/docker-proxy-current --label=a=* --exec-opt=native.cgroupdriver=cgroupfs --storage-driver overlay2\n",
        ),
        ("ExecStart=/bin/echo --exec-opt=native.cgroupdriver=systemd $OPTIONS\nType=notify\n", "--label=a=* --exec-opt=native.cgroupdriver=cgroupfs\n"),
        ("ExecStart=/bin/echo -H fd://\n", "-H fd://\n"),
    ],
)  # fmt: skip
def test_docker_starts_by_its_packages_line_without_its_cgroup_driver(tmp_path: Path, unit: str, expected: str) -> None:
    (tmp_path / "docker.service").write_text(unit)
    assert started(tmp_path) == (0, expected, "")


def test_docker_does_not_start_by_a_unit_without_a_command(tmp_path: Path) -> None:
    (tmp_path / "docker.service").write_text("[Service]\nType=notify\n")
    code, output, error = started(tmp_path)
    assert (code, output) == (1, "")
    assert error.endswith("docker.service has no ExecStart=: is the package docker installed?\n")


def started(folder: Path) -> tuple[int, str, str]:
    """What the script does that starts docker, with the unit file in `folder`."""
    nodes = TOPOLOGIES["all-in-one"].replace("node]", "node], host_settings: {cgroup_driver: cgroupfs}")
    script = file(desired(cluster(topology=nodes)), "c1", START).content.decode()
    assert script.count(DOCKER) == 1
    (folder / "start.sh").write_text(script.replace(DOCKER, str(folder / "docker.service")))
    environment = {
        "PATH": "/usr/bin:/bin",
        "OPTIONS": "--label=a=* --exec-opt=native.cgroupdriver=cgroupfs",
        "DOCKER_STORAGE_OPTIONS": "--storage-driver overlay2 ",
    }
    done = subprocess.run(
        ["/bin/sh", "start.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_what_the_version_does_not_have_is_refused_with_every_finding() -> None:
    with pytest.raises(InventoryError) as caught:
        desired(cluster("1.20.2", "insecure", more="components: {kubelet: {args: {api-servers: x}}}"))
    assert len(caught.value.findings) == 2


def test_a_broken_override_names_template_line_and_host(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes" / "proxy.j2").write_text("# {{ header }}\n{{ no_such }}\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"^kubernetes/proxy\.j2:2, for n1: 'no_such' is undefined$"):
        desired(cluster(), tmp_path)


def test_a_shared_template_does_not_know_a_host(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "routes.j2").write_text("{{ host.name }}\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"^network/routes\.j2:1, for m1: 'host' is undefined$"):
        desired(cluster(), tmp_path)


def test_a_template_that_is_not_secret_sees_no_key(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes" / "proxy.j2").write_text("{{ pki['ca.key'] }}\n", encoding="utf-8")
    with pytest.raises(TemplateError, match="'pki' is undefined"):
        desired(cluster(), tmp_path)


def test_a_secret_template_may_look_at_every_key_and_is_made_of_those_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").mkdir()
    text = "{{ pki | length }} {{ pki | list | first }} {{ pki['sa.key'] }}{{ pki['encryption.key'] }}"
    (tmp_path / "kubernetes" / "encryption.yaml.j2").write_text(text, encoding="utf-8")
    lab = cluster()
    keys = replace(placeholder(lab), pending={"encryption.key": "created by the first apply"})
    wanted = desire(lab, profiles.profile_of(lab), keys, Renderer([tmp_path]))
    file = wanted[Ref("m1", Kind.FILE, "/etc/kubernetes/pki/encryption.yaml")].resource
    assert isinstance(file, File)
    assert file.content == f"{len(keys.files)} ca.crt <sa.key>\n<encryption.key>\n".encode()
    assert (file.made_of, file.pending) == (("sa.key", "encryption.key"), "created by the first apply")


@pytest.mark.parametrize("version", ["1.9.4", "1.20.2"])
def test_masters_sign_nothing_where_the_ca_s_key_is_elsewhere_or_its_file_has_a_chain(version: str) -> None:
    lab = cluster(version)
    whole = placeholder(lab)
    files = {name: content for name, content in whole.files.items() if name != "ca.key"}
    without = desire(lab, profiles.profile_of(lab), Pki(files, absent=frozenset({"ca.key"})), Renderer())
    with_it = desire(lab, profiles.profile_of(lab), whole, Renderer())
    assert {ref.name for ref in with_it.keys() - without.keys()} == {"/etc/kubernetes/pki/ca.key"}

    def flags(wanted: Desired) -> bytes:
        file = wanted[Ref("m1", Kind.FILE, "/etc/kubernetes/controller-manager")].resource
        assert isinstance(file, File)
        return file.content

    assert b"--cluster-signing-key-file=/etc/kubernetes/pki/ca.key" in flags(with_it)
    assert b"--cluster-signing-" not in flags(without)
    one = issuing.new_authority("kubernetes-ca").certificate
    for chain, signs in ((one, True), (one + one, False)):  # a controller-manager that signs takes no chain
        given = Pki({**whole.files, "ca.crt": chain})
        assert (b"--cluster-signing-" in flags(desire(lab, profiles.profile_of(lab), given, Renderer()))) is signs


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "inventories").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_example_inventory_works(path: Path) -> None:
    assert desired(inventory.load(path))


@pytest.mark.parametrize(("version", "security"), MODES)
def test_a_leader_is_waited_for_wherever_one_is_elected(version: str, security: str) -> None:
    gates = [item.resource for item in desired(cluster(version, security)).values() if isinstance(item.resource, Gate)]
    assert [gate.unit for gate in gates if gate.check is Check.LEASE_HELD] == [
        "kube-controller-manager",
        "kube-scheduler",
    ]


def test_in_1_5_an_address_is_the_inventory_s_in_both_modes() -> None:
    for security in ("insecure", "tls"):
        wanted = desired(cluster("1.5.2", security))
        apiserver = file(wanted, "m1", "/etc/kubernetes/apiserver").content
        assert b"--advertise-address=10.77.0.11" in apiserver
        assert b"--kubelet-preferred-address-types=InternalIP,Hostname" in apiserver
        assert b" --node-ip=10.77.0.21" in file(wanted, "n1", "/etc/kubernetes/kubelet").content


def test_in_1_5_the_apiserver_asks_a_quorum_of_several_etcd_members() -> None:
    def asks(topology: str) -> bool:
        lab = cluster("1.5.2", topology=topology)
        return (
            b" --etcd-quorum-read=true"
            in file(desired(lab), lab.having(Role.MASTER)[0].name, "/etc/kubernetes/apiserver").content
        )

    assert [asks(topology) for topology in ("one-master-two-nodes", "etcd-apart")] == [False, True]


def settings_of(lab: Cluster, host: str) -> dict[str, str]:
    return {
        ref.name: item.resource.value
        for ref, item in desired(lab).items()
        if ref.host == host and isinstance(item.resource, Setting) and "flannel" not in ref.name
    }


def test_a_firewall_lets_pass_what_the_hosts_roles_need_and_no_more() -> None:
    always = {"selinux": "permissive", "swap": "off"}
    lab = cluster("1.5.2", "insecure", "etcd-apart")
    assert settings_of(lab, "e1") == always | {"firewalld-port 2379/tcp": "open", "firewalld-port 2380/tcp": "open"}
    own = {"addons": "none", "schedulable n1": "released"}
    assert settings_of(lab, "m1") == always | {"firewalld-port 8080/tcp": "open"} | own
    assert settings_of(lab, "n1") == always | {
        "firewalld-port 10250/tcp": "open",
        "firewalld-port 30000-32767/tcp": "open",
        "firewalld-port 30000-32767/udp": "open",
        "firewalld-source 10.244.0.0/16": "trusted",
    }
    assert "firewalld-port 6443/tcp" in settings_of(cluster("1.5.2", "tls", "etcd-apart"), "m1")


def test_what_a_host_has_of_its_own_can_be_left_alone() -> None:
    more = "host_settings: {selinux: ignore, swap: ignore, firewall: ignore}\n"
    assert settings_of(cluster(more=more), "n1") == {}
    lab = cluster(more="host_settings: {firewall: disable, selinux: enforcing, swap: ignore}\n")
    assert settings_of(lab, "n1") == {"selinux": "enforcing"}


def test_names_and_the_journal_are_left_alone_unless_they_are_asked_for() -> None:
    assert not {"hosts-file", "journal"} & settings_of(cluster(), "n1").keys()
    wanted = settings_of(cluster(more="host_settings: {hosts_file: manage, journald: persistent}\n"), "n1")
    assert wanted["hosts-file"] == "10.77.0.11=m1,10.77.0.21=n1,10.77.0.22=n2"
    assert wanted["journal"] == "persistent"


@pytest.mark.parametrize(("version", "security"), MODES)
def test_a_limit_of_open_files_is_a_drop_in_of_four_services_on_the_hosts_that_say_it(
    version: str, security: str
) -> None:
    def drop_ins(more: str, topology: str) -> dict[str, list[str]]:
        wanted = desired(cluster(version, security, topology, more=more))
        limits = {ref: item for ref, item in wanted.items() if ref.name.endswith("/30-limits.conf")}
        for ref, item in limits.items():
            assert isinstance(item.resource, File)
            assert item.resource.content.endswith(b"[Service]\nLimitNOFILE=65536\n")
            unit = ref.name.split("/")[4].removesuffix(".service.d")
            reads = wanted[Ref(ref.host, Kind.UNIT, unit)].resource
            assert isinstance(reads, Unit)
            assert ref.name in reads.defined_by
        return {
            host: [ref.name.split("/")[4].removesuffix(".service.d") for ref in limits if ref.host == host]
            for host in sorted({ref.host for ref in limits})
        }

    shared = "host_settings: {limit_nofile: 65536}\n"
    assert drop_ins("", "one-master-two-nodes") == {}
    assert drop_ins(shared, "one-master-two-nodes") == {
        "m1": ["etcd", "kube-apiserver"],
        "n1": ["docker", "kubelet"],
        "n2": ["docker", "kubelet"],
    }
    one = TOPOLOGIES["one-master-two-nodes"].replace(
        "10.77.0.22, roles: [node]", "10.77.0.22, roles: [node], host_settings: {limit_nofile: 65536}"
    )
    assert drop_ins("", one) == {"n2": ["docker", "kubelet"]}


def test_a_hosts_own_things_come_before_all_its_services() -> None:
    lab = cluster(
        topology="etcd-apart", more="repos: {mirror: http://10.0.0.9/centos}\nhost_settings: {time: chrony}\n"
    )
    wanted = desired(lab)
    order = list(ordered(wanted, {ref: item.after for ref, item in wanted.items()}))
    for host in lab.hosts:
        own = [order.index(ref) for ref, item in wanted.items() if ref.host == host.name and item.component == "host"]
        services = [ref for ref, item in wanted.items() if ref.host == host.name and item.component != "host"]
        first = min(order.index(ref) for ref in services if ref.kind is Kind.UNIT)
        assert max(own) < first
        repo = Ref(host.name, Kind.FILE, "/etc/yum.repos.d/CentOS-Base.repo")
        assert all(wanted[ref].after == (repo,) for ref in wanted if ref.host == host.name and ref.kind is Kind.PACKAGE)
        assert wanted[repo].turn.group == (
            "etcd" if "etcd" in host.roles else "masters" if "master" in host.roles else "nodes"
        )


def test_flannel_comes_between_etcd_and_docker_on_every_host_with_pods_or_ways_to_them() -> None:
    wanted = desired(cluster(network="flannel"))
    order = list(ordered(wanted, {ref: item.after for ref, item in wanted.items()}))

    def place(host: str, kind: Kind, name: str) -> int:
        return order.index(Ref(host, kind, name))

    assert place("m1", Kind.GATE, "etcd is healthy") < place("m1", Kind.UNIT, "flannel-network")
    assert place("m1", Kind.GATE, "etcd of flannel is healthy") < place("m1", Kind.UNIT, "flannel-network")
    for host in ("m1", "n1", "n2"):
        assert place("m1", Kind.UNIT, "flannel-network") < place(host, Kind.UNIT, "flanneld")
    assert place("n1", Kind.UNIT, "flanneld") < place("n1", Kind.UNIT, "docker")
    assert Ref("n1", Kind.UNIT, "docker") in wanted[Ref("n1", Kind.GATE, "kubelet is healthy")].after
    assert not [ref for ref, item in wanted.items() if "flannel" in ref.name and isinstance(item.resource, Absent)]


@pytest.mark.parametrize("version", ["1.5.2", "1.9.4", "1.20.2"])
@pytest.mark.parametrize("network", ["routes", "flannel", "none"])
def test_a_node_has_no_key_that_opens_the_clusters_etcd(version: str, network: str) -> None:
    lab = cluster(version, network=network, topology="etcd-apart")
    wanted = desired(lab)
    opens = {f"<{name}.key>\n".encode() for name, leaf in leaves(lab).items() if leaf.issuer == "etcd-ca"}
    having = {
        ref.host for ref, item in wanted.items() if isinstance(item.resource, File) and item.resource.content in opens
    }
    assert having == {"e1", "e2", "e3", "m1", "m2"}


@pytest.mark.parametrize("network", ["routes", "none"])
def test_keys_of_flannel_go_when_the_network_is_another(network: str) -> None:
    before, after = desired(cluster(network="flannel")), desired(cluster(network=network))
    keys = {
        (ref.host, ref.name)
        for ref, item in before.items()
        if isinstance(item.resource, File) and item.resource.content.startswith((b"<flannel-", b"<m1/flannel-"))
    }
    assert {host for host, _ in keys} == {"m1", "n1", "n2"}
    plan = switched(before, after)
    places = {(change.ref.host, change.ref.name): place for place, change in enumerate(plan.changes)}
    removed = {(change.ref.host, change.ref.name) for change in plan.changes if change.action is Action.REMOVE}
    assert keys <= removed
    assert all(places[host, "flanneld"] < places[host, name] for host, name in keys if "/flannel/" in name)


def test_members_of_flannels_etcd_start_together_while_those_of_the_clusters_take_turns() -> None:
    """As when a cluster of three members moves to it in the run that restarts them."""
    wanted = desired(cluster(network="flannel", topology="etcd-apart"))
    seen = dict(answers(wanted))
    for ref in wanted:
        there = seen.get(ref)
        if ref.kind in (Kind.FILE, Kind.UNIT) and "flannel-etcd" in ref.name:
            seen[ref] = Missing.ABSENT
        elif isinstance(there, SeenFile) and ref.name == "/etc/etcd/etcd.conf":
            seen[ref] = replace(there, sha256="0" * 64)
    plan = make_plan(wanted, seen)
    steps = [(change.ref.host, change.action, change.ref.name) for change in plan.changes]

    def waits_for(host: str, action: Action, unit: str) -> set[tuple[str, Action, str]]:
        found: set[int] = set()
        left = list(plan.after[steps.index((host, action, unit))])
        while left:
            one = left.pop()
            left += () if one in found else plan.after[one]
            found.add(one)
        return {steps[one] for one in found}

    for member in ("e1", "e2", "e3"):
        before = waits_for(member, Action.START, "flannel-etcd")
        assert not [
            step for step in before if step[1] is Action.START or (step[1] is Action.WAIT and "flannel" in step[2])
        ]
        assert {
            ("e1", Action.RESTART, "etcd"),
            ("e2", Action.RESTART, "etcd"),
            ("e3", Action.RESTART, "etcd"),
        } <= before
    assert ("e1", Action.RESTART, "etcd") in waits_for("e2", Action.RESTART, "etcd")


def test_without_tls_flannel_uses_the_clusters_etcd() -> None:
    wanted = desired(cluster("1.5.2", "insecure", network="flannel"))
    assert not [ref for ref in wanted if "flannel-etcd" in ref.name]
    script = file(wanted, "m1", "/etc/kubernetes/network/flannel.sh").content
    assert b":2389" not in script
    assert b"http://127.0.0.1:2379" in script


def test_flannel_asks_etcd_as_the_cluster_speaks_to_it() -> None:
    def said(security: str) -> str:
        wanted = desired(cluster("1.5.2", security, network="flannel"))
        return file(wanted, "n1", "/etc/sysconfig/flanneld").content.decode()

    assert 'FLANNEL_ETCD_ENDPOINTS="https://10.77.0.11:2389"' in said("tls")
    assert "--etcd-keyfile=/etc/flannel/pki/flannel.key" in said("tls")
    assert 'FLANNEL_ETCD_ENDPOINTS="http://10.77.0.11:2379"' in said("insecure")
    assert "--etcd-" not in said("insecure")


def test_units_whose_rules_of_iptables_nobody_else_writes_again_restart_with_firewalld() -> None:
    def cleared(network: str) -> set[tuple[str, str]]:
        units = {
            ref: item.resource
            for ref, item in desired(cluster(network=network)).items()
            if isinstance(item.resource, Unit)
        }
        return {(ref.host, ref.name) for ref, unit in units.items() if unit.cleared_by == ("firewalld",)}

    assert cleared("routes") == {
        ("n1", "docker"),
        ("n1", "kubernetes-network"),
        ("n2", "docker"),
        ("n2", "kubernetes-network"),
    }
    assert cleared("flannel") >= {("m1", "flanneld"), ("n1", "docker"), ("n1", "flanneld")}


def test_a_firewall_lets_vxlan_pass_where_it_is_used() -> None:
    assert settings_of(cluster(network="flannel"), "n1")["firewalld-port 8472/udp"] == "open"
    routed = settings_of(cluster(network="flannel, flannel: {backend: host-gw}"), "n1")
    assert not [name for name in routed if name in ("firewalld-port ", "firewalld-port 8472/udp")]


def test_another_backend_restarts_flanneld_and_docker_with_it() -> None:
    edited = desired(cluster(network="flannel, flannel: {backend: host-gw}"))
    plan = make_plan(edited, answers(desired(cluster(network="flannel"))))
    restarts = [(change.ref.host, change.ref.name) for change in plan.changes if change.action is Action.RESTART]
    assert restarts == [
        ("m1", "flannel-network"), ("m1", "flanneld"),
        ("n1", "flanneld"), ("n1", "docker"), ("n2", "flanneld"), ("n2", "docker"),
    ]  # fmt: skip


def test_what_one_network_has_goes_when_another_takes_its_place() -> None:
    routes, flannel = desired(cluster()), desired(cluster(network="flannel"))
    plan = switched(routes, flannel)
    removed = {change.ref.name for change in plan.changes if change.action is Action.REMOVE and change.ref.host == "n1"}
    assert removed == {ref.name for ref in routes if ref.host == "n1" and ("route" in ref.name or "masq" in ref.name)}
    back = switched(flannel, routes)
    steps = [(change.action, change.ref.name) for change in back.changes if change.ref.host == "n1"]
    assert steps.index((Action.STOP, "flanneld")) < steps.index((Action.RESTART, "kubernetes-network"))
    assert ("n1", "docker") in {
        (item.ref.host, item.ref.name) for item in back.changes if item.action is Action.RESTART
    }


def switched(old: Desired, new: Desired) -> Plan:
    """The plan of an edit on hosts that have recorded all that is as the old inventory wanted it."""
    hosts = sorted({ref.host for ref in old})
    records = {Ref(host, Kind.RECORD, "placed"): SeenRecord(recorded(old, host)) for host in hosts}
    seen = {**dict.fromkeys(new, Missing.ABSENT), **answers(old), **records}
    return make_plan(with_leaving(new, new, seen, hosts, None), seen)


def test_a_profile_without_flannel_says_so() -> None:
    lab = cluster(network="flannel")
    whole = profiles.profile_of(lab)
    own = whole.model_copy(update={"components": {k: v for k, v in whole.components.items() if k != "flannel"}})
    with pytest.raises(InventoryError, match=r"the profile of Kubernetes 1\.20\.2 has no flannel"):
        desire(lab, own, placeholder(lab), Renderer())


def test_nodes_reach_the_api_by_its_endpoint_and_masters_by_their_own() -> None:
    lab = replace(cluster(topology="etcd-apart"), load_balancer="10.0.0.10:443")
    wanted = desired(lab)
    places = {
        (host, name): re.findall(
            "server: (.*)", file(wanted, host, f"/etc/kubernetes/{name}.kubeconfig").content.decode()
        )
        for host, name in (("m2", "scheduler"), ("n1", "kubelet"), ("n1", "proxy"))
    }
    assert places == {
        ("m2", "scheduler"): ["https://10.77.0.12:6443"],
        ("n1", "kubelet"): ["https://10.0.0.10:443"],
        ("n1", "proxy"): ["https://10.0.0.10:443"],
    }
    assert leaves(lab)["m2/apiserver"].names[-1] == "10.0.0.10"
    local = replace(lab, load_balancer="127.0.0.1:6444")
    assert leaves(local) == leaves(replace(lab, load_balancer=""))
    bare = replace(lab, version="1.5.2", security="insecure")
    assert b"http://10.0.0.10:443" in file(desired(bare), "n1", "/etc/kubernetes/config").content
