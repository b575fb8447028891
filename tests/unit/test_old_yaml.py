"""Every YAML file that a program of Kubernetes' time reads is one that its parser takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from k8s_installer import inventory, profiles
from k8s_installer.desired import desire
from k8s_installer.model.resources import File
from k8s_installer.render import Renderer
from tests.golden.cases import FOLDER
from tests.unit.clusters import MODES, cluster, placeholder
from tests.unit.old_yaml import findings

KINDS = ("*.yaml", "*.kubeconfig", "root/.kube/config")


def files() -> list[Path]:
    """Every YAML file of every golden case."""
    return [path for kind in KINDS for path in sorted(FOLDER.glob(f"*/*/**/{kind}"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roleRef: {name: system:coredns}\n", "system:coredns within braces or brackets, and not quoted"),
        ("a:\n- {b: [x, y:z]}\n", "y:z within braces or brackets, and not quoted"),
        ("a: yes\n", "yes, which is not quoted"),
        ("a: [On]\n", "On, which is not quoted"),
        ("y: 1\n", "y, which is not quoted"),
        ("a: 0644\n", "0644, which is not quoted"),
        ("a: 10:30\n", "10:30, which is not quoted"),
        ("a: 0x1F\n", "0x1F, which is not quoted"),
        ("a: 1_000\n", "1_000, which is not quoted"),
        ("a: 1e3\n", "1e3, which is not quoted"),
        ("a: 2001-01-01\n", "2001-01-01, which is not quoted"),
        ("a: &x 1\n", "an anchor"),
        ("a: !!str 1\n", "a tag"),
        ("a: 'x\ty'\n", "a tab"),
        ("%YAML 1.2\n---\na: 1\n", "a directive"),
        ("1: a\n", "the key 1 is no string"),
        ("- {a: 1, a: 2}\n", "the key a stands twice"),
    ],
)
def test_what_an_old_parser_reads_otherwise_is_found(text: str, said: str) -> None:
    assert [finding.partition(": ")[2] for finding in findings(text)] == [said]


def test_what_every_parser_reads_is_not() -> None:
    text = (
        'a: system:coredns\nb: {c: "system:coredns", d: [1, 1.5, -2, true, null]}\ne: 10.254.0.10\nf: |\n  {g: h:i}\n'
    )
    assert findings(text) == []
    assert findings(yaml.dump({"a": "on", "b": "10:30", "c": "0644"})) == []


def test_every_file_of_every_golden_case_is_read_by_old_parsers() -> None:
    found = files()
    assert {path.name for path in found} >= {"cluster-dns.yaml", "kubelet.yaml", "encryption.yaml", "config"}
    wrong = [f"{path.relative_to(FOLDER)}: {words}" for path in found for words in findings(path.read_text())]
    assert wrong == []


NAMES = """
cluster: {{name: {name}, version: "{version}", security: {security}, dns_domain: "no"}}
images: {{pause: "10.0.0.9:5000/x:1e3", dns: {{coredns: {{image: "10.0.0.9:5000/x:1e3", version: "1.8.7"}}}}}}
hosts:
  "on": {{address: 10.0.0.11, roles: [etcd, master, node]}}
components:
  kubelet: {{config: {config}}}
"""


@pytest.mark.parametrize(("version", "security"), MODES)
@pytest.mark.parametrize("name", ["yes", "n", "12", "1e3", "0x1", "null"])
def test_no_name_of_an_inventory_is_read_as_something_else(version: str, security: str, name: str) -> None:
    config = (
        "{providerID: 'y', staticPodURLHeader: {'n': [x]},"
        " allowedUnsafeSysctls: ['0o17', '1e3', '10:30', '0b1', '08', '+.5e3', '2s', '::']}"
        if version == "1.20.2"
        else "{}"
    )
    text = NAMES.format(name=f'"{name}"', version=version, security=security, config=config)
    lab = inventory.parse(text, Path("i.yaml"))
    lab = replace(lab, dns="kube-dns" if version == "1.5.2" else "coredns")
    if version == "1.9.4":
        lab = replace(lab, tarball=cluster(version, security).tarball)
    desired = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    read = {
        ref.name: item.resource.content.decode() for ref, item in desired.items() if isinstance(item.resource, File)
    }
    checked = {path: text for path, text in read.items() if path.endswith((".yaml", ".kubeconfig", ".kube/config"))}
    assert checked
    for path, content in checked.items():
        assert findings(content) == [], path
        if path.endswith(("kubeconfig", "config")):
            found = yaml.safe_load(content)
            assert [item["name"] for item in found["clusters"]] == [name], path
            assert found["contexts"][0]["context"]["cluster"] == name, path
