from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_installer.lab import inventory, state
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.images import COREDNS
from k8s_installer.lab.state import Driver, Lab, Shape

FOLDER = Path("/cache/labs/demo")


def text_of(
    masters: int = 1,
    nodes: int = 2,
    *,
    name: str = "demo",
    version: str = "1.20.2",
    driver: Driver = "nspawn",
    offline: bool = False,
) -> str:
    shape = Shape(masters, nodes, version, driver=driver, offline=offline)
    return inventory.inventory_text(Lab(name, 4, shape, state.plan_hosts(4, shape), "boot"), FOLDER)


def parsed(text: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(text)
    return data


def test_the_inventory_is_what_apply_wants() -> None:
    assert parsed(text_of()) == {
        "cluster": {
            "name": "demo",
            "version": "1.20.2",
            "pod_cidr": "10.244.0.0/16",
            "service_cidr": "10.254.0.0/16",
            "network": "routes",
            "security": "tls",
        },
        "ssh": {
            "user": "root",
            "key": "/cache/labs/demo/id_ed25519",
            "known_hosts": "/cache/labs/demo/known_hosts",
            "host_keys": "strict",
        },
        "images": {
            "pause": "10.77.4.1:5000/lab/pause:1",
            "verify": "10.77.4.1:5000/lab/web:1",
            "dns": {"coredns": "10.77.4.1:5000/lab/coredns:1.8.7"},
        },
        "hosts": {
            "m1": {"address": "10.77.4.11", "roles": ["etcd", "master"]},
            "n1": {"address": "10.77.4.21", "roles": ["node"]},
            "n2": {"address": "10.77.4.22", "roles": ["node"]},
        },
        "components": {
            "docker": {"args": {"insecure-registry": ["10.77.4.1:5000"], "signature-verification": None}},
            "kube-proxy": {"args": {"conntrack-max-per-core": 0}},
        },
    }


def test_offline_hosts_are_told_of_no_repository_and_no_registry() -> None:
    text = text_of(offline=True)
    data = parsed(text)
    assert (data["repos"], data["images"]) == ("bundle", {"pause": "lab/pause:1", "verify": "lab/web:1"})
    assert data["components"]["docker"] == {"args": {"signature-verification": None}}
    assert ":5000" not in text


@pytest.mark.parametrize(("masters", "members"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5)])
def test_etcd_has_an_odd_number_of_members(masters: int, members: int) -> None:
    hosts = parsed(text_of(masters))["hosts"].values()
    assert sum("etcd" in host["roles"] for host in hosts) == members
    assert sum("master" in host["roles"] for host in hosts) == masters


def test_kubelets_that_do_not_know_the_labs_systemd_get_cgroupfs() -> None:
    assert parsed(text_of(version="1.9.4"))["host_settings"] == {"cgroup_driver": "cgroupfs"}
    assert parsed(text_of(version="1.9.4", offline=True))["host_settings"] == {"cgroup_driver": "cgroupfs"}
    assert "host_settings" not in parsed(text_of(version="1.9.4", driver="vagrant"))  # CentOS 7 itself


def test_the_image_of_coredns_says_the_version_that_is_built() -> None:
    version = COREDNS.partition(":")[2]
    assert f"github.com/coredns/coredns v{version}\n" in (data_folder() / "go/coredns/go.mod").read_text()


def test_virtual_machines_get_nothing_of_what_only_containers_need() -> None:
    data = parsed(text_of(driver="vagrant"))
    assert "images" not in data
    assert "components" not in data


def test_a_name_that_yaml_would_take_for_a_number_stays_a_name() -> None:
    assert parsed(text_of(name="12"))["cluster"]["name"] == "12"


def test_an_inventory_is_written_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    assert inventory.write_inventory(path, "new", "")
    assert path.read_text() == "new"


def test_an_inventory_as_the_lab_wrote_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text("old")
    assert inventory.write_inventory(path, "new", inventory.digest("old"))
    assert path.read_text() == "new"


def test_an_inventory_that_the_user_edited_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text("old, edited")
    assert not inventory.write_inventory(path, "new", inventory.digest("old"))
    assert path.read_text() == "old, edited"


def test_known_hosts_know_names_and_addresses_and_no_comments() -> None:
    text = inventory.known_hosts_text([("m1", "10.77.4.11", ["ssh-ed25519 AAAA root@m1\n", "\n"])])
    assert text == "m1,10.77.4.11 ssh-ed25519 AAAA\n"
