"""What `explain` says: facts of the cluster with the line they come from, texts for everything, and no secret."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from k8s_installer import inventory, profiles
from k8s_installer.desired import desire
from k8s_installer.errors import InputError
from k8s_installer.explain import components, files, settings, texts
from k8s_installer.explain.answer import Explained, answer
from k8s_installer.explain.known import Known, comment
from k8s_installer.explain.settings import Origin, Setting, Source
from k8s_installer.explain.topics import topics
from k8s_installer.inventory import Cluster
from k8s_installer.inventory.allocations import NONE
from k8s_installer.model.resources import File
from k8s_installer.render import Renderer, packaged_templates
from k8s_installer.report import explain as report
from tests.unit import clusters

TEXTS = texts.load()
FILE = "/srv/lab/inventory.yaml"
TUNED = """
components:
  kubelet: {args: {v: 2}, config: {maxPods: 60}}
  kube-proxy: {args: {proxy-mode: null}}
  kube-apiserver: {args: {audit-log-path: /var/log/audit.log}}
nodes: {taints: ["dedicated=web:NoSchedule"], labels: {disk: ssd}}
host_settings: {docker: {registry_mirrors: ["https://mirror.example.com"]}, limit_nofile: 65536}
"""


def known(lab: Cluster) -> Known:
    profile = profiles.profile_of(lab)
    keys = clusters.placeholder(lab)
    wanted = desire(lab, profile, keys, Renderer())
    return Known.of(lab, profile, wanted, keys, NONE, profiles.parts_of(lab), TEXTS)


def explained(words: str, lab: Cluster | None = None) -> Explained:
    if lab is None:
        return answer(words.split(), TEXTS, profiles.load("1.20.2"), None)
    about = known(lab)
    return answer(words.split(), TEXTS, about.profile, about)


def shown(words: str, lab: Cluster | None = None) -> str:
    return printed(explained(words, lab))


def printed(found: Explained) -> str:
    console = Console(width=80, file=io.StringIO(), record=True, soft_wrap=True, highlight=False)
    console.print(report.text(found))
    return console.export_text()


def of(found: object, name: str) -> Setting:
    assert isinstance(found, components.Component)
    return next(one for one in found.settings if one.name == name)


# --- where values come from


def test_a_flag_of_the_inventory_names_its_line() -> None:
    lab = clusters.cluster(more=TUNED)
    found = of(explained("kubelet", lab).found, "v")
    (value,) = found.values
    assert (value.text, value.hosts, str(value.origin.place)) == ("2", ("n1", "n2"), f"{FILE}:8")
    assert value.origin.source is Source.INVENTORY


def test_the_line_of_a_host_comes_before_that_of_all_hosts() -> None:
    hosts = """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node], components: {kubelet: {config: {maxPods: 20}}}}
  n2: {address: 10.77.0.22, roles: [node]}
