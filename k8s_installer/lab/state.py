"""Where labs are kept, what is written down about each, and what follows from it.

Below the cache folder: `artifacts`, `locks` and `work` are shared by all labs; `labs/NAME` is one lab's, with this
module's record `lab.json`, `inventory.yaml`, `known_hosts`, `id_ed25519`, `server.log`, and `hosts/HOST`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from platformdirs import user_cache_path

from k8s_installer.errors import InputError, LabError
from k8s_installer.lab.processes import Process, alive

Condition: TypeAlias = Literal["absent", "running", "partly running", "stopped"]
Driver: TypeAlias = Literal["nspawn", "vagrant"]

DRIVERS: tuple[Driver, ...] = ("nspawn", "vagrant")
MOST_MASTERS, MOST_NODES = 10, 200
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LONGEST_NAME = 15 - len("lab-")  # a network interface's name has at most 15 characters
_FIRST_MASTER, _FIRST_NODE = 11, 21


@dataclass(frozen=True, slots=True)
class Shape:
    """What was asked for; two labs of equal shape are interchangeable.

    `programs` is the absolute path of the user's programs, or empty. The hosts of an `offline` lab reach each other and
    this machine, and nothing else: no route, no repository, no registry.
    """

    masters: int
    nodes: int
    version: str
    programs: str = ""
    driver: Driver = "nspawn"
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """One host; `process` is the container's, None before it was started and for Vagrant's."""

    name: str
    address: str
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab as it was last written down.

    `boot` identifies the machine's boot: the processes of an earlier one are gone whatever their numbers say.
    `inventory_digest` is that of the inventory as the lab wrote it: another one means the user edited it.
    `packages` and `images` are the folders of what the lab serves, or of what an offline lab does not.
    """

    name: str
    number: int
    shape: Shape
    hosts: tuple[Host, ...]
    boot: str
    server: Process | None = None
    inventory_digest: str = ""
    packages: str = ""
    images: str = ""


def default_cache() -> Path:
    """Return this project's folder in the user's cache."""
    return user_cache_path("k8s-installer", appauthor=False)


def folder_of(cache: Path, name: str) -> Path:
    """Return the folder of a lab, there or not.

    Raises:
        InputError: no lab has such a name; it might lead to the folders of all.
    """
    flaw = _flaw_of(name)
    if flaw:
        raise InputError(flaw)
    return cache / "labs" / name


def _flaw_of(name: str) -> str:
    if _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME:
        return ""
    return f"--name {name!r}: at most {_LONGEST_NAME} lowercase letters, digits and inner dashes (it names a bridge)"


def check(name: str, shape: Shape) -> None:
    """Refuse what cannot be a lab.

    Raises:
        InputError: with everything that is wrong, in one message.
    """
    wrong = list(filter(None, [_flaw_of(name)]))
    if not 1 <= shape.masters <= MOST_MASTERS:
        wrong.append(f"--masters {shape.masters}: from 1 to {MOST_MASTERS}")
    if not 0 <= shape.nodes <= MOST_NODES:
        wrong.append(f"--nodes {shape.nodes}: from 0 to {MOST_NODES}")
    if not re.fullmatch(r"\d+\.\d+\.\d+", shape.version):
        wrong.append(f"--version {shape.version!r}: like 1.20.2")
    if shape.driver not in DRIVERS:
        wrong.append(f"--driver {shape.driver!r}: {' or '.join(DRIVERS)}")
    if shape.offline and shape.driver != "nspawn":
        wrong.append("--offline: only for containers")
    if wrong:
        raise InputError("; ".join(wrong))


def plan_hosts(number: int, shape: Shape) -> tuple[Host, ...]:
    """Return the hosts of a lab: m1.. from 10.77.NUMBER.11, n1.. from 10.77.NUMBER.21."""
    masters = [Host(f"m{i + 1}", f"10.77.{number}.{_FIRST_MASTER + i}") for i in range(shape.masters)]
    nodes = [Host(f"n{i + 1}", f"10.77.{number}.{_FIRST_NODE + i}") for i in range(shape.nodes)]
    return (*masters, *nodes)


def boot_id() -> str:
    """Return what the kernel says of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def condition(lab: Lab | None, boot: str) -> Condition:
    """Tell from a record, this boot and the live processes what a lab of containers is."""
    if lab is None:
        return "absent"
    processes = [host.process for host in lab.hosts]
    processes += [] if lab.shape.offline else [lab.server]
    running = [lab.boot == boot and alive(process) for process in processes]
    if all(running):
        return "running"
    return "partly running" if any(running) else "stopped"


def save(cache: Path, lab: Lab) -> Lab:
    """Write a lab down, whole or not at all, and return it."""
    path = folder_of(cache, lab.name) / "lab.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)  # a key is in it
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(lab), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return lab


def load(cache: Path, name: str) -> Lab | None:
    """Return a lab's record, or None if it has none.

    Raises:
        LabError: the record is damaged; `lab down` clears it.
    """
    path = folder_of(cache, name) / "lab.json"
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} is damaged: {error}", hint=f"k8s-installer lab down --name {name}") from error


def load_or_none(cache: Path, name: str) -> Lab | None:
    """Return a lab's record, or None if there is none or it is damaged."""
    try:
        return load(cache, name)
    except LabError:
        return None


def load_all(cache: Path) -> list[Lab]:
    """Return all labs whose record can be read, by name."""
    names = sorted(path.parent.name for path in (cache / "labs").glob("*/lab.json"))
    return [lab for name in names if not _flaw_of(name) and (lab := load_or_none(cache, name))]


def with_process(lab: Lab, host: str, process: Process) -> Lab:
    """Return the lab with the process of one host filled in."""
    hosts = (replace(one, process=process) if one.name == host else one for one in lab.hosts)
    return replace(lab, hosts=tuple(hosts))


def _parse(data: dict[str, Any]) -> Lab:
    hosts = (Host(one["name"], one["address"], _process(one["process"])) for one in data["hosts"])
    return Lab(
        name=data["name"],
        number=data["number"],
        shape=Shape(**data["shape"]),
        hosts=tuple(hosts),
        boot=data["boot"],
        server=_process(data["server"]),
        inventory_digest=data["inventory_digest"],
        packages=data.get("packages", ""),
        images=data.get("images", ""),
    )


def _process(data: dict[str, int] | None) -> Process | None:
    return Process(**data) if data else None
