"""What a cluster wants of each host, as other tools are told it: files, packages and services, from `desired`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError
from k8s_installer.errors import InstallerError
from k8s_installer.flows.resolve import real_keys, resolve
from k8s_installer.model.resources import Absent, Data, File, Gate, Package, Setting, Unit


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of a host; `src` is where its bytes are on this machine."""

    src: str
    dest: str
    mode: str
    owner: str
    group: str


@dataclass(frozen=True, slots=True)
class HostWants:
    """Everything that one host should have, in the order in which the installer sets it up."""

    address: str
    files: tuple[WantedFile, ...]
    packages: tuple[tuple[str, str], ...]
    services: tuple[str, ...]

    def data(self) -> dict[str, object]:
        """For the tools' own inventories."""
        return asdict(self)


def wants(inventory: Path, folder: Path) -> dict[str, HostWants]:
    """Work out what every host of an inventory should have, with real keys; the bytes are written below `folder`."""
    try:
        intent = resolve(inventory, None, real_keys)
    except InstallerError as error:
        raise BenchmarkError(str(error)) from None
    files: dict[str, list[WantedFile]] = {host.name: [] for host in intent.cluster.hosts}
    packages: dict[str, list[tuple[str, str]]] = {host.name: [] for host in intent.cluster.hosts}
    services: dict[str, list[str]] = {host.name: [] for host in intent.cluster.hosts}
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # among the bytes are keys
    for ref, wanted in intent.desired.items():
        match wanted.resource:
            case File() as file:
                src = folder / file.sha256
                if not src.exists():
                    src.write_bytes(file.content)
                files[ref.host].append(WantedFile(str(src), ref.name, f"{file.mode:04o}", file.owner, file.group))
            case Package() as package:
                packages[ref.host].append((package.name, package.version))
            case Unit() as unit:
                services[ref.host].append(unit.name)
            case Gate():
                pass  # the other tools are not asked to wait for health; with nothing changed we do not either
            case Setting() | Absent() | Data():
                pass  # nor told of what a host is set to, and of what should be gone; our own plan does look
            case other:
                raise BenchmarkError(f"{ref}: the other tools are not told yet of a {type(other).__name__}")
    return {
        host.name: HostWants(
            host.address, tuple(files[host.name]), tuple(packages[host.name]), tuple(services[host.name])
        )
        for host in intent.cluster.hosts
    }
