"""`keys recover` and `keys request`: a cluster's keys got back from its hosts, or made for somebody else to sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import CommandFailed, InputError, InstallerError
from k8s_installer.flows import inputs as files
from k8s_installer.flows import resolve
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.session import opened
from k8s_installer.inventory import Role
from k8s_installer.pki import certificates, issuing, keyfiles, recovery
from k8s_installer.pki.leaves import AUTHORITIES, Leaf
from k8s_installer.transport import Transport

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """The files that were written to a folder, each with the hosts that have it, and what is still wrong there."""

    folder: Path
    hosts: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...]
    outcome: Outcome


def recover(inventory: Path, reporter: Reporter) -> Recovered:
    """Ask every host for its keys, and keep those that fit together. Nothing of this is traced: it is all secret."""
    with opened(Inputs(inventory), reporter, download=False, opens=False) as session:
        cluster, profile = session.cluster, session.profile
        needed = leaves(cluster, profile)
        if not needed:
            raise InputError(
                "this cluster has no keys, because security is insecure", hint="see cluster.security in the inventory"
            )
        places = recovery.places(resolve.desire(cluster, profile, None, None).desired)
        names = session.connections.lines.keys()
        asked = session.ask(names, lambda transport: _keys(transport, places[transport.host]))
    answers: dict[str, dict[str, bytes]] = {}
    for name, answer in asked.items():
        if isinstance(answer, InstallerError):
            reporter.error(answer)
        else:
            answers[name] = answer
    found = recovery.fitting(answers, needed, places, [host.name for host in cluster.having(Role.MASTER)])
    folder = resolve.pki_folder(cluster)
    filled = pki.fill(folder, needed, found.files)
    for note in (*found.notes, *filled.notes):
        reporter.warn(note)
    reporter.say(f"{len(filled.written)} files written to {folder}")
    _warn_of_missing(folder, reporter)
    if filled.problems:
        for line in ("plan and apply will not run until this is fixed:", *filled.problems):
            reporter.warn(line)
    whole = len(answers) == len(asked) and not filled.problems
    return Recovered(
        folder,
        {name: found.hosts[name] for name in filled.written},
        tuple(filled.problems),
        Outcome.DONE if whole else Outcome.FAILED,
    )


def _warn_of_missing(folder: Path, reporter: Reporter) -> None:
    def there(name: str) -> bool:
        return (folder / name).exists()

    lost = [f"{name}.key" for name in AUTHORITIES if there(f"{name}.crt") and not there(f"{name}.key")]
    if lost:
        reporter.warn(
            f"no host has {', '.join(lost)}: restore them from a backup if there is one. The cluster keeps running "
            "with the certificates that its hosts have, but without these keys their CAs cannot issue new ones: no "
            "etcd member can be added or change its address"
        )


def _keys(transport: Transport, names: recovery.Names) -> dict[str, bytes]:
    result = transport.run(recovery.script(names), timeout=_SECONDS)
    found = recovery.parse(result.stdout, names)
    if result.status != 0 or found is None:
        # without its output, which may have keys in it
        raise CommandFailed(transport.host, "reading its keys", result.status, "", result.stderr)
    return found


def request(inventory: Path, reporter: Reporter) -> tuple[Path, Mapping[str, Leaf]]:
    """Write a key and a request for each certificate that somebody else must sign: to which folder, and for which."""
    cluster, profile = files.read(Inputs(inventory), reporter, download=False, opens=False)
    own, folder = resolve.pki_folder(cluster), resolve.state_folder(cluster) / "requests"
    needed = pki.unsigned(own, leaves(cluster, profile))
    try:
        for name, leaf in needed.items():
            pem = keyfiles.read(folder, f"{name}.key")  # of an earlier request, whose certificate may be on its way
            key = certificates.read_key(pem) if pem is not None else issuing.new_leaf_key(leaf)
            keyfiles.write(folder, f"{name}.key", certificates.private_pem(key))
            keyfiles.write(folder, f"{name}.csr", issuing.request(leaf, key))
    except (OSError, certificates.Flaw) as error:
        raise InputError(f"cannot use {folder}: {error}") from None
    if needed:
        reporter.say(f"have each .csr signed, then put the certificates (.crt) and the keys from {folder} into {own}")
    else:
        reporter.say("no certificate is needed from a CA whose key is kept elsewhere")
    return folder, needed
