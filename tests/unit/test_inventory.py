from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_installer.errors import InventoryError
from k8s_installer.inventory import (
    Cluster,
    Flannel,
    HostSettings,
    Proxy,
    Role,
    Tarball,
    Tuning,
    allocations,
    load,
    parse,
)
from tests.unit.clusters import SUM, cluster

GOOD = """\
cluster:
  name: lab
  version: "1.5.2"
  network: routes
hosts:
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node], ssh: {port: 2222}, components: {kubelet: {args: {max-pods: 50}}}}
components:
  kube-proxy: {args: {conntrack-max-per-core: 0, v: null, masquerade-all: true}}
  kubelet: {args: {node-labels: [a=b, c=d]}}
"""


def read(text: str) -> Cluster:
    return parse(text, Path("cluster.yaml"))


def complaint(text: str) -> str:
    with pytest.raises(InventoryError) as caught:
        read(text)
    return str(caught.value)


def test_defaults_are_filled_in_and_options_of_a_host_win() -> None:
    cluster = read(GOOD)
    m1, n1, n2 = cluster.hosts
    assert (cluster.pod_cidr, cluster.security, cluster.dns_domain) == (
        IPv4Network("10.244.0.0/16"),
        "tls",
        "cluster.local",
    )
    assert (m1.ssh.user, m1.ssh.port, m1.ssh.host_keys, n2.ssh.port) == ("root", 22, "strict", 2222)
    assert cluster.having(Role.NODE) == (n1, n2)
    assert n2.tuning["kubelet"] == Tuning({"node-labels": ("a=b", "c=d"), "max-pods": 50}, {})
    assert n1.tuning["kubelet"] == Tuning({"node-labels": ("a=b", "c=d")}, {})
    assert n1.tuning["kube-proxy"].args == {"conntrack-max-per-core": 0, "v": None, "masquerade-all": True}


def test_the_deadline_of_a_components_gates_can_be_changed_for_all_and_for_one() -> None:
    cluster = read(
        GOOD.replace("kubelet: {args: {max-pods: 50}}", "kubelet: {deadline: 300}") + "  etcd: {deadline: 120}\n"
    )
    assert cluster.hosts[0].tuning["etcd"].deadline == 120
    assert cluster.hosts[2].tuning["kubelet"].deadline == 300
    assert cluster.hosts[1].tuning["kubelet"].deadline is None


