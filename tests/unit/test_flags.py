"""Every flag that reaches a program is one that it knows: as the packaged units put the variables together."""

from __future__ import annotations

import shlex

import pytest

from k8s_installer import profiles
from k8s_installer.desired import Desired, check, desire
from k8s_installer.desired.flags import config, effective, variables
from k8s_installer.inventory import Cluster, Tuning
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.profiles import Component, Style
from k8s_installer.profiles.pieces import FlagSets, FlagValue
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, SUM, TOPOLOGIES, cluster, placeholder

# The ExecStart lines of the packaged units, and the files that they read before their own.
UNITS = {
    "kube-apiserver": (
        "apiserver",
        (
            "LOGTOSTDERR LOG_LEVEL ETCD_SERVERS API_ADDRESS API_PORT KUBELET_PORT ALLOW_PRIV SERVICE_ADDRESSES"
            " ADMISSION_CONTROL API_ARGS"
        ),
    ),
    "kube-controller-manager": ("controller-manager", "LOGTOSTDERR LOG_LEVEL MASTER CONTROLLER_MANAGER_ARGS"),
    "kube-scheduler": ("scheduler", "LOGTOSTDERR LOG_LEVEL MASTER SCHEDULER_ARGS"),
    "kubelet": (
        "kubelet",
        (
            "LOGTOSTDERR LOG_LEVEL KUBELET_API_SERVER KUBELET_ADDRESS KUBELET_PORT KUBELET_HOSTNAME ALLOW_PRIV"
            " KUBELET_POD_INFRA_CONTAINER KUBELET_ARGS"
        ),
    ),
    "kube-proxy": ("proxy", "LOGTOSTDERR LOG_LEVEL MASTER PROXY_ARGS"),
}


def environment(file: object) -> dict[str, str]:
    """What systemd reads of an EnvironmentFile."""
    assert isinstance(file, File)
    lines = [line for line in file.content.decode().splitlines() if line and not line.startswith("#")]
    return {name: shlex.split(value)[0] if value else "" for name, _, value in (line.partition("=") for line in lines)}


def desired(lab: Cluster) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def command(wanted: Desired, host: str, program: str) -> list[str]:
    """The words that systemd passes to a program."""
    own, names = UNITS[program]
    read: dict[str, str] = {}
    for path in ("config", own):
        read |= environment(wanted[Ref(host, Kind.FILE, f"/etc/kubernetes/{path}")].resource)
    passed = [name if name.startswith("KUBELET") else f"KUBE_{name}" for name in names.split()]
    shared = {"KUBE_LOGTOSTDERR", "KUBE_LOG_LEVEL", "KUBE_ALLOW_PRIV", "KUBE_MASTER"}
    assert set(read) - shared <= set(passed), "a variable that the unit does not pass"
    return [word for name in passed for word in read.get(name, "").split()]


