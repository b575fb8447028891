"""A whole lab: up, status, down."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab import (
    base,
    cgroups,
    debian,
    gomodules,
    hosts,
    images,
    inventory,
    machine,
    network,
    programs,
    rpms,
    state,
)
from k8s_installer.lab.artifacts import locked
from k8s_installer.lab.commands import Say, run
from k8s_installer.lab.processes import Process, alive, detach, kill, wait_gone
from k8s_installer.lab.server import REPOSITORY_PORT
from k8s_installer.lab.state import Condition, Host, Lab, Shape

_TOOLS = (*hosts.TOOLS, *base.TOOLS, *rpms.TOOLS, *images.TOOLS)
_PARALLEL_BOOTS = 8


@dataclass(frozen=True, slots=True)
class Made:
    """The artefacts that a lab runs on."""

    base: Path
    packages: Path
    images: Path


@dataclass(frozen=True, slots=True)
class Status:
    """A lab as it is now; `lab` is None when there is none. `running` names the hosts whose container runs."""

    name: str
    condition: Condition
    folder: Path
    lab: Lab | None
    running: frozenset[str]


def up(name: str, shape: Shape, say: Say, cache: Path | None = None) -> Status:
    """Make a lab, or find that it runs already.

    Args:
        name: the lab's name.
        shape: how many hosts, which version, whose programs.
        say: receives progress.
        cache: the folder of artefacts and labs, by default the user's.

    Raises:
        InputError: the name or the shape makes no sense; nothing was touched.
        LabError: this machine cannot run it, a lab of another shape runs under this name, or a step failed.
    """
    state.check(name, shape)
    place = cache or state.default_cache()
    _check_machine()
    with locked(place / "locks" / f"lab-{name}"):
        found = status(name, place)
        if _goes_on(found, shape, say):
            return found
        if found.lab is None and cgroups.processes(name):
            raise LabError(
                f"a lab {name} is running that this cache folder does not know",
                hint=f"use another --name, or stop it with k8s-installer lab down --name {name}",
            )
        if remains(name, place):
            say(f"removing what is left of an earlier lab {name}")
            _clear(name, place)
        made = _make_artifacts(place, shape, say)
        _start(name, shape, made, place, say)
        return status(name, place)


def _goes_on(found: Status, shape: Shape, say: Say) -> bool:
    """Tell whether the lab that was found is the one that is wanted, and runs."""
    if found.lab is None:
        return False
    other_driver = found.lab.shape.driver != shape.driver
    if not other_driver and found.condition not in {"running", "partly running"}:
        return False
    if found.lab.shape != shape:
        raise LabError(
            f"lab {found.name} exists in a different shape: {describe(found.lab.shape)}",
            hint=f"k8s-installer lab down --name {found.name}",
        )
    if found.condition == "running":
        say(f"lab {found.name} already runs: nothing to do")
        return True
    stopped = [host.name for host in found.lab.hosts if host.name not in found.running]
    say(f"of lab {found.name} {', '.join(stopped) or 'the web server'} no longer runs: starting everything again")
    return False


def describe(shape: Shape) -> str:
    """Say a shape in the words of the command line."""
    words = f"--masters {shape.masters} --nodes {shape.nodes} --version {shape.version} --driver {shape.driver}"
    words += " --offline" if shape.offline else ""
    return f"{words} --programs {shape.programs}" if shape.programs else words


def status(name: str, cache: Path | None = None) -> Status:
    """Return what a lab is now, changing nothing.

    Raises:
        LabError: its record is damaged.
    """
    place = cache or state.default_cache()
    lab = state.load(place, name)
    boot = state.boot_id()
    running = frozenset(
        host.name for host in (lab.hosts if lab else ()) if lab and lab.boot == boot and alive(host.process)
    )
    return Status(name, state.condition(lab, boot), state.folder_of(place, name), lab, running)


def down(name: str, say: Say, cache: Path | None = None) -> bool:
    """Remove a lab and everything of it; return whether there was anything.

    Raises:
        InputError: no lab has such a name.
        LabError: something of it would not go away.
    """
    place = cache or state.default_cache()
    folder = state.folder_of(place, name)
    with locked(place / "locks" / f"lab-{name}"):
        if not folder.exists() and not remains(name, place):
            say(f"there is no lab {name}: nothing to do")
            return False
        say(f"removing lab {name}")
        _clear(name, place)
        shutil.rmtree(folder, ignore_errors=True)
        return True


def purge(say: Say, cache: Path | None = None) -> None:
    """Remove all artefacts.

    Raises:
        LabError: a lab still runs on them.
    """
    place = cache or state.default_cache()
    labs = [lab.name for lab in state.load_all(place)]
    if labs:
        raise LabError(f"what was built is kept while labs exist: {', '.join(labs)}", hint="lab down --name NAME")
    for name in ("artifacts", "work"):
        say(f"removing {place / name}")
        shutil.rmtree(place / name, ignore_errors=True)


def remains(name: str, cache: Path) -> bool:
    """Tell whether anything of a lab is there: a record, namespaces, a link, or control groups."""
    record = state.folder_of(cache, name) / "lab.json"
    return record.exists() or bool(network.namespaces(name)) or network.exists(name) or cgroups.exists(name)


def _check_machine() -> None:
    lacks = machine.missing(machine.look())
    if lacks:
        raise LabError(
            f"this machine cannot run a lab of containers; it lacks: {'; '.join(lacks)}",
            hint="run the same hosts as virtual machines with Vagrant: lab up --driver vagrant",
        )


def _make_artifacts(cache: Path, shape: Shape, say: Say) -> Made:
    """Make what the hosts are made of; the long ones side by side."""
    given = Path(shape.programs) if shape.programs else None
    debian.install(debian.packages_missing(_TOOLS + programs.TOOLS), say)
    with contextlib.suppress(LabError):  # best effort: a missing feature shows where it is needed
        if modules := machine.unloaded():
            run(["modprobe", "-a", *modules])
    with ThreadPoolExecutor(max_workers=4) as pool:
        compiled = pool.submit(programs.programs, cache, shape.version, given, say)
        third_party = pool.submit(rpms.payload, cache, say)
        root = pool.submit(base.base, cache, say)
        pictures = pool.submit(images.images, cache, say)
        files, contents = compiled.result()
        # after the long one: each compiler alone has work for all processors
        overlay = gomodules.flannel(cache, say)
        packages = rpms.repository(cache, shape.version, files, contents, third_party.result(), overlay, say)
        return Made(root.result(), packages, pictures.result())


def _start(name: str, shape: Shape, made: Made, cache: Path, say: Say) -> None:
    """Make network, server and hosts; on failure everything is taken down again, the inventory excepted."""
    say(f"starting {shape.masters + shape.nodes} hosts")
    with locked(cache / "locks" / "numbers"):  # two labs that start together must not pick the same network
        new = replace(_new_lab(name, shape, cache), packages=str(made.packages), images=str(made.images))
        lab = state.save(cache, new)
        try:
            addresses = [(host.name, host.address) for host in lab.hosts]
            network.make(name, lab.number, addresses, offline=shape.offline)
        except BaseException:
            _clear(name, cache)
            raise
    try:
        _run_hosts(lab, made, cache, say)
    except BaseException:
        with contextlib.suppress(LabError):
            _clear(name, cache)
        raise


def _new_lab(name: str, shape: Shape, cache: Path) -> Lab:
    """Number a lab: the number it had if that is free, so that an edited inventory stays right."""
    before = state.load(cache, name)
    others = {lab.number for lab in state.load_all(cache) if lab.name != name}
    taken = others | network.numbers_in_use()
    number = before.number if before and before.number not in taken else network.free_number(taken)
    digest = before.inventory_digest if before else ""
    return Lab(name, number, shape, state.plan_hosts(number, shape), state.boot_id(), inventory_digest=digest)


def _run_hosts(lab: Lab, made: Made, cache: Path, say: Say) -> None:
    folder = state.folder_of(cache, lab.name)
    public_key = inventory.ensure_key(folder)
    repository = ""
    if not lab.shape.offline:
        repository = f"http://{network.gateway(lab.number)}/"
        lab = state.save(cache, replace(lab, server=_start_server(lab, made, folder)))

    def boot(host: Host) -> tuple[Host, Process]:
        own = folder / "hosts" / host.name
        hosts.prepare(own, host, public_key, repository)
        return host, hosts.boot(lab.name, own, host, made.base)

    with ThreadPoolExecutor(max_workers=_PARALLEL_BOOTS) as pool:
        for host, process in pool.map(boot, lab.hosts):
            lab = state.save(cache, state.with_process(lab, host.name, process))
        keys = [(host.name, host.address, hosts.public_keys(folder / "hosts" / host.name)) for host in lab.hosts]
        (folder / inventory.KNOWN_HOSTS).write_text(inventory.known_hosts_text(keys), encoding="utf-8")
        wait: Callable[[Host], None] = lambda host: hosts.wait_ready(folder, host)  # noqa: E731
        list(pool.map(wait, lab.hosts))
    text = inventory.inventory_text(lab, folder)
    if inventory.write_inventory(folder / inventory.INVENTORY, text, lab.inventory_digest):
        state.save(cache, replace(lab, inventory_digest=inventory.digest(text)))
    else:
        say(f"kept your edited {folder / inventory.INVENTORY}")


def _start_server(lab: Lab, made: Made, folder: Path) -> Process:
    """Start the lab's web server and wait until it answers."""
    address = network.gateway(lab.number)
    command = [
        *(*network.entering(lab.name), sys.executable, "-m", "k8s_installer.lab.server", "--address", address),
        *("--packages", str(made.packages), "--images", str(made.images)),
    ]
    process = detach(command, log=folder / "server.log", join=cgroups.make(lab.name, "server"))
    for _ in range(100):
        if not alive(process):
            break
        try:
            with urllib.request.urlopen(f"http://{address}:{REPOSITORY_PORT}/repodata/repomd.xml", timeout=2):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = (folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    raise LabError("\n".join(["the lab's web server did not start", *tail]))


def _clear(name: str, cache: Path) -> None:
    """Stop and remove what runs of a lab, or was left of one; its key, record and inventory stay."""
    folder = state.folder_of(cache, name)
    lab = state.load_or_none(cache, name)
    if lab is not None and lab.boot == state.boot_id():
        recorded = [process for process in (*(host.process for host in lab.hosts), lab.server) if process]
        kill(recorded)
        wait_gone(recorded, 10)
    cgroups.stop(name)
    network.remove(name)
    cgroups.remove(name)
    for own in (folder / "hosts").glob("*"):
        hosts.forget(name, own)