def test_a_host_has_the_pod_subnet_that_the_inventory_names_and_no_other() -> None:
    text = GOOD.replace("n2: {", "n2: {pod_subnet: 10.244.0.0/24, ")
    assert [str(host.pod_subnet) for host in read(text).hosts] == ["None", "None", "10.244.0.0/24"]
    assert {host.pod_subnet for host in read(text.replace("routes", "none")).hosts} == {None}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("network: routes", "netwrk: routes", "cluster.yaml:4: unknown key cluster.netwrk (did you mean network?)"),
        ("network: routes", "zzz: routes", "cluster.yaml:4: unknown key cluster.zzz"),
        ("ssh: {port: 2222}", "ssh: {prot: 1}", "cluster.yaml:8: unknown key hosts.n2.ssh.prot (did you mean port?)"),
        ("10.77.0.21", "10.77.0.11", "cluster.yaml:7: duplicate address 10.77.0.11: m1 has it as well"),
        ("[etcd, master]", "[etcd]", "cluster.yaml:5: no master: give at least one host `roles: [etcd, master]`"),
        ("[etcd, master]", "[master]", "cluster.yaml:5: no etcd member: give the role `etcd` to one, three or five hosts"),
        ("[node]}", "[etcd]}", "cluster.yaml:5: 2 etcd members: use 1, 3 or 5 hosts with the role `etcd`"),
        ("[etcd, master]", "[etcd, etcd, master]", "cluster.yaml:6: host m1: a role appears twice"),
        ("roles: [node]}", "roles: [nod]}", "cluster.yaml:7: hosts.n1.roles.0: 'nod' should be 'etcd', 'master' or 'node' (did you mean node?)"),
        ("network: routes", "network: flanel", "cluster.yaml:4: cluster.network: 'flanel' should be 'routes', 'flannel' or 'none' (did you mean flannel?)"),
        ("network: routes", "network: flannel\n  flannel: {backend: udp}", "cluster.yaml:5: cluster.flannel.backend: 'udp' should be 'vxlan' or 'host-gw'"),
        ("network: routes", "network: none\n  flannel: {backend: vxlan}", "cluster.yaml:5: cluster.flannel: the network is none (set network: flannel, or leave it out)"),
        ("network: routes", "network: flannel\n  pod_cidr: 10.244.0.0/23", "cluster.yaml:5: pod_cidr 10.244.0.0/23 is too small: flannel gives each of 3 masters and nodes a /24, and does not use the first (give it a /22)"),
        ("network: routes", "pod_cidr: 10.254.0.0/20", "cluster.yaml:4: pod_cidr 10.254.0.0/20 and service_cidr 10.254.0.0/16 overlap"),
        ("network: routes", "service_cidr: 10.244.0.0/16", "cluster.yaml:4: pod_cidr 10.244.0.0/16 and service_cidr 10.244.0.0/16 overlap"),
        ("network: routes", "service_cidr: 10.77.0.0/28", "cluster.yaml:6: host m1: 10.77.0.11 is inside service_cidr 10.77.0.0/28, which the cluster uses"),
        ("n2: {", "n2: {pod_subnet: 10.1.0.0/24, ", "cluster.yaml:8: host n2: pod_subnet 10.1.0.0/24 is not inside pod_cidr 10.244.0.0/16"),
        ("network: routes", "service_cidr: 10.9.0.0/32", "cluster.yaml:4: service_cidr 10.9.0.0/32 is too small: give it at least a /28"),
        ("network: routes", "service_cidr: 10.9.0.0/29", "cluster.yaml:4: service_cidr 10.9.0.0/29 is too small: give it at least a /28"),
        ("network: routes", "service_cidr: 16.0.0.0/11", "cluster.yaml:4: service_cidr 16.0.0.0/11 is too large: give it at most a /12"),
        ("network: routes", "network: none\n  pod_cidr: 10.244.0.0/31", "cluster.yaml:5: pod_cidr 10.244.0.0/31 is too small: give it at least a /28"),
        ("n2: {", "n2: {pod_subnet: 10.244.3.0/32, ", "cluster.yaml:8: host n2: pod_subnet 10.244.3.0/32 is too small: give it at least a /28"),
        ("network: routes", "dns_domain: 'ä b'", "cluster.yaml:4: cluster.dns_domain: 'ä b' must be DNS labels (lowercase letters, digits, '-') separated by dots, at most 200 characters"),
        ("network: routes", "dns_domain: a..b", "cluster.yaml:4: cluster.dns_domain: 'a..b' must be DNS labels (lowercase letters, digits, '-') separated by dots, at most 200 characters"),
        ("n1: {", "n" * 53 + ": {", f"cluster.yaml:7: host {'n' * 53}: a node's name may have at most 52 characters"),
        ("components:\n", "images: {pause: 'a b\" $X'}\ncomponents:\n", "cluster.yaml:9: images.pause: 'a b\" $X' has a space, where systemd would split it in two; for several values use a list: [a, b]"),
        ("components:\n", "components:\n  docker: {args: {'x y\" z': 1}}\n", "cluster.yaml:10: components.docker.args.x y\" z: 'x y\" z' is not a flag name: use letters, digits, '-' and '_', without leading dashes"),
        ("components:\n", "components:\n  etcd: {args: {--debug: true}}\n", "cluster.yaml:10: components.etcd.args.--debug: '--debug' is not a flag name: use letters, digits, '-' and '_', without leading dashes"),
        ("max-pods: 50", 'max-pods: "\\0"', "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: '\\x00' has a line break or another control character, which a systemd command line cannot contain"),
        ("m1: {", "m1: {pod_subnet: 10.244.9.0/24, ", "cluster.yaml:6: host m1 has a pod_subnet but is not a node"),
        ('"1.5.2"', "1.20", "cluster.yaml:3: cluster.version: 1.2 must be in quotes: without them YAML reads a number, and 1.20 as 1.2"),
        ("m1: {address", "M_1: {address", "cluster.yaml:6: hosts.M_1: 'M_1' must be a DNS label: at most 63 lowercase letters, digits and '-'"),
        ("address: 10.77.0.21, roles: [node]", "address: 10.77.0.21, roles: []", "cluster.yaml:7: hosts.n1.roles: must not be empty"),
        ("address: 10.77.0.21, ", "", "cluster.yaml:7: missing key hosts.n1.address"),
        ("n1: {", "m1: {", "cluster.yaml:7: duplicate key hosts.m1 (first on line 6)"),
        ("{max-pods: 50}", "{max-pods: {api/all: true, b: c}}", "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: must not be a mapping: use a list, [api/all=true, b=c]"),
        ("{max-pods: 50}", "{max-pods: {a: 1}}", "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: must not be a mapping: use a list, [a=1]"),
        ("max-pods: 50", "max-pods: [1, null]", "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: must be a string, a number, true, false, a list of those, or null to remove the flag"),
        ("max-pods: 50", f"max-pods: '{'9' * 5000}'", f"cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: '{'9' * 5000}' is longer than 4096 characters"),
        ("max-pods: 50", "max-pods: a$b", "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: 'a$b' has a $ in it, which systemd or a shell would interpret"),
        ("max-pods: 50", "max-pods: a b", "cluster.yaml:8: hosts.n2.components.kubelet.args.max-pods: 'a b' has a space, where systemd would split it in two; for several values use a list: [a, b]"),
        ("ssh: {port: 2222}", "ssh: {key: no/such/key}", f"cluster.yaml:8: ssh.key: file {Path.cwd()}/no/such/key does not exist"),
        ("{port: 2222}", "5", "cluster.yaml:8: hosts.n2.ssh: 5 must be a mapping"),
        ("network: routes", f"tarball: {{path: no/such, sha256: {SUM}}}", f"cluster.yaml:4: cluster.tarball.path: file {Path.cwd()}/no/such does not exist"),
        ("network: routes", f"tarball: {{path: a, url: 'https://b/c', sha256: {SUM}}}", "cluster.yaml:4: cluster.tarball: has both path and url: keep one of them"),
        ("network: routes", f"tarball: {{url: 'ftp://b/c', sha256: {SUM}}}", "cluster.yaml:4: cluster.tarball.url: 'ftp://b/c' must be the URL of a file, starting with https:// or http://"),
        ("network: routes", "tarball: {path: a, sha256: 0f}", "cluster.yaml:4: cluster.tarball.sha256: '0f' is not a SHA-256: use 64 hexadecimal digits, as sha256sum prints them"),
        ("network: routes", "tarball: {path: a}", "cluster.yaml:4: missing key cluster.tarball.sha256"),
        ("network: routes", f"tarball: {{pat: a, sha256: {SUM}}}", "cluster.yaml:4: unknown key cluster.tarball.pat (did you mean path?)"),
        ("network: routes", "api_endpoint: 10.0.0.10", "cluster.yaml:4: cluster.api_endpoint: '10.0.0.10' must be HOST:PORT such as 10.0.0.10:6443 or api.example.com:6443"),
        ("network: routes", "api_endpoint: api:70000", "cluster.yaml:4: cluster.api_endpoint: 'api:70000' must be HOST:PORT such as 10.0.0.10:6443 or api.example.com:6443"),
        ("network: routes", "programs: tar", "cluster.yaml:4: cluster.programs: 'tar' should be 'packages' or 'tarball' (did you mean tarball?)"),
        ("port: 2222", "port: 70000", "cluster.yaml:8: hosts.n2.ssh.port: 70000 should be less than or equal to 65535"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_with_its_line(old: str, new: str, message: str) -> None:
    assert complaint(GOOD.replace(old, new, 1)) == message


def test_a_tarball_lies_relative_to_the_inventory_or_at_an_address(tmp_path: Path) -> None:
    (tmp_path / "server.tar.gz").touch()
    text = GOOD.replace("network: routes", f"tarball: {{path: server.tar.gz, sha256: {SUM.upper()}}}")
    (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "cluster.yaml").tarball == Tarball(str(tmp_path / "server.tar.gz"), None, SUM)
    text = GOOD.replace("network: routes", f"programs: tarball\n  tarball: {{url: 'https://b/c', sha256: {SUM}}}")
    assert (read(text).programs, read(text).tarball) == ("tarball", Tarball(None, "https://b/c", SUM))
    assert (read(GOOD).programs, read(GOOD).tarball) == (None, None)


def test_the_smallest_networks_and_dotted_domains_are_good() -> None:
    networks = "pod_cidr: 10.1.0.0/27\n  service_cidr: 10.9.0.0/28\n  dns_domain: k8s.example-1.org"
    text = GOOD.replace("network: routes", networks)
    text = text.replace("n1: {", "n1: {pod_subnet: 10.1.0.0/28, ").replace("n2: {", "n2: {pod_subnet: 10.1.0.16/28, ")
    cluster = read(text)
    assert (str(cluster.hosts[2].pod_subnet), cluster.dns_domain) == ("10.1.0.16/28", "k8s.example-1.org")
    assert read(GOOD + "images: {pause: null, verify: 'r:5000/a/b:1@sha256:0f'}\n").images.pause == ""


def test_subnets_that_do_not_overlap_are_no_finding() -> None:
    text = GOOD.replace("n1: {", "n1: {pod_subnet: 10.244.8.0/24, ").replace(
        "n2: {", "n2: {pod_subnet: 10.244.9.0/24, "
    )
    assert [str(host.pod_subnet) for host in read(text).hosts[1:]] == ["10.244.8.0/24", "10.244.9.0/24"]


def test_a_finding_without_a_line_of_its_own_gets_its_parents() -> None:
    origin = read(GOOD).origin
    assert origin.finding(("cluster", "security"), "x").line == 1
    assert origin.finding(("no", "such"), "x").line == 1


def test_subnets_that_overlap_are_found() -> None:
    text = GOOD.replace("n1: {", "n1: {pod_subnet: 10.244.8.0/23, ").replace(
        "n2: {", "n2: {pod_subnet: 10.244.9.0/24, "
    )
    assert complaint(text) == "cluster.yaml:8: host n2: pod_subnet 10.244.9.0/24 overlaps that of n1"


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network:
    length = draw(st.integers(20, 28))
    return IPv4Network((0x0AF40000 + draw(st.integers(0, 0xFFFF)), length), strict=False)


@given(st.lists(networks(), max_size=8))
def test_a_subnet_is_told_to_overlap_if_it_does_and_only_then(subnets: list[IPv4Network]) -> None:
    told = list(allocations.overlapping({str(number): subnet for number, subnet in enumerate(subnets)}))
    pairs = list(combinations(range(len(subnets)), 2))
    overlapping = {pair for pair in pairs if subnets[pair[0]].overlaps(subnets[pair[1]])}
    assert {(int(first), int(second)) for second, first in told} <= overlapping
    assert {number for pair in overlapping for number in pair} == {int(name) for pair in told for name in pair}


@given(st.sets(networks(), max_size=8))
def test_free_networks_are_those_that_nobody_claims(claimed: set[IPv4Network]) -> None:
    pods = IPv4Network("10.244.0.0/16")
    free = [subnet for subnet in pods.subnets(new_prefix=24) if not any(subnet.overlaps(other) for other in claimed)]
    assert list(allocations.free(pods, frozenset(claimed))) == free


def test_every_finding_is_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        GOOD.replace("[etcd, master]", "[etcd]")
        .replace("10.77.0.22", "10.77.0.21")
        .replace("roles: [node]", "roles: [etcd]")
    )
    assert [line.split(": ")[0] for line in complaint(text).splitlines()] == ["cluster.yaml:5"] * 2 + ["cluster.yaml:8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cluster.yaml:2: while parsing a flow node did not find expected node content"),
        ("- a", "cluster.yaml: an inventory is a mapping with `cluster:` and `hosts:`"),
        ("", "cluster.yaml: an inventory is a mapping with `cluster:` and `hosts:`"),
        ("? [a]\n: b", "cluster.yaml:1: a key must be a plain string"),
        ("\x00", "cluster.yaml: not YAML: "),
    ],
)
def test_what_is_no_inventory_is_told(text: str, message: str) -> None:
    assert complaint(text).startswith(message)


