from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import LabError
from k8s_installer.lab import network

ROUTES = """\
default via 172.16.0.1 dev eth0
10.77.0.0/24 dev lab-dev proto kernel scope link src 10.77.0.1
local 10.77.0.1 dev lab-dev table local proto kernel scope host src 10.77.0.1
10.77.12.0/24 dev tun0 scope link
10.7.3.0/24 dev eth1 scope link
"""


def test_networks_that_this_machine_has_routes_to_are_in_use() -> None:
    assert network.numbers_in_use(ROUTES) == {0, 12}


def test_the_first_free_number_is_picked() -> None:
    assert network.free_number({0, 1, 3}) == 2


def test_without_a_free_number_it_says_so() -> None:
    with pytest.raises(LabError, match="256"):
        network.free_number(range(256))


def test_a_labs_namespaces_are_told_from_those_of_labs_with_longer_names(tmp_path: Path) -> None:
    for name in ("lab-a", "lab-a.m1", "lab-a.n1", "lab-a-b", "lab-a-b.m1", "lab-ab", "other"):
        (tmp_path / name).touch()
    assert network.namespaces("a", tmp_path) == ["lab-a.n1", "lab-a.m1", "lab-a"]
    assert network.namespaces("a", tmp_path / "absent") == []
