"""What a component beside an inventory may have, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import InputError, InventoryError, TemplateError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.model.resources import File, Kind, Ref, Setting
from k8s_installer.pki import Leaf
from k8s_installer.planning.select import of_components
from k8s_installer.preflight import assess, needs, script
from k8s_installer.preflight.model import Disk
from k8s_installer.profiles import files
from tests.unit.test_preflight import fit

EXPORTER = """
why: Shows numbers.
roles: [etcd, node]
unit: exporter
packages: {exporter: "1.2"}
style: repeated
variables: {LISTEN: [listen], OPTIONS: ["*"]}
flags: {always: {listen: "{{ host.address }}:9100", collect: [cpu, disk]}, tls: {certificate: /etc/exporter.crt}}
fixed: [certificate]
certificates: {exporter: {user: exporter, group: numbers, ca: etcd-ca, names: [numbers.example.com], each_host: true}}
files:
  /etc/exporter: {why: Its flags., template: exporter.j2}
  /etc/exporter.crt: {why: Who it is., pki: "{{ host.name }}/exporter.crt"}
ports: {9100/tcp: [master]}
after: {here: [tools]}
"""
TOOLS = "why: What the exporter calls.\nroles: [etcd, node]\npackages: {tools: ''}\n"
TEMPLATE = "# {{ header }}\nLISTEN={{ variables.LISTEN | join(' ') }}\nOPTIONS={{ variables.OPTIONS | join(' ') }}\n"
INVENTORY = """
cluster: {{name: lab, version: "{version}", security: {security}}}
hosts:
  m1: {{address: 10.77.0.11, roles: [etcd, master]}}
  n1: {{address: 10.77.0.21, roles: [node], components: {{exporter: {{args: {{collect: [net], level: 3}}}}}}}}
{more}
"""


def resolved(
    folder: Path,
    *,
    version: str = "1.20.2",
    security: str = "tls",
    more: str = "",
    template: str = TEMPLATE,
    exporter: str = EXPORTER,
) -> Resolved:
    """What an inventory wants beside which these components are."""
    for path, text in (
        ("components/exporter.yaml", exporter),
        ("components/tools.yaml", TOOLS),
        ("templates/exporter.j2", template),
        ("cluster.yaml", INVENTORY.format(version=version, security=security, more=more)),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return resolve.resolve(folder / "cluster.yaml", None, None)


def content(wanted: Resolved, host: str, path: str) -> str:
    """The text of a file, without its header."""
    file = wanted.desired[Ref(host, Kind.FILE, path)].resource
    assert isinstance(file, File)
    return file.content.decode().partition("\n")[2]


def test_its_flags_are_the_inventory_s_over_its_own(tmp_path: Path) -> None:
    wanted = resolved(tmp_path)
    assert content(wanted, "m1", "/etc/exporter") == (
        "LISTEN=--listen=10.77.0.11:9100\nOPTIONS=--collect=cpu --collect=disk --certificate=/etc/exporter.crt\n"
    )
    assert content(wanted, "n1", "/etc/exporter") == (
        "LISTEN=--listen=10.77.0.21:9100\nOPTIONS=--collect=net --certificate=/etc/exporter.crt --level=3\n"
    )


def test_its_ports_are_opened_and_its_unit_waits_for_what_has_none(tmp_path: Path) -> None:
    wanted = resolved(tmp_path)
    unit = wanted.desired[Ref("n1", Kind.UNIT, "exporter")]
    assert Ref("n1", Kind.PACKAGE, "tools") in unit.after
    assert Ref("n1", Kind.UNIT, "") not in wanted.desired
    assert wanted.desired[Ref("n1", Kind.SETTING, "firewalld-port 9100/tcp")].resource == Setting("open")
    assert {ref.host for ref in of_components(wanted.desired, {"exporter"})} == {"m1", "n1"}


def test_each_host_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    wanted = resolved(tmp_path)
    assert {name for name in wanted.keys.files if "exporter" in name} == {
        "m1/exporter.crt", "m1/exporter.key", "n1/exporter.crt", "n1/exporter.key",
    }  # fmt: skip
    leaf = leaves(wanted.cluster, wanted.profile)["n1/exporter"]
    assert leaf == Leaf(
        "etcd-ca",
        "exporter",
        "numbers",
        names=("n1", "10.77.0.21", "localhost", "127.0.0.1", "numbers.example.com"),
    )


def test_without_tls_it_has_no_certificate_and_no_file_of_one(tmp_path: Path) -> None:
    wanted = resolved(tmp_path, version="1.5.2", security="insecure")
    assert not wanted.keys.files
    assert Ref("n1", Kind.FILE, "/etc/exporter") in wanted.desired
    assert Ref("n1", Kind.FILE, "/etc/exporter.crt") not in wanted.desired


@pytest.mark.parametrize("name", ["admin", "ca", "encryption"])
def test_a_certificate_has_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    text = EXPORTER.replace("{exporter: {user", f"{{{name}: {{user").replace("each_host: true", "each_host: false")
    with pytest.raises(InventoryError) as caught:
        resolved(tmp_path, exporter=text)
    assert str(caught.value) == (f"{tmp_path}/components: component exporter: there is already a certificate {name}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("components: {exporter: {args: {certificate: x}}}", "exporter: certificate cannot be changed yet: gates, kubeconfigs and other programs depend on it"),
        ("components: {exporter: {config: {a: 1}}}", "exporter has no configuration file in Kubernetes 1.20.2: use args"),
        ("components: {exportr: {}}", "components.exportr: 'exportr' should be 'kubernetes', 'etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'flannel', 'docker', 'kubelet', 'kube-proxy', 'exporter' or 'tools' (did you mean exporter?)"),
    ],
)  # fmt: skip
def test_what_an_inventory_says_of_it_is_checked(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        resolved(tmp_path, more=more)
    assert str(caught.value) == f"{tmp_path}/cluster.yaml:6: {message}"


def test_two_that_listen_on_one_port_are_a_finding(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"exporter uses port 10250, on which kubelet listens"):
        resolved(tmp_path, exporter=EXPORTER.replace("9100/tcp", "10250/tcp"))


def test_its_templates_and_expressions_run_in_the_sandbox(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="__class__"):
        resolved(tmp_path, template="{{ ''.__class__.__mro__ }}\n")
    with pytest.raises((TemplateError, InventoryError), match="__class__"):
        resolved(tmp_path, exporter=EXPORTER.replace("{{ host.address }}", "{{ ''.__class__ }}"))


@pytest.mark.parametrize("name", ["Exporter.yaml", "two words.yaml", "exporter.yml"])
def test_a_file_that_is_named_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    resolved(tmp_path)
    (tmp_path / "components" / name).write_text(TOOLS, encoding="utf-8")
    with pytest.raises(InputError, match=r"a component's file is NAME\.yaml"):
        resolve.resolve(tmp_path / "cluster.yaml", None, None)


def test_a_value_that_its_program_does_not_take_names_its_file(tmp_path: Path) -> None:
    resolved(tmp_path)
    packaged = (files.COMPONENTS / "kube-proxy.yaml").read_text(encoding="utf-8")
    text = packaged.replace("proxy-mode: iptables", "proxy-mode: iptable")
    (tmp_path / "components" / "kube-proxy.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        resolve.resolve(tmp_path / "cluster.yaml", None, None)
    assert str(caught.value) == (
        f"{tmp_path}/components/kube-proxy.yaml: components.kube-proxy of 1.20.2: proxy-mode: "
        'there is no "iptable" here (did you mean iptables?)'
    )


def test_preflight_asks_for_its_ports_on_its_host_and_from_those_that_connect(tmp_path: Path) -> None:
    wanted = resolved(tmp_path)
    needed = needs(wanted.cluster, wanted.profile, wanted.desired)
    assert needed["n1"].ports[9100] == "exporter"
    links = [(link.host, link.unit) for link in needed["m1"].links if link.port == 9100]
    assert links == [("n1", "exporter")]
    assert not [link for link in needed["n1"].links if link.port == 9100]


DEMANDS = """
preflight:
  modules: {dummy: the exporter's own interface}
  conflicts: {exporter: [collectd]}
  room: {/srv/numbers: {enough: 300, least: 200, why: numbers of a month}}
  remains: {/srv/numbers: {package: exporter, why: numbers of another host, stops: true}}
"""


def test_preflight_judges_what_it_demands_of_its_hosts(tmp_path: Path) -> None:
    wanted = resolved(tmp_path, exporter=EXPORTER + DEMANDS)
    needed = needs(wanted.cluster, wanted.profile, wanted.desired)
    asked = script(needed["n1"])
    assert "dummy" in asked
    assert "collectd" in asked
    assert asked.count("/srv/numbers") == 2
    answers = fit(
        needed["n1"],
        missing_modules=frozenset({"dummy"}),
        installed={"collectd": "5.8"},
        disks={"/srv/numbers": Disk("/srv", 100, None)},
        leftovers={"/srv/numbers": ("/srv/numbers/1",)},
    )
    found = assess(wanted.cluster, needed, {"n1": answers}).findings
    assert [f"{one.id} {one.severity} {one.evidence}" for one in found] == [
        "module error dummy: the exporter's own interface",
        "disk error 100 MiB free in /srv/numbers (on /srv), needs 300: numbers of a month",
        "package error collectd 5.8 has the files of exporter",
        "data error /srv/numbers/1, but exporter is not installed: numbers of another host",
    ]


def test_what_it_demands_is_no_command(tmp_path: Path) -> None:
    for demand in ("modules: {'a; reboot': x}", "remains: {'/srv/$(reboot)': {package: x, why: y}}"):
        with pytest.raises(InputError, match="should match pattern"):
            resolved(tmp_path, exporter=f"{EXPORTER}preflight:\n  {demand}\n")