def test_yaml_words_of_old_are_words() -> None:
    cluster = read(GOOD.replace("max-pods: 50", "a: no, b: on, c: 1.5, d: -3, e: ~, f: 'true', g: False, h: 1e3"))
    args = cluster.hosts[2].tuning["kubelet"].args
    assert [args[key] for key in "abcdefgh"] == ["no", "on", 1.5, -3, None, "true", False, 1000.0]


def test_an_inventory_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="cannot read the inventory: No such file or directory"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InventoryError, match="cannot read the inventory: not UTF-8 text"):
        load(tmp_path / "latin.yaml")


def test_paths_are_relative_to_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("key")
    (tmp_path / "cluster.yaml").write_text(GOOD + "ssh: {key: id, user: ops, host_keys: accept-new}\n")
    cluster = load(tmp_path / "cluster.yaml")
    assert cluster.hosts[0].ssh.key == str(tmp_path / "id")
    assert cluster.hosts[0].ssh.user == "ops"
    assert cluster.folder == tmp_path


def test_settings_of_hosts_have_defaults_that_a_host_can_change() -> None:
    cluster = read(
        GOOD.replace("ssh: {port: 2222}", "host_settings: {swap: ignore}") + "host_settings: {selinux: enforcing}\n"
    )
    assert cluster.hosts[1].settings == HostSettings("enforcing", "off", "manage", "ignore")
    assert cluster.hosts[2].settings == HostSettings("enforcing", "ignore", "manage", "ignore")
    assert "host_settings.swap: 'on' should be 'off' or 'ignore'" in complaint(GOOD + "host_settings: {swap: on}\n")
    assert "did you mean selinux?" in complaint(GOOD + "host_settings: {selinx: ignore}\n")