"""
    lab = clusters.cluster(topology=hosts, more="components: {kubelet: {config: {maxPods: 60}}}\n")
    found = of(explained("kubelet", lab).found, "maxPods")
    assert [(value.text, value.hosts, str(value.origin.place)) for value in found.values] == [
        ("20", ("n1",), f"{FILE}:4"),
        ("60", ("n2",), f"{FILE}:6"),
    ]


def test_a_default_of_the_profile_names_its_file_and_line_and_the_comment_there() -> None:
    found = of(explained("kubelet", clusters.cluster()).found, "node-ip")
    first = found.values[0]
    place = first.origin.place
    assert place is not None
    assert place.file == "components/kubelet.yaml"
    lines = (Path(profiles.__file__).parents[1] / place.file).read_text().splitlines()
    assert lines[place.line - 1].strip().startswith("node-ip:")
    assert place.comment == "or it reports the address of the default route"
    assert (first.text, first.hosts, first.origin.template) == ("10.77.0.21", ("n1",), "{{ host.address }}")


def test_what_a_version_says_of_a_component_is_a_line_of_its_profile() -> None:
    lab = clusters.cluster("1.5.2", "insecure")
    origin = of(explained("apiserver", lab).found, "insecure-bind-address").values[0].origin
    assert origin.place is not None
    assert (origin.place.file, origin.place.comment) == (
        "profiles/1.5.2.yaml",
        "whoever reaches it is the administrator",
    )


def test_a_default_that_the_inventory_removes_is_shown_as_that() -> None:
    lab = clusters.cluster(more=TUNED)
    (value,) = of(explained("kube-proxy", lab).found, "proxy-mode").values
    assert (value.text, value.origin.source, str(value.origin.place)) == (None, Source.INVENTORY, f"{FILE}:9")
    assert "--proxy-mode is removed" in shown("kube-proxy", lab)


def test_flags_that_follow_from_nodes_and_host_settings_name_these() -> None:
    lab = clusters.cluster(more=TUNED)
    taints = of(explained("kubelet", lab).found, "register-with-taints").values[0]
    assert (taints.text, str(taints.origin.place)) == ("dedicated=web:NoSchedule", f"{FILE}:11")
    mirror = of(explained("docker", lab).found, "registry-mirror").values[0]
    assert (mirror.text, str(mirror.origin.place)) == ("https://mirror.example.com", f"{FILE}:12")


def test_what_nobody_sets_is_the_programs_own_default() -> None:
    found = explained("--max-pods", clusters.cluster()).found
    assert isinstance(found, tuple)
    (flag,) = (one for one in found if isinstance(one, Setting))
    assert [(value.text, value.origin) for value in flag.values] == [("110", Origin(Source.PROGRAM))]
    assert (flag.default, flag.key, flag.component) == ("110", "maxPods", "kubelet")


def test_a_flag_shows_what_its_key_of_the_configuration_file_says() -> None:
    found = explained("max-pods", clusters.cluster(more=TUNED)).found
    assert isinstance(found, tuple)
    assert isinstance(found[0], Setting)
    assert [(value.text, str(value.origin.place)) for value in found[0].values] == [("60", f"{FILE}:8")]


def test_a_key_may_have_dots() -> None:
    lab = clusters.cluster(more="components: {kubelet: {config: {evictionHard: {memory.available: 100Mi}}}}\n")
    (value,) = of(explained("kubelet", lab).found, "evictionHard.memory.available").values
    assert (value.text, str(value.origin.place)) == ("100Mi", f"{FILE}:6")
    text = shown("/etc/kubernetes/kubelet.yaml", lab)
    assert f"    memory.available: 100Mi\n        from: inventory, {FILE}:6" in text


def test_comments_are_those_beside_a_line_or_right_above_it() -> None:
    lines = ["# far away", "", "# one", "# two", "key: 1", 'text: "a # b"', "more: 2   # beside", "last: 3"]
    assert comment(lines, 5) == "one two"
    assert comment(lines, 6) == ""
    assert comment(lines, 7) == "beside"
    assert comment(lines, 8) == ""
    assert comment(lines, 0) == ""
    assert comment(["# first", "key: 1"], 2) == "first"


# --- components


def test_a_component_has_all_that_the_cluster_gives_it() -> None:
    found = explained("etcd", clusters.cluster(topology="etcd-apart")).found
    assert isinstance(found, components.Component)
    assert (found.hosts, found.unit, found.user) == (("e1", "e2", "e3"), "etcd", "etcd")
    assert [port.name for port in found.ports] == ["2379/tcp", "2380/tcp"]
    issued = {one.path: (one.issuer, one.user, one.use) for one in found.certificates}
    assert issued["/etc/etcd/pki/healthcheck.crt"] == ("etcd-ca", "etcd-healthcheck", "client")
    assert found.certificates[0].names[:2] == ("e1", "10.77.0.1")
    text = shown("etcd", clusters.cluster(topology="etcd-apart"))
    assert "--initial-cluster-token=lab" in text
    assert "runs on       e1, e2, e3" in text


def test_a_port_is_for_the_host_itself_if_only_its_health_is_asked_there() -> None:
    found = explained("controller-manager", clusters.cluster()).found
    assert isinstance(found, components.Component)
    assert [(port.name, port.words) for port in found.ports] == [("10257/tcp", "health, for this host only")]


def test_a_component_says_whom_it_talks_to_and_with_which_certificate() -> None:
    found = explained("apiserver", clusters.cluster()).found
    assert isinstance(found, components.Component)
    assert "etcd" in [one.server.component for one in found.asks]
    assert {"kubelet", "kube-proxy", "kube-scheduler"} <= {one.client.component for one in found.asked_by}
    words = " ".join(shown("kubelet", clusters.cluster()).split())
    assert "kube-apiserver https 6443/tcp, m1" in words
    assert "the client shows /etc/kubernetes/pki/kubelet.crt (system:node:HOST)" in words
    assert "the server shows /etc/kubernetes/pki/apiserver.crt, checked with /etc/kubernetes/pki/ca.crt" in words
    balanced = clusters.cluster(network="routes, api_endpoint: 'lb.example.com:6443'")
    assert "m1 through lb.example.com:6443" in " ".join(shown("kubelet", balanced).split())


def test_a_component_that_the_cluster_does_not_have_is_explained_all_the_same() -> None:
    text = shown("flannel", clusters.cluster())
    assert "overlay" in text
    assert "This cluster does not have it." in text
    assert "with -i cluster.yaml: in yours" in shown("flanneld")


def test_programs_of_a_tarball_are_named_by_their_path() -> None:
    found = explained("kubelet", clusters.cluster(programs="tarball")).found
    assert isinstance(found, components.Component)
    assert ("/usr/bin/kubelet", "a program of upstream's tarball") in {(one.name, one.words) for one in found.packages}


def test_a_component_of_the_users_is_explained_by_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "exporter.yaml").write_text(
        "why: Shows figures.\nroles: [node]\nunit: exporter\npackages: {exporter: '1.0'}\nusers: [exporter]\n"
        "style: repeated\nvariables: {OPTIONS: ['*']}\nflags: {always: {port: 9100}}\n"
        "files:\n  /etc/sysconfig/exporter: {why: Its flags., template: exporter.j2}\n"
    )
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "exporter.j2").write_text("OPTIONS=\"{{ variables.OPTIONS | join(' ') }}\"\n")
    (tmp_path / "cluster.yaml").write_text(
        'cluster: {name: lab, version: "1.20.2"}\nhosts:\n  c1: {address: 10.77.0.11, roles: [etcd, master, node]}\n'
    )
    lab = inventory.load(tmp_path / "cluster.yaml")
    profile, keys = profiles.profile_of(lab), clusters.placeholder(lab)
    wanted = desire(lab, profile, keys, Renderer([tmp_path / "templates"], sandboxed=True))
    about = Known.of(lab, profile, wanted, keys, NONE, profiles.parts_of(lab), TEXTS)
    found = answer(["exporter"], TEXTS, about.profile, about).found
    assert isinstance(found, components.Component)
    assert (found.summary, found.text, found.user) == ("Shows figures.", ("Shows figures.",), "")
    place = found.settings[0].values[0].origin.place
    assert str(place) == f"{tmp_path}/components/exporter.yaml:8"
    assert f"{tmp_path}/components/exporter.yaml:8" in printed(
        answer(["/etc/sysconfig/exporter"], TEXTS, about.profile, about)
    )


# --- files


def test_each_flag_of_a_file_is_annotated() -> None:
    text = shown("/etc/kubernetes/apiserver", clusters.cluster(more=TUNED))
    assert "--audit-log-path=/var/log/audit.log" in text
    assert f"from: inventory, {FILE}:10" in text
    assert "restarts kube-apiserver" in text
    assert "^ empty: no flag of this variable is set" in text


@pytest.mark.parametrize("network", ["routes", "flannel"])
@pytest.mark.parametrize(("version", "security"), clusters.MODES)
def test_every_flag_in_use_is_annotated_in_a_file(version: str, security: str, network: str) -> None:
    about = known(clusters.cluster(version, security, network=network))
    paths = {ref.name for ref, item in about.desired.items() if isinstance(item.resource, File)}
    lines = [line for path in paths for one in files.explained(about, path).variants for line in one.lines]
    shown = {(one.component, one.name) for line in lines for one in line.settings}
    used = {(name, one.name) for name in about.profile.components for one in settings.in_use(about, name)}
    assert used
    assert used - shown == set()


def test_hosts_whose_files_differ_in_their_header_alone_are_shown_once() -> None:
    text = shown("/etc/sysconfig/docker", clusters.cluster())
    assert "On n1, n2: mode 0644" in text
    assert "Only what differs" not in text


def test_a_shared_variable_says_who_reads_it() -> None:
    text = shown("/etc/kubernetes/config", clusters.cluster())
    assert "read by kube-apiserver, kube-controller-manager" in text
    assert "^ empty: no flag of this variable is set; read by" in text


def test_keys_of_the_kubelets_file_are_annotated_by_their_path() -> None:
    text = shown("/etc/kubernetes/kubelet.yaml", clusters.cluster(more=TUNED))
    assert "components/kubelet.yaml" in text
    assert f"from: inventory, {FILE}:8" in text
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith("authentication:"))
    assert lines[at + 1].strip().endswith("anonymous:")  # nothing is said of a key that only leads to others


def test_variables_of_etcd_are_its_flags() -> None:
    text = shown("/etc/etcd/etcd.conf", clusters.cluster())
    assert 'ETCD_CLIENT_CERT_AUTH="true"' in text
    assert "whoever reads etcd reads every secret" in text


def test_only_what_differs_is_shown_of_further_hosts() -> None:
    text = shown("/etc/kubernetes/kubelet", clusters.cluster())
    first, _, second = text.partition("Only what differs:")
    assert "--hostname-override=n1" in first
    assert "pod-infra-container-image" in first
    assert 'KUBELET_HOSTNAME="--hostname-override=n2"' in second
    assert "      --kubeconfig" not in second


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/systemd/system/docker.service.d/10-kubernetes.conf", "^ Run after the command."),
        ("/etc/systemd/system/kubelet.service.d/30-limits.conf", "^ How many files and connections it may have open."),
        ("/etc/sysctl.d/90-kubernetes.conf", "^ The host passes packets on, which pods need."),
        ("/etc/kubernetes/kubelet.kubeconfig", "^ The address of the API."),
        ("/etc/kubernetes/network/routes", "10.244.0.0/24"),
    ],
)
def test_lines_of_other_files_are_explained(path: str, words: str) -> None:
    assert words in shown(path, clusters.cluster(more=TUNED))


def test_a_file_that_belongs_to_no_component_is_shown_as_it_is() -> None:
    lab = clusters.cluster(more="host_settings: {time: chrony, journald: persistent}\n")
    about = known(lab)
    others = [ref.name for ref, item in about.desired.items() if item.component == "host" and ref.kind == "file"]
    assert others
    assert "On m1" in shown(others[0], lab)


def test_nothing_secret_is_shown() -> None:
    lab = clusters.cluster()
    for path in ("/etc/kubernetes/pki/encryption.yaml", "/etc/kubernetes/pki/ca.key"):
        text = shown(path, lab)
        assert "secret: its content is not shown" in text
        assert "   1  " not in text
    text = shown("/etc/kubernetes/pki/apiserver.crt", lab)
    assert "   1  " not in text
    assert "issued by ca to kube-apiserver" in text


# --- other topics


def test_a_host_has_its_components_in_the_order_in_which_they_start() -> None:
    lab = clusters.cluster(topology="all-in-one")
    text = shown("c1", lab)
    units = re.findall(r"^  \S+  unit (\S+)$", text, re.MULTILINE)
    assert units == [
        "kubernetes-network", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "docker", "kubelet",
        "kube-proxy",
    ]  # fmt: skip
    assert "port 6443/tcp" in text
    assert "swap" in text
    assert "its pods" in text
    untouched = "host_settings: {selinux: ignore, swap: ignore, firewall: ignore}\n"
    text = shown("m1", clusters.cluster(more=untouched))
    assert "its pods" not in text
    assert "Settings of the host" not in text


def test_a_port_that_this_cluster_does_not_need_is_not_listed() -> None:
    wrapped = shown("flannel", clusters.cluster(network="flannel"))
    routed = shown("flannel", clusters.cluster(network="flannel, flannel: {backend: host-gw}"))
    assert "8472/udp" in wrapped
    assert "Ports" not in routed


def test_the_order_is_that_of_the_edges_with_their_reasons() -> None:
    text = shown("order", clusters.cluster())
    assert "6. docker  (n1, n2)" in text
    assert "waits for     kube-scheduler is healthy (m1)" in text
    assert "because: With the scheduler the masters are complete" in text
    assert "waits for     addon kubelet-api-admin.yaml (m1)" in text


def test_kubeadm_is_set_beside_what_the_cluster_has() -> None:
    text = shown("kubeadm", clusters.cluster())
    assert "unit kube-apiserver  (m1)" in text
    assert "unit flannel" not in text
    assert "(m1)" not in shown("kubeadm")


@pytest.mark.parametrize(
    ("version", "security", "network"),
    [*((*mode, "routes") for mode in clusters.MODES), ("1.20.2", "tls", "flannel"), ("1.20.2", "tls", "none")],
)
def test_every_topic_of_every_cluster_is_explained_in_eighty_columns(version: str, security: str, network: str) -> None:
    lab = clusters.cluster(version, security, network=network, more="nodes: {labels: {disk: ssd}}\n")
    about = known(lab)
    everything = topics(TEXTS, about.profile, about)
    for topic in everything:
        found = answer([str(topic.sort), topic.name], TEXTS, about.profile, about)
        lines = [line for line in printed(found).splitlines() if len(line) > 80]
        # what somebody may copy stays whole: a word that alone is longer
        assert not [line for line in lines if len(max(line.split(), key=len)) < 40]
        json.dumps(report.data(found))


def test_topics_without_a_cluster_are_those_of_all_clusters() -> None:
    text = shown("")
    assert "What can be explained (Kubernetes 1.20.2)" in text
    assert "any file that is written" in text
    assert "  m1 " in shown("", clusters.cluster())
    for topic in topics(TEXTS, profiles.load("1.20.2"), None):
        if topic.name != "order":
            assert shown(f"{topic.sort} {topic.name}")
    assert "With -i cluster.yaml" in shown("max-pods")
    with pytest.raises(InputError, match="order depends on the cluster"):
        explained("order")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("kublet", "did you mean kubelet?"),
        ("--max-podz", "did you mean max-pods?"),
        ("max-podz", "did you mean max-pods?"),
        ("zzzzzz", "k8s-installer explain lists what there is"),
        ("host n3", "the inventory has m1, n1, n2"),
    ],
)
def test_an_unknown_topic_has_a_suggestion(words: str, hint: str) -> None:
    with pytest.raises(InputError, match="nothing to explain is called") as caught:
        explained(words, clusters.cluster())
    assert hint in caught.value.hint


def test_two_words_are_a_sort_and_a_name() -> None:
    lab = clusters.cluster(topology="\n  node: {address: 10.77.0.11, roles: [etcd, master, node]}\n")
    assert "a host that runs pods" in shown("node", lab)
    assert "10.77.0.11, roles etcd, master, node" in shown("host node", lab)
    with pytest.raises(InputError, match="neither: etcd kubelet"):
        explained("etcd kubelet", lab)


def test_values_are_data_for_programs() -> None:
    data = report.data(explained("--max-pods", clusters.cluster(more=TUNED)))
    assert data["topic"] == {"sort": "flag", "name": "max-pods"}
    (flag,) = json.loads(json.dumps(data))["explanation"]
    assert flag["values"] == [
        {
            "text": "60",
            "hosts": ["n1", "n2"],
            "origin": {"source": "inventory", "place": {"file": FILE, "line": 8, "comment": ""}, "template": ""},
        }
    ]
    assert flag["help"]["source"] == "--help of 1.20.2"
    assert report.data(explained(""))["topic"] is None


def test_of_many_hosts_a_few_are_shown_and_the_others_counted() -> None:
    nodes = "".join(f"  n{one}: {{address: 10.77.1.{one}, roles: [node]}}\n" for one in range(1, 41))
    lab = clusters.cluster(topology=f"\n  m1: {{address: 10.77.0.11, roles: [etcd, master]}}\n{nodes}")
    text = shown("kubelet", lab)
    assert text.count("--hostname-override=") == 4
    assert "... and 36 more (-o json has all)" in text  # names of nodes
    assert "runs on       n1, n2, n3, n4, n5, n6 and 34 more" in text
    assert shown("/etc/kubernetes/kubelet", lab).count("mode 0644") == 4
    assert shown("gate", lab).count("\n") < 120
    assert "... and 17 more" in shown("", lab)  # hosts
    data = report.data(explained("--hostname-override", lab))
    assert len(json.loads(json.dumps(data))["explanation"][0]["values"]) == 40


# --- the texts


def test_every_component_of_ours_has_a_text_and_every_text_a_component() -> None:
    ours = {path.stem for path in (Path(profiles.__file__).parents[1] / "components").glob("*.yaml")}
    assert ours == set(TEXTS.components)


def test_no_name_means_two_things() -> None:
    names = [
        name
        for group in (TEXTS.components, TEXTS.concepts)
        for key, text in group.items()
        for name in (key, *text.aliases)
    ]
    assert len(names) == len(set(names))


def test_kubeadms_steps_name_files_and_components_that_there_are() -> None:
    profile = profiles.load("1.20.2")
    paths = {path for component in profile.components.values() for path in component.files}
    for step in TEXTS.steps:
        assert set(step.components) <= set(profile.components)
        assert set(step.files) <= paths


def test_the_users_of_processes_are_those_of_their_units() -> None:
    folders = [packaged_templates(), Path(profiles.__file__).parents[1] / "lab" / "data" / "rpms"]
    units = [path for folder in folders for path in folder.rglob("*.service*") if path.is_file()]
    checked = set()
    for path in units:
        name = path.name.partition(".service")[0]
        user = re.search(r"^User=(\S+)", path.read_text(), re.MULTILINE)
        text = next((one for key, one in TEXTS.components.items() if key == name), None)
        if text is not None and "[Service]" in path.read_text():
            checked.add(name)
            assert text.user == (user[1] if user else "root"), path
    assert {"etcd", "kube-apiserver", "kube-scheduler", "kubelet", "docker"} <= checked


def test_every_directive_of_our_unit_files_has_a_text() -> None:
    found = {
        directive
        for path in packaged_templates().rglob("*.j2")
        if path.name.endswith((".service.j2", ".conf.j2")) and "[Service]" in path.read_text()
        for directive in re.findall(r"^([A-Z][A-Za-z]+)=", path.read_text(), re.MULTILINE)
    }
    assert found
    assert found <= set(TEXTS.lines["systemd"])


@pytest.mark.parametrize("version", profiles.available())
def test_every_flag_that_we_set_has_a_help_text(version: str) -> None:
    profile = profiles.load(version)
    without = [
        f"{name} --{flag}"
        for name, component in profile.components.items()
        for flag, _ in component.flags.every
        if settings.general(profile, TEXTS, name, flag).help is None
    ]
    assert without == []


def test_the_text_of_another_version_is_said_to_be_that() -> None:
    found = TEXTS.help("kubelet", "max-pods", "1.5.2")
    assert found is not None
    assert not found.exact
    assert "(--help of 1.20.2; there is no text of this version)" in " ".join(
        shown("--max-pods", clusters.cluster("1.5.2")).split()
    )
    assert TEXTS.help("kubelet", "no-such-flag", "1.5.2") is None
    assert "There is no help text" in shown("--kubelet-read-only-port", clusters.cluster())


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("authorization-mode", "one of AlwaysAllow, "),
        ("election-timeout", "at most 50000"),
        ("election-timeout", "at least 5 times heartbeat-interval"),
        ("admission-control", "not together with enable-admission-plugins, disable-admission-plugins"),
        ("leader-elect-lease-duration", "more than leader-elect-renew-deadline"),
        ("identity-lease-duration-seconds", "more than 0"),
        ("service-account-issuer", "required"),
        ("runtime-config", "keys: api/all"),
        ("cluster-signing-kubelet-client-cert-file", "it needs cluster-signing-kubelet-client-key-file"),
    ],
)
def test_what_a_value_may_be_is_said_in_words(flag: str, words: str) -> None:
    assert words in " ".join(shown(f"flag {flag}").split())


def test_the_clusters_dns_is_what_the_inventory_chooses() -> None:
    assert re.search(r"program +none", shown("dns", clusters.cluster()))
    lab = clusters.cluster(more="", network="routes, dns: coredns")
    assert re.search(r"address +10\.254\.0\.10", shown("coredns", lab))


def test_a_text_that_breaks_the_schema_is_refused(tmp_path: Path) -> None:
    for name in ("components", "concepts", "kubeadm", "lines"):
        content = yaml.safe_load((texts.FOLDER / f"{name}.yaml").read_text())
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    assert texts.load(tmp_path).helps == ()
    (tmp_path / "concepts.yaml").write_text("pod: {is: a pod, text: []}\n")
    with pytest.raises(InputError, match=r"concepts.pod.text"):
        texts.load(tmp_path)
