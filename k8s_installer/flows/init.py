"""`init`: the first inventory of a cluster, from addresses and, with `--from-hosts`, from what the hosts answer."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from k8s_installer import draft, inventory, profiles
from k8s_installer.draft import Checks, Choices, Draft, Facts, Machine, Source, Target
from k8s_installer.draft.choose import suggested_masters, suggested_members, suggested_name
from k8s_installer.engine import fleet
from k8s_installer.errors import HostError, HostsError, InputError, InstallerError, InventoryError, MalformedAnswer
from k8s_installer.flows import output, resolve
from k8s_installer.flows.reporter import Reporter
from k8s_installer.inventory import Host, Ssh
from k8s_installer.inventory.load import DEFAULT_SSH
from k8s_installer.profiles.images import UPSTREAM
from k8s_installer.transport import Transport, UnknownHostError
from k8s_installer.untrusted.answers import understood

T = TypeVar("T")
_BLOCK = 1 << 20  # bytes of an archive that are read at once
# What settings of an inventory are called in hints of the transport, and the options that say the same here.
_OPTIONS = {
    "set ssh.key to": "add --key FILE with",
    "set ssh.known_hosts to use": "use --known-hosts FILE for",
    "ssh.key": "the file of --key",
    "ssh.port": "PORT in USER@HOST:PORT",
}
_UNWRITTEN = Path("cluster.yaml")  # what an inventory is called that goes to stdout


@dataclass(frozen=True, slots=True)
class Request:
    """What was typed: the hosts, and what the inventory is to say where that is not None.

    `output` is the file to write; None writes none. `asks` says that there is a person to ask for what is left out.
    """

    hosts: Sequence[str]
    output: Path | None
    name: str | None = None
    version: str | None = None
    network: str | None = None
    masters: str | None = None
    members: str | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    tarball: Path | None = None
    registry: str | None = None
    insecure: bool = False
    from_hosts: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Drafted:
    """An inventory as it was made, and its text."""

    draft: Draft
    text: str


def init(request: Request, reporter: Reporter) -> Drafted | None:
    """Make an inventory, and write it to the file that was asked for; None where a person did not want that.

    Raises:
        InputError: something that was typed is wrong, or the file is there and nobody can be asked.
        InstallerError: hosts were to be asked and did not answer, each with its reason; nothing is written.
    """
    targets = _looked_up(draft.targets(request.hosts))
    draft.distinct(targets)
    for option, path in (
        ("--key", request.key),
        ("--known-hosts", request.known_hosts),
        ("--tarball", request.tarball),
    ):
        if path is not None and not path.is_file():
            raise InputError(f"{option}: there is no file {path}")
    if request.tarball is not None and request.version is None and not request.asks:
        raise InputError("--tarball: its version is not known", hint="add --version, such as --version 1.20.2")
    if request.insecure and request.registry is None:
        raise InputError("--insecure-registry: no registry is named", hint="add --registry HOST[:PORT]")
    if not _may_write(request, reporter):
        return None
    machines = [Machine(target) for target in targets]
    if request.from_hosts:
        machines = list(map(Machine, targets, _asked(targets, request, reporter)))
    made = draft.made(machines, _chosen(request, machines, reporter), _files(request))
    text = _checked(made, request.output or _UNWRITTEN)
    if request.output is not None:
        _write(request.output, text)
    return Drafted(made, text)


def _looked_up(targets: Sequence[Target]) -> list[Target]:
    """The targets with their addresses; raises InputError for all names that have none, or several."""
    found, wrong = [], []
    for target in targets:
        try:
            addresses = {target.address} if target.address else _addresses(target.host)
        except (OSError, UnicodeError):  # UnicodeError: a part of the name is too long
            wrong.append(f"{target.host}: this machine cannot resolve the name to an IPv4 address")
            continue
        if len(addresses) > 1:
            wrong.append(f"{target.host}: the name has several addresses: {', '.join(sorted(addresses))}")
        found.append(replace(target, address=min(addresses)))
    if wrong:
        raise InputError("\n".join(wrong), hint="give the IPv4 address instead")
    return found


def _addresses(host: str) -> set[str]:
    found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    return {str(IPv4Address(str(address[0]))) for *_, address in found}


def _may_write(request: Request, reporter: Reporter) -> bool:
    """Whether the file is not there, or may be replaced; raises InputError where nobody can be asked."""
    path = request.output
    if path is not None and path.parent.exists() and not path.parent.is_dir():
        raise InputError(f"cannot write {path}: {path.parent} is not a folder")
    if path is None or not (path.exists() or path.is_symlink()):
        return True
    if path.is_dir():
        raise InputError(f"-o {path} is a folder", hint="give the name of a file")
    if not request.asks:
        raise InputError(f"{path} exists and is left as it is", hint="use -o FILE to write another file, or remove it")
    return reporter.ask(f"{path} exists. Replace it? [y/N] ").strip().lower().startswith("y")


def _asked(targets: Sequence[Target], request: Request, reporter: Reporter) -> list[Facts]:
    """What each host answers to one script.

    Raises:
        InstallerError: some do not answer; every reason at once.
    """
    hosts = {target.address: _host(target, request) for target in targets}
    answered: list[str] = []
    with reporter.working(f"asking {len(hosts)} hosts") as working, fleet.connecting(hosts.values()) as connections:

        def tick(host: str) -> None:
            answered.append(host)
            working(f"asking {len(hosts)} hosts: {len(answered)} answered")

        found = fleet.asked(hosts, lambda address: ask(connections.lines[address]), tick)
    errors = [answer for answer in found.values() if isinstance(answer, HostError)]
    if errors:
        unknown = [error for error in errors if isinstance(error, UnknownHostError)]
        hint = "nothing was written; without --from-hosts no host is asked"
        raise InstallerError(
            HostsError([_with_options(error) for error in errors]).message,
            hint="\n".join([*_acquaint(unknown), hint]),
        )
    return [answer for answer in found.values() if isinstance(answer, Facts)]


def _with_options(error: HostError) -> HostError:
    """The error with options in its hint, where that names settings of an inventory, which is not there yet."""
    hint = "" if isinstance(error, UnknownHostError) else error.hint
    for setting, option in _OPTIONS.items():
        hint = hint.replace(setting, option)
    return HostError(error.host, error.message.removeprefix(f"{error.host}: "), hint=hint)


def _acquaint(unknown: Sequence[UnknownHostError]) -> Iterator[str]:
    """How to make hosts known: by a file that has their keys, or by comparing what they presented."""
    if unknown:
        yield "if you have a file with the hosts' keys, add --known-hosts FILE"
        yield "else compare each fingerprint with the host's own, on its console:"
        yield from (f"  ssh-keygen -lf {key}" for key in dict.fromkeys(error.key for error in unknown))
        yield "and if they are the same:"
        yield from (f"  {error.command}" for error in unknown)


def ask(transport: Transport) -> Facts:
    """What a host says of itself.

    Raises:
        HostError: it does not answer, or not in full.
    """
    result = transport.run(draft.SCRIPT, timeout=draft.ASK_SECONDS)
    facts = understood(transport.host, lambda: draft.parse(result.stdout))
    if facts is None:
        raise MalformedAnswer(transport.host, f"it ends after {len(result.stdout)} characters")
    return facts


def _host(target: Target, request: Request) -> Host:
    """A target as the transport takes it, by its address: it has no name yet."""
    key, known_hosts = (str(path.absolute()) if path else None for path in (request.key, request.known_hosts))
    user, port = target.user or str(DEFAULT_SSH.user), target.port or int(DEFAULT_SSH.port or 0)
    ssh = Ssh(user, port, key, known_hosts, "strict", None, float(DEFAULT_SSH.connect_timeout or 0))
    return Host(target.address, target.address, frozenset(), ssh, {}, None)


def _chosen(request: Request, machines: Sequence[Machine], reporter: Reporter) -> Choices:
    """What the options say; else what a person answers; else what fits."""
    facts = [machine.facts for machine in machines if machine.facts]
    folder = (request.output or _UNWRITTEN).absolute().parent
    folders = (folder / "profiles",)
    known = profiles.available(folders)
    checks = Checks(len(machines), request.tarball is not None, folders)

    def choose(given: str | None, default: object, question: str, check: Callable[[str], T]) -> T:
        if given is not None or not request.asks:
            return check(str(default) if given is None else given)
        return _answered(f"{question} [{default}]: ", str(default), check, reporter)

    name = choose(
        request.name,
        suggested_name(request.output),
        "Name of the cluster, for certificates and kubeconfigs",
        checks.name,
    )
    version = draft.suggested_version(facts, known, tarball=checks.tarball)
    version = choose(
        request.version,
        version,
        f"Kubernetes version, which the hosts' repositories must have ({', '.join(known)})",
        checks.version,
    )
    network = draft.suggested_network(facts, [machine.target.address for machine in machines])
    question = "Pod network: routes (all hosts in one layer-2 network), flannel (any network) or none (your own)"
    network = choose(request.network, network, question, checks.network)
    count = suggested_masters(checks.count)
    if request.members is not None:
        checks.members(request.members)
    question = f"How many of the {checks.count} hosts are masters: 1, or 3, of which one may fail"
    masters = choose(request.masters, count, question, checks.masters)
    members = checks.members(request.members or str(suggested_members(masters)))
    registry = choose(request.registry, UPSTREAM, "Registry for images, which the nodes must reach", checks.registry)
    insecure = request.insecure
    if registry and request.registry is None:
        insecure = choose(None, "yes", f"Does {registry} have TLS", checks.insecure)
    return Choices(name, version, network, masters, members, _source(request, reporter), registry, insecure)


def _answered(question: str, default: str, check: Callable[[str], T], reporter: Reporter) -> T:
    """Ask until the answer is one; an empty one is the default."""
    while True:
        try:
            return check(reporter.ask(question).strip() or default)
        except InputError as error:
            reporter.warn(f"{error.message}{f' ({error.hint})' if error.hint else ''}")


def _source(request: Request, reporter: Reporter) -> Source | None:
    if request.tarball is None:
        return None
    sha256 = hashlib.sha256()
    with reporter.working(f"reading {request.tarball}"), request.tarball.open("rb") as archive:
        while block := archive.read(_BLOCK):
            sha256.update(block)
    return Source(_named(request.tarball), sha256.hexdigest())


def _files(request: Request) -> dict[str, str]:
    given = {"key": request.key, "known_hosts": request.known_hosts}
    return {option: _named(path) for option, path in given.items() if path is not None}


def _named(path: Path) -> str:
    """A path as the inventory has it, which may lie in any folder: absolute, or from the home folder on."""
    path, home = Path(os.path.abspath(path)), Path.home()  # noqa: PTH100 - a link stays one
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _checked(made: Draft, path: Path) -> str:
    """The text of the inventory, after all checks of `validate`.

    Raises:
        InputError: it would not be valid, as with an address that no host can have.
    """
    folders = [path.absolute().parent / "profiles"]
    profile = profiles.load(made.choices.version, folders)
    text = draft.text(made, profile, profiles.available(folders), path.name)
    try:
        resolve.accepted(inventory.parse(text, path))
    except InventoryError as error:
        raise InputError("\n".join(finding.message for finding in error.findings)) from None
    return text


def _write(path: Path, text: str) -> None:
    """Write the inventory beside its place, and move it there."""
    path = path.resolve()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        output.write(new, text.encode())
        new.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