def test_dockers_registries_and_logs_are_flags_of_docker() -> None:
    shared = (
        'host_settings: {docker: {registry_mirrors: ["https://a/"], insecure_registries: ["b:5000", 10.0.0.0/8], '
        "storage_driver: overlay2, log: {max_size: 10m}}}\n"
    )
    own = "host_settings: {docker: {registry_mirrors: []}}"
    lab = read(GOOD.replace("ssh: {port: 2222}", own) + shared)
    said = {
        "registry-mirror": ("https://a",),
        "insecure-registry": ("b:5000", "10.0.0.0/8"),
        "storage-driver": "overlay2",
        "log-opt": ("max-size=10m", "max-file=3"),
    }
    tuned = [dict(host.tuning["docker"].args) for host in lab.hosts]
    assert said in tuned
    assert said | {"registry-mirror": ()} in tuned


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("ssh: {gateway: 'a@:22'}", "USER@HOST:PORT"),
        ("ssh: {gateway: ':22'}", "USER@HOST:PORT"),
        ("ssh: {gateway: 'gate.example.com:notaport'}", "USER@HOST:PORT"),
        ("ssh: {gateway: 'a@b@c:99999'}", "USER@HOST:PORT"),
        ("ssh: {gateway: '127.0.0.1:0'}", "USER@HOST:PORT"),
        ("ssh: {gateway: 'centos@[::1'}", "USER@HOST:PORT"),
        ("images: {pause: 'http://reg:5000/pause:3.2'}", "must be an image such as"),
        ("images: {pause: 'reg:5000/Pause:3.2'}", "must be an image such as"),
        ("images: {verify: 'busybox:'}", "must be an image such as"),
        ("images: {verify: 'reg:99999/busybox'}", "must be an image such as"),
        ("images: {registry: 'reg:99999'}", "must be a registry such as"),
    ],
)
def test_addresses_that_nothing_can_read_are_findings(wrong: str, words: str) -> None:
    assert words in complaint(GOOD + wrong + "\n")


