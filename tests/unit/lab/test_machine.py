from __future__ import annotations

from dataclasses import replace

import pytest

from k8s_installer.lab import cgroups, machine
from k8s_installer.lab.machine import CONTROLLERS, Machine

FIT = Machine(
    root=True,
    distribution=frozenset({"debian"}),
    architecture="x86_64",
    controllers=frozenset(CONTROLLERS),
    overlay=True,
)
NOTHING = Machine(
    root=False,
    distribution=frozenset(),
    architecture="i686",
    controllers=frozenset(),
    overlay=False,
)

MOUNTS = """\
proc /proc proc rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_a_fit_machine_lacks_nothing() -> None:
    assert machine.missing(FIT) == []


def test_ubuntu_is_fit_too() -> None:
    assert machine.missing(replace(FIT, distribution=frozenset({"ubuntu", "debian"}))) == []


@pytest.mark.parametrize(
    ("unfit", "word"),
    [
        (replace(FIT, root=False), "sudo"),
        (replace(FIT, distribution=frozenset({"fedora"})), "Debian or Ubuntu"),
        (replace(FIT, controllers=frozenset()), "cgroup version 1"),
        (replace(FIT, controllers=FIT.controllers - {"pids"}), "controllers pids "),
        (replace(FIT, overlay=False), "overlay"),
        (replace(FIT, architecture="aarch64"), "aarch64"),
    ],
)
def test_what_is_missing_is_named(unfit: Machine, word: str) -> None:
    (lack,) = machine.missing(unfit)
    assert word in lack


def test_everything_missing_is_named_at_once() -> None:
    assert len(machine.missing(NOTHING)) == 5


def test_controllers_mounted_together_are_all_seen() -> None:
    assert cgroups.controllers(MOUNTS) == {"cpu", "cpuacct", "name=systemd"}


def test_hierarchies_of_both_versions_are_seen() -> None:
    assert [str(path) for path in cgroups.hierarchies(MOUNTS)] == [
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/unified",
    ]
