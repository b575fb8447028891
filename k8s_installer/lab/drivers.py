"""A lab as the command line works with it, whichever driver runs its hosts."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from k8s_installer import profiles
from k8s_installer.errors import InputError
from k8s_installer.lab import fleet, hosts, state, vagrant
from k8s_installer.lab.commands import Say
from k8s_installer.lab.fleet import Status


def up(name: str, shape: state.Shape, say: Say) -> Status:
    """Start a lab.

    Raises:
        InputError: there is no such version.
    """
    if shape.version not in profiles.available():
        profiles.load(shape.version)  # says which versions there are
    start = vagrant.up if shape.driver == "vagrant" else fleet.up
    return start(name, shape, say)


def status(name: str) -> Status:
    """Which of a lab's hosts run."""
    found = fleet.status(name)
    return vagrant.status(name) if found.lab and found.lab.shape.driver == "vagrant" else found


def ssh(name: str, host: str, user: str, command: Sequence[str]) -> int:
    """Log in to a host, or run a command on it; its exit status.

    Raises:
        InputError: the lab has no such host.
    """
    found = status(name)
    known = {one.name: one for one in found.lab.hosts} if found.lab else {}
    if host not in known:
        hint = f"it has {', '.join(known)}" if known else f"k8s-installer lab up --name {name} starts one"
        raise InputError(f"lab {name} has no host {host}", hint=hint)
    # one word is a command line, as with ssh itself; several are the words of one command
    remote = command if len(command) <= 1 else [shlex.join(command)]
    argv = [*hosts.ssh_command(found.folder, known[host], user), *remote]
    return subprocess.run(argv, check=False).returncode


def down(name: str, say: Say, *, purge: bool) -> None:
    """Stop a lab and remove everything of it; with `purge` also what was built and fetched for all labs."""
    found = state.load_or_none(state.default_cache(), name)
    remove = vagrant.down if found and found.shape.driver == "vagrant" else fleet.down
    remove(name, say)
    if purge:
        fleet.purge(say)