@pytest.mark.parametrize(
    "right",
    [
        "ssh: {gateway: gate.example.com}",
        "ssh: {gateway: 'someone@example.com@10.0.0.1:2222'}",
        "images: {pause: 'k8s.gcr.io/pause:3.2', verify: busybox, registry: 'reg.example.com:5000/a'}",
        f"images: {{pause: 'localhost:5000/a/b_c/d@sha256:{'0' * 64}'}}",
    ],
)
def test_addresses_that_can_be_read_are_none(right: str) -> None:
    assert read(GOOD + right + "\n").hosts


def test_an_address_is_no_number() -> None:
    assert "not the number 168427531" in complaint(GOOD.replace("10.77.0.11", "168427531"))


def test_what_docker_would_refuse_or_what_is_said_twice_is_a_finding() -> None:
    for wrong, words in {
        'registry_mirrors: ["http://a/path"]': "without a path",
        "insecure_registries: [http://a]": "a registry's name and port",
        "insecure_registries: [10.0.0.0/99]": "or a network",
        'insecure_registries: ["reg:99999"]': "a registry's name and port",
        'registry_mirrors: ["https://a:b:c"]': "must be an address such as",
        'registry_mirrors: ["https://[::1"]': "must be an address such as",
        'registry_mirrors: ["mirror.example.com"]': "must be an address such as",
        "storage_driver: btrfs": "should be 'overlay2'",
        "log: {max_size: 10}": "max_size",
    }.items():
        assert words in complaint(GOOD + f"host_settings: {{docker: {{{wrong}}}}}\n")
    twice = (
        "components: {docker: {args: {insecure-registry: [a]}}}\nhost_settings: {docker: {insecure_registries: [a]}}\n"
    )
    hosts = GOOD.split("\ncomponents:", 1)[0] + "\n"
    assert "host_settings.docker and components.docker.args both set insecure-registry" in complaint(hosts + twice)


