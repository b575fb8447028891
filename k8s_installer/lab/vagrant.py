"""The same topology on CentOS 7 virtual machines, driven through Vagrant where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from k8s_installer.errors import InputError, LabError
from k8s_installer.lab import inventory, network, state
from k8s_installer.lab.artifacts import data_folder, locked
from k8s_installer.lab.commands import Say, run
from k8s_installer.lab.fleet import Status, describe
from k8s_installer.lab.state import Condition, Lab, Shape

REPOSITORY_VARIABLE = "LAB_REPOSITORY"
_VERSION_OF_EXTRAS = "1.5.2"


def up(name: str, shape: Shape, say: Say, cache: Path | None = None) -> Status:
    """Start the virtual machines of a lab and write its inventory, or find that they run.

    Raises:
        InputError: the shape makes no sense, or the version needs a repository that was not named.
        LabError: Vagrant is not installed, or failed.
    """
    state.check(name, shape)
    if shape.programs:
        raise InputError("--programs packs programs for containers; virtual machines install from repositories")
    if shape.version != _VERSION_OF_EXTRAS and not os.environ.get(REPOSITORY_VARIABLE):
        raise InputError(
            f"CentOS 7 has only Kubernetes {_VERSION_OF_EXTRAS}",
            hint=f"--version {_VERSION_OF_EXTRAS}, or set {REPOSITORY_VARIABLE} to a repository with {shape.version}",
        )
    if shutil.which("vagrant") is None:
        raise LabError("vagrant is not installed on this machine", hint="apt-get install vagrant")
    place = cache or state.default_cache()
    with locked(place / "locks" / f"lab-{name}"):
        before = state.load(place, name)
        if before is not None and before.shape != shape:
            raise LabError(
                f"lab {name} exists in a different shape: {describe(before.shape)}",
                hint=f"k8s-installer lab down --name {name}",
            )
        lab = before or state.save(place, _new_lab(name, shape, place))
        folder = state.folder_of(place, name)
        inventory.ensure_key(folder)
        try:
            _follow(["up"], lab, folder, say)
        except LabError:
            if not _machines(folder):  # it did not get as far as making one
                shutil.rmtree(folder)
            raise
        _write_files(lab, folder, place)
        return status(name, place)


def status(name: str, cache: Path | None = None) -> Status:
    """Return what a lab of virtual machines is now.

    Raises:
        LabError: Vagrant cannot tell.
    """
    place = cache or state.default_cache()
    lab, folder = state.load(place, name), state.folder_of(place, name)
    if lab is None:
        return Status(name, "absent", folder, None, frozenset())
    if not _machines(folder):
        return Status(name, "stopped", folder, lab, frozenset())
    answer = run(["vagrant", "status", "--machine-readable"], env=environment(lab, folder))
    running = running_hosts(answer)
    return Status(name, _condition(lab, running), folder, lab, running)


def down(name: str, say: Say, cache: Path | None = None) -> bool:
    """Destroy a lab's virtual machines and remove its files; return whether there was anything.

    Raises:
        LabError: Vagrant failed.
    """
    place = cache or state.default_cache()
    with locked(place / "locks" / f"lab-{name}"):
        lab, folder = state.load(place, name), state.folder_of(place, name)
        if lab is None:
            say(f"there is no lab {name}: nothing to do")
            return False
        if _machines(folder):
            _follow(["destroy", "--force"], lab, folder, say)
        shutil.rmtree(folder, ignore_errors=True)
        return True


def environment(lab: Lab, folder: Path) -> dict[str, str]:
    """Return the environment in which `vagrant` means this lab."""
    return {
        **os.environ,
        "VAGRANT_CWD": str(data_folder() / "vagrant"),
        "VAGRANT_DOTFILE_PATH": str(folder / ".vagrant"),
        "LAB_MASTERS": str(lab.shape.masters),
        "LAB_NODES": str(lab.shape.nodes),
        "LAB_VERSION": lab.shape.version,
        "LAB_NUMBER": str(lab.number),
        "LAB_PUBLIC_KEY": str(folder / f"{inventory.KEY}.pub"),
    }


def running_hosts(answer: str) -> frozenset[str]:
    """Return the running hosts of `vagrant status --machine-readable` (timestamp,host,kind,value...)."""
    fields = (line.split(",") for line in answer.splitlines())
    return frozenset(field[1] for field in fields if field[2:4] == ["state", "running"])


def _machines(folder: Path) -> list[Path]:
    """Return what Vagrant has written down of the machines that it made (.vagrant/machines/NAME/PROVIDER/id)."""
    return list((folder / ".vagrant/machines").glob("*/*/id"))


def _condition(lab: Lab, running: frozenset[str]) -> Condition:
    if len(running) == len(lab.hosts):
        return "running"
    return "partly running" if running else "stopped"


def _new_lab(name: str, shape: Shape, cache: Path) -> Lab:
    taken = {lab.number for lab in state.load_all(cache)} | network.numbers_in_use()
    number = network.free_number(taken)
    return Lab(name, number, shape, state.plan_hosts(number, shape), state.boot_id())


def _write_files(lab: Lab, folder: Path, cache: Path) -> None:
    """Write known_hosts from what the hosts say over Vagrant's own connection, and the inventory."""
    keys = []
    for host in lab.hosts:
        command = ["vagrant", "ssh", host.name, "-c", "cat /etc/ssh/ssh_host_*_key.pub"]
        keys.append((host.name, host.address, run(command, env=environment(lab, folder)).splitlines()))
    (folder / inventory.KNOWN_HOSTS).write_text(inventory.known_hosts_text(keys), encoding="utf-8")
    text = inventory.inventory_text(lab, folder)
    if inventory.write_inventory(folder / inventory.INVENTORY, text, lab.inventory_digest):
        state.save(cache, replace(lab, inventory_digest=inventory.digest(text)))


def _follow(words: list[str], lab: Lab, folder: Path, say: Say) -> None:
    """Run Vagrant, passing on each line as progress (it takes minutes)."""
    command = ["vagrant", *words]
    with subprocess.Popen(
        command,
        env=environment(lab, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            say(line.rstrip())
    if process.returncode:
        raise LabError("\n".join([f"{' '.join(command)}: exit {process.returncode}", *lines[-8:]]))