@pytest.mark.parametrize("network", ["routes", "none"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize(("version", "security"), MODES)
def test_every_rendered_flag_is_one_that_its_program_knows(
    version: str, security: str, topology: str, network: str
) -> None:
    lab = cluster(version, security, topology, network=network)
    profile, wanted = profiles.profile_of(lab), desired(lab)
    for host in lab.hosts:
        for program in UNITS.keys() & profile.on(host.roles).keys():
            words = command(wanted, host.name, program)
            flags = [word.removeprefix("--").partition("=")[0] for word in words]
            assert all(word.startswith("--") and "=" in word for word in words)
            assert set(flags) <= profile.known_flags[program].keys(), (host.name, program)
            assert len(flags) == len(set(flags)), (host.name, program)


# What our units leave to RuntimeDirectory= and to the kubelet itself, and what they say for themselves alone.
OWN = {"RuntimeDirectory", "CPUAccounting", "MemoryAccounting", "WorkingDirectory"}


def directives(text: str) -> list[str]:
    """The lines of a unit in order; a line that ends with a backslash goes on in the next."""
    joined = text.replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in joined.splitlines() if line and not line.startswith("#")]
    return [line for line in lines if line.partition("=")[0] not in OWN]


@pytest.mark.parametrize("version", ["1.9.4", "1.20.2"])
@pytest.mark.parametrize("program", UNITS)
def test_our_units_say_what_those_of_the_packages_say(version: str, program: str) -> None:
    wanted = desired(cluster(version, topology="all-in-one", programs="tarball"))
    ours = wanted[Ref("c1", Kind.FILE, f"/etc/systemd/system/{program}.service")].resource
    assert isinstance(ours, File)
    packaged = data_folder() / "rpms/kubernetes/usr/lib/systemd/system" / f"{program}.service"
    assert directives(ours.content.decode()) == directives(packaged.read_text(encoding="utf-8"))


def test_allow_privileged_reaches_the_apiserver_of_1_20_alone() -> None:
    wanted = desired(cluster(topology="all-in-one"))
    assert "--allow-privileged=true" in command(wanted, "c1", "kube-apiserver")
    assert not [word for word in command(wanted, "c1", "kubelet") if "privileged" in word]


def test_a_changed_flag_changes_one_line_of_one_file() -> None:
    before, after = (
        {
            ref: wanted.resource.content.decode().splitlines()
            for ref, wanted in desired(lab).items()
            if isinstance(wanted.resource, File)
        }
        for lab in (
            cluster(),
            cluster(
                more="components: {kube-controller-manager: {args: {use-service-account-credentials: false, v: 4}}}"
            ),
        )
    )
    changed = [ref for ref in before if before[ref] != after[ref]]
    assert changed == [Ref("m1", Kind.FILE, "/etc/kubernetes/controller-manager")]
    lines = [(old, new) for old, new in zip(before[changed[0]], after[changed[0]], strict=True) if old != new]
    assert len(lines) == 1
    assert lines[0][1] == lines[0][0].replace("credentials=true", "credentials=false").removesuffix('"') + ' --v=4"'


def test_a_flag_with_a_variable_of_its_own_is_replaced_there() -> None:
    wanted = desired(
        cluster(more="components: {kube-apiserver: {args: {enable-admission-plugins: 'PodNodeSelector'}}}")
    )
    read = environment(wanted[Ref("m1", Kind.FILE, "/etc/kubernetes/apiserver")].resource)
    assert read["KUBE_ADMISSION_CONTROL"] == "--enable-admission-plugins=PodNodeSelector"
    assert "enable-admission-plugins" not in read["KUBE_API_ARGS"]


def component(style: Style = Style.KUBERNETES, **defaults: str | int | bool | tuple[str, ...]) -> Component:
    return Component(
        why="It is an example.",
        roles=frozenset(),
        style=style,
        variables={"ONE": ("a",), "REST": ("*",)},
        flags=FlagSets(always={name.replace("_", "-"): value for name, value in defaults.items()}),
    )


def plain(text: str, _: str) -> str:
    return "" if text == "{{ nothing }}" else text


def test_the_inventory_goes_over_the_profile_and_null_removes() -> None:
    tuning = Tuning({"b": None, "c": 3, "new": True, "gone": None}, {})
    flags = effective(component(a="1", b="2", c="4"), tuning, cluster(), plain)
    assert flags == {"a": "1", "c": 3, "new": True}
    assert list(flags) == ["a", "c", "new"]


def test_a_default_that_renders_to_nothing_is_left_out_but_not_what_the_inventory_says() -> None:
    defaults = component(a="{{ nothing }}", b=("{{ nothing }}",), c=("x", "{{ nothing }}"), d="{{ nothing }}", e=("1",))
    flags = effective(defaults, Tuning({"d": ""}, {}), cluster(), plain)
    assert flags == {"c": ("x",), "d": "", "e": ("1",)}
    numbers = component(a=5).model_copy(update={"flags": FlagSets(always={"a": (5, "x")})})
    assert effective(numbers, Tuning({}, {}), cluster(), plain) == {"a": (5, "x")}


def test_flags_of_the_security_mode_and_of_the_network_come_after_those_of_always() -> None:
    sets = FlagSets(always={"a": 1}, tls={"b": 1}, insecure={"c": 1}, routes={"d": 1})
    example = component().model_copy(update={"flags": sets})
    none = Tuning({}, {})
    assert list(effective(example, none, cluster(), plain)) == ["a", "b", "d"]
    assert list(effective(example, none, cluster("1.5.2", "insecure", network="none"), plain)) == ["a", "c"]


@pytest.mark.parametrize(
    ("style", "one", "rest"),
    [
        (Style.KUBERNETES, ["--a=true"], ["--b-c=x,1", "--d=0.5"]),
        (Style.REPEATED, ["--a=true"], ["--b-c=x", "--b-c=1", "--d=0.5"]),
        (Style.ETCD, ['ETCD_A="true"'], ['ETCD_B_C="x,1"', 'ETCD_D="0.5"']),
    ],
)
def test_each_style_has_its_own_words(style: Style, one: list[str], rest: list[str]) -> None:
    flags: dict[str, FlagValue] = {"b-c": ("x", 1), "a": True, "d": 0.5}
    assert variables(component(style), flags, {}) == {"ONE": one, "REST": rest}


def test_a_configuration_file_is_merged_key_by_key() -> None:
    defaults = {"a": {"b": "x", "c": {"d": 1}}, "list": ["y", 1], "gone": 1}
    wanted = {"a": {"c": {"d": 2, "e": None}}, "list": ["z"], "gone": None, "new": {"k": 1}, "never": None}
    assert config(defaults, wanted, plain) == {"a": {"b": "x", "c": {"d": 2}}, "list": ["z"], "new": {"k": 1}}
    assert config(defaults, {}, plain) == defaults


def findings(lab: Cluster) -> list[str]:
    return [str(finding).removeprefix("/srv/lab/inventory.yaml:") for finding in check(lab, profiles.profile_of(lab))]


def test_all_findings_come_at_once_with_line_and_suggestion() -> None:
    lab = cluster(
        topology="""
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1:
    address: 10.77.0.21
    roles: [node]
    components:
      kube-apiserver: {args: {v: 1}}
      kubelet:
        args:
          max-podz: 5
""",
        more="""
components:
  kube-apiserver:
    args:
      service-cluster-iprange: 10.0.0.0/8
      service_account_issuer: x
      insecure-port: 0
    config: {a: 1}
  kubernetes: {args: {v: 2, allow-privileged: false, zzz: 1}}
  etcd: {args: {whatever: 1}}
  docker: {args: {whatever: 1}, config: {a: 1}}
  kubelet: {config: {maxPods: 1}}
""",
    )
    assert findings(lab) == [
        "8: host n1 runs no kube-apiserver: its roles are node (it runs network, kubernetes, docker, kubelet, kube-proxy)",
        "11: kubelet has no flag max-podz in Kubernetes 1.20.2 (did you mean max-pods?)",
        "16: kube-apiserver has no flag service-cluster-iprange in Kubernetes 1.20.2 (did you mean service-cluster-ip-range?)",
        "17: kube-apiserver has no flag service_account_issuer in Kubernetes 1.20.2 (did you mean service-account-issuer?)",
        "19: kube-apiserver has no configuration file in Kubernetes 1.20.2: use args",
        "20: kubernetes has no flag allow-privileged in Kubernetes 1.20.2",
        "20: kubernetes has no flag zzz in Kubernetes 1.20.2",
        "21: etcd has no flag whatever",
        "22: docker has no configuration file in Kubernetes 1.20.2: use args",
        "22: docker has no flag whatever",
    ]


def test_flannel_is_tuned_where_it_is_the_network() -> None:
    more = "components:\n  flannel: {args: {iface: eth1}}\n"
    assert findings(cluster(more=more)) == ["7: there is no flannel with network: routes"]
    assert findings(cluster(network="flannel", more=more)) == []
    fixed = more.replace("iface: eth1", "etcd-prefix: /x")
    assert len(findings(cluster(network="flannel", more=fixed))) == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("kube-apiserver", "secure-port: 6443"), ("kube-apiserver", "secure-port: '6443'"),
        ("kube-apiserver", "etcd-prefix: /registry"),
        ("kube-apiserver", "etcd-servers: 'https://10.77.0.11:2379'"),
        ("kube-scheduler", "leader-elect: true"), ("kube-scheduler", "leader-elect: 'true'"),
        ("kubelet", "kubeconfig: /etc/kubernetes/kubelet.kubeconfig"),
        ("kube-proxy", "config: ''"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_may_be_written_down_as_it_is(where: str, said: str) -> None:
    more = f"components:\n  {where}: {{args: {{{said}}}}}\n"
    assert findings(cluster(more=more)) == []


def test_a_nodes_own_name_is_its_own_value_and_no_other_nodes() -> None:
    named = "components: {kubelet: {args: {hostname-override: n1}, config: {healthzPort: 10248}}}"
    hosts = f"""
  m1: {{address: 10.77.0.11, roles: [etcd, master]}}
  n1: {{address: 10.77.0.21, roles: [node], {named}}}
  n2: {{address: 10.77.0.22, roles: [node]}}
"""
    assert findings(cluster(topology=hosts)) == []
    why = "kubelet: hostname-override cannot be changed yet: gates, kubeconfigs and other programs depend on it"
    assert findings(cluster(topology=hosts.replace("hostname-override: n1", "hostname-override: n2"))) == [f"4: {why}"]
    assert findings(cluster(more=f"{named}\n")) == [f"6: {why}"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("kubelet", "kubeconfig: /root/other"), ("kubelet", "config: /root/other"), ("kube-proxy", "config: /root/other"),
        ("kube-apiserver", "etcd-servers: 'https://10.9.9.9:2379'"), ("kube-apiserver", "etcd-prefix: /other"),
        ("etcd", "discovery: 'http://10.9.9.9:1/x'"), ("kube-apiserver", "secure-port: null"),
    ],
)  # fmt: skip
def test_flags_that_would_bypass_what_is_rendered_cannot_be_changed(where: str, said: str) -> None:
    (found,) = findings(cluster(more=f"components:\n  {where}: {{args: {{{said}}}}}\n"))
    assert "cannot be changed yet" in found


def test_what_gates_and_kubeconfigs_go_by_cannot_be_changed() -> None:
    lab = cluster(
        topology="""
  c1:
    address: 10.77.0.11
    roles: [etcd, master, node]
    components:
      kube-apiserver:
        args: {secure-port: 7443}
""",
        more="""
components:
  etcd: {args: {LISTEN_CLIENT_URLS: "http://0.0.0.0:1"}}
  kubelet: {config: {healthzPort: 1}}
  kube-scheduler: {args: {bind-address: null}}
""",
    )
    why = "cannot be changed yet: gates, kubeconfigs and other programs depend on it"
    assert findings(lab) == [
        f"8: kube-apiserver: secure-port {why}",
        f"11: etcd: LISTEN_CLIENT_URLS {why}",
        f"12: kubelet: healthzPort {why}",
        f"13: kube-scheduler: bind-address {why}",
    ]


def test_components_are_those_of_the_version() -> None:
    lab = cluster(
        topology="\n  c1: {address: 10.77.0.11, roles: [etcd, master, node], components: {kubelets: {args: {v: 1}}}}",
        more="\ncomponents: {network: {}, kube-proxy: {}}",
    )
    there = (
        "'kubernetes', 'etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'flannel', 'docker', "
        "'kubelet' or 'kube-proxy'"
    )
    assert findings(lab) == [
        f"3: hosts.c1.components.kubelets: 'kubelets' should be {there} (did you mean kubelet?)",
        f"4: components.network: 'network' should be {there}",
    ]


def test_the_kubelet_of_1_5_has_no_configuration_file() -> None:
    assert findings(cluster("1.5.2", more="components: {kubelet: {config: {maxPods: 1}}}")) == [
        "6: kubelet has no configuration file in Kubernetes 1.5.2: use args"
    ]


def test_a_security_mode_that_the_version_does_not_have_is_a_finding() -> None:
    assert findings(cluster("1.20.2", "insecure")) == [
        "1: security: insecure does not exist in Kubernetes 1.20.2: use tls"
    ]


@pytest.mark.parametrize(
    ("lab", "finding"),
    [
        (cluster("1.9.4", programs="packages"), "1: programs: there is no packages of Kubernetes 1.9.4: use tarball"),
        (cluster("1.5.2", programs="tarball"), "1: programs: there is no tarball of Kubernetes 1.5.2: use packages"),
        (
            cluster(programs="tarball", tarball=""),
            (
                "1: programs come from a tarball, but none is set "
                "(tarball: {path: FILE, sha256: SUM}, or {sha256: SUM} alone to download upstream's)"
            ),
        ),
        (
            cluster(tarball="{url: 'https://host/a.tar.gz', sha256: " + SUM + "}"),
            "1: a tarball is set, but programs come from packages (set programs: tarball, or leave it out)",
        ),
    ],
)
def test_programs_come_from_where_the_version_has_them(lab: Cluster, finding: str) -> None:
    assert findings(lab) == [finding]


@pytest.mark.parametrize(("version", "security"), MODES)
def test_a_plain_inventory_has_no_findings(version: str, security: str) -> None:
    assert findings(cluster(version, security)) == []


def test_what_renders_to_nothing_is_left_out_of_a_configuration_file_unless_the_inventory_says_it() -> None:
    defaults = {"list": ["{{ a }}", "{{ b }}"], "word": "{{ a }}", "empty": ["{{ a }}"]}
    rendered = {"{{ a }}": "", "{{ b }}": "x"}
    assert config(defaults, {}, lambda text, _: rendered[text]) == {"list": ["x"]}
    assert config(defaults, {"word": ""}, lambda text, _: rendered[text]) == {"list": ["x"], "word": ""}