def test_a_limit_of_open_files_is_a_number_that_programs_can_live_with() -> None:
    assert read(GOOD + "host_settings: {limit_nofile: 65536}\n").hosts[0].settings.limit_nofile == 65536
    assert "limit_nofile" in complaint(GOOD + "host_settings: {limit_nofile: 100}\n")


def test_repositories_are_the_hosts_own_the_archives_or_a_copy() -> None:
    assert read(GOOD).repos == read(GOOD + "repos: as-is\n").repos == ""
    assert read(GOOD + "repos: vault\n").repos == "http://vault.centos.org/7.9.2009"
    assert read(GOOD + "repos: {mirror: http://10.0.0.9/centos/}\n").repos == "http://10.0.0.9/centos"
    assert read(GOOD).bundle is None
    assert read(GOOD + "repos: bundle\n").bundle == ""
    named = read(GOOD + "repos: {bundle: lab.bundle}\n")
    assert (named.repos, named.bundle) == ("", str(named.folder / "lab.bundle"))
    for wrong in (
        "vaults",
        "[vault]",
        "{mirror: 7}",
        "{bundle: }",
        "{mirrors: http://a}",
        "{vault: http://a, mirror: http://a}",
        "{}",
    ):
        assert (
            "cluster.yaml:12: repos: must be as-is, vault, bundle, {vault: URL}, {mirror: URL}, {bundle: FILE} or {bundle: FILE, sha256: SUM}"
            in complaint(GOOD + f"repos: {wrong}\n").replace(" 'vaults'", "")
        )
    assert "mirror must be an address such as" in complaint(GOOD + "repos: {mirror: 10.0.0.9/centos}\n")
    assert read(GOOD + "repos: {vault: http://10.0.0.9/copy/}\n").repos == "http://10.0.0.9/copy/7.9.2009"
    assert "vault must be an address such as http://mirror.example.com/centos-vault" in complaint(
        GOOD + "repos: {vault: 10.0.0.9}\n"
    )


def test_a_proxy_has_no_password_and_a_host_can_have_another() -> None:
    shared = 'host_settings: {proxy: {http: "http://a:1", https: "http://b:2", no_proxy: [10.0.0.1]}}\n'
    cluster = read(GOOD.replace("ssh: {port: 2222}", 'host_settings: {proxy: {http: "http://c:3"}}') + shared)
    assert cluster.hosts[1].settings.proxy == Proxy("http://a:1", "http://b:2", ("10.0.0.1",))
    assert cluster.hosts[2].settings.proxy == Proxy("http://c:3", "http://c:3", ())
    assert "without a password" in complaint(GOOD + 'host_settings: {proxy: {http: "http://me:secret@a:1"}}\n')


def test_flannel_wraps_packets_unless_it_is_told_to_route_them() -> None:
    assert cluster().flannel is None
    assert cluster(network="flannel").flannel == Flannel("vxlan")
    assert cluster(network="flannel, flannel: {backend: host-gw}").flannel == Flannel("host-gw")


@pytest.mark.parametrize(("nodes", "prefix"), [(2, 22), (6, 21), (7, 20)])
def test_flannel_wants_room_for_every_master_and_node(nodes: int, prefix: int) -> None:
    hosts = "\n  m1: {address: 10.77.0.11, roles: [etcd, master]}" + "".join(
        f"\n  n{number}: {{address: 10.77.1.{number + 1}, roles: [node]}}" for number in range(nodes)
    )
    for width in (prefix, prefix + 1):
        network = f"flannel, pod_cidr: 10.244.0.0/{width}"
        if width == prefix:
            assert cluster(topology=hosts + "\n", network=network).flannel is not None
        else:
            with pytest.raises(InventoryError, match=rf"give it a /{prefix}"):
                cluster(topology=hosts + "\n", network=network)


def test_flannel_chooses_the_subnets_itself() -> None:
    hosts = """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node], pod_subnet: 10.244.9.0/24}
"""
    with pytest.raises(InventoryError, match="flannel chooses the subnets"):
        cluster(topology=hosts, network="flannel")


def test_keys_of_a_configuration_file_are_merged_to_any_depth_for_one_host_too() -> None:
    own = "{config: {evictionHard: {memory.available: 5%}, authentication: {x509: null}}}"
    shared = "{config: {evictionHard: {memory.available: 1%, nodefs.available: 2%}, authentication: {x509: {a: b}}, podPidsLimit: 9}}"
    text = GOOD.replace("kubelet: {args: {max-pods: 50}}", f"kubelet: {own}")
    text = "".join(
        f"  kubelet: {shared}\n" if line.startswith("  kubelet:") else line for line in text.splitlines(keepends=True)
    )
    assert read(text).hosts[2].tuning["kubelet"].config == {
        "evictionHard": {"memory.available": "5%", "nodefs.available": "2%"},
        "authentication": {"x509": None},
        "podPidsLimit": 9,
    }
    assert read(text).hosts[1].tuning["kubelet"].config["authentication"] == {"x509": {"a": "b"}}


def test_a_per_cent_sign_stands_in_an_environment_file_as_it_is() -> None:
    text = GOOD.replace("max-pods: 50", "eviction-hard: 'memory.available<5%,nodefs.available<10%'")
    args = read(text).hosts[2].tuning["kubelet"].args
    assert args["eviction-hard"] == "memory.available<5%,nodefs.available<10%"


def test_a_host_can_do_without_the_clusters_gateway() -> None:
    text = GOOD.replace("ssh: {port: 2222}", "ssh: {port: null, user: null, gateway: null}")
    text = text.replace("components:\n", "ssh: {gateway: jump, port: 2200, user: ops}\ncomponents:\n", 1)
    hosts = read(text).hosts
    assert [host.ssh.gateway for host in hosts] == ["jump", "jump", None]
    assert {(host.ssh.user, host.ssh.port) for host in hosts} == {("ops", 2200)}


ABSENT = """\
cluster: {name: lab, version: "1.20.2"}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  n1: {address: 10.0.0.2, roles: [node]}
  n2: {address: 10.0.0.3, roles: [etcd, master, node], state: absent}
"""


def test_a_host_that_is_absent_is_none_of_the_cluster_and_can_still_be_asked() -> None:
    cluster = read(ABSENT)
    assert [host.name for host in cluster.hosts] == ["m1", "n1"]
    assert [host.name for host in cluster.leaving] == ["n2"]
    assert [host.name for host in cluster.everyone] == ["m1", "n1", "n2"]
    assert {role: [host.name for host in cluster.having(role)] for role in Role} == {
        Role.ETCD: ["m1"], Role.MASTER: ["m1"], Role.NODE: ["n1"],
    }  # fmt: skip


def test_a_cluster_needs_hosts_that_are_not_absent() -> None:
    text = ABSENT.replace("m1: {", "m1: {state: absent, ")
    assert "master" in complaint(text)


def test_an_absent_host_cannot_have_the_address_of_one_that_is_there() -> None:
    text = ABSENT.replace("n2: {address: 10.0.0.3", "n2: {address: 10.0.0.1")
    assert "host n2 is absent, and its address 10.0.0.1 is that of m1" in complaint(text)


def test_a_host_is_present_or_absent() -> None:
    assert "state" in complaint(ABSENT.replace("state: absent", "state: away"))
