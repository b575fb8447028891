"""What `keys recover` and `keys request` do."""

from __future__ import annotations

from pathlib import Path

from k8s_installer import pki
from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import Exit, print_error, stderr, stdout
from k8s_installer.cli.looking import looking
from k8s_installer.engine import fleet
from k8s_installer.errors import CommandFailed, InputError, InstallerError
from k8s_installer.flows import resolve
from k8s_installer.inventory import Role
from k8s_installer.pki import certificates, issuing, recovery, store
from k8s_installer.pki.leaves import AUTHORITIES
from k8s_installer.transport import Transport

_SECONDS = 60.0


def recover(inventory: Path) -> Exit:
    """Ask every host for its keys, and keep those that fit together. Nothing of this is traced: it is all secret."""
    cluster, profile = checked(inventory, download=False, opens=False)
    needed = pki.leaves(cluster, profile.groups)
    if not needed:
        raise InputError("this cluster is insecure: it has no keys", hint="cluster.security says so")
    places = recovery.places(resolve.desire(cluster, profile, None, None).desired)
    masters = [host.name for host in cluster.having(Role.MASTER)]
    with fleet.connecting(cluster.hosts) as connections, looking(len(cluster.hosts)) as tick:
        lines = connections.lines
        asked = fleet.asked(lines, lambda name: _keys(lines[name], places[name]), tick)
    answers = {name: answer for name, answer in asked.items() if not isinstance(answer, InstallerError)}
    for answer in asked.values():
        if isinstance(answer, InstallerError):
            print_error(answer)
    found = recovery.fitting(answers, needed, places, masters)
    folder = resolve.pki_folder(cluster)
    filled = pki.fill(folder, needed, found.files)
    for name in filled.written:
        stdout().print(f"{name}  from {', '.join(found.hosts[name][:3])}", markup=False)
    _warn(*found.notes, *filled.notes)
    stderr().print(f"{len(filled.written)} files were written to {folder}", markup=False, soft_wrap=True)
    _say_missing(folder)
    if filled.problems:
        _warn("plan and apply refuse to run before this is put right:", *filled.problems)
    return Exit.DONE if len(answers) == len(asked) and not filled.problems else Exit.FAILED


def _warn(*lines: str) -> None:
    for line in lines:
        stderr().print(line, style="yellow", markup=False, soft_wrap=True)


def _say_missing(folder: Path) -> None:
    def there(name: str) -> bool:
        return (folder / name).exists()

    lost = [f"{name}.key" for name in AUTHORITIES if there(f"{name}.crt") and not there(f"{name}.key")]
    if lost:
        words = (
            f"no host has {', '.join(lost)}: restore them from a backup if there is one. The cluster runs on with the "
            "certificates that its hosts have. Without these keys their CAs issue no new ones: an etcd member cannot "
            "be added or get another address"
        )
        _warn(words)


def _keys(transport: Transport, names: recovery.Names) -> dict[str, bytes]:
    result = transport.run(recovery.script(names), timeout=_SECONDS)
    found = recovery.parse(result.stdout, names)
    if result.status != 0 or found is None:
        # without its output, which may have keys in it
        raise CommandFailed(transport.host, "reading its keys", result.status, "", result.stderr)
    return found


def request(inventory: Path) -> Exit:
    """Write a key and a request for each certificate that somebody else must sign."""
    cluster, profile = checked(inventory, download=False, opens=False)
    own, folder = resolve.pki_folder(cluster), resolve.state_folder(cluster) / "requests"
    needed = pki.unsigned(own, pki.leaves(cluster, profile.groups))
    try:
        for name, leaf in needed.items():
            pem = store.read(folder, f"{name}.key")  # of an earlier request, whose certificate may be on its way
            key = certificates.read_key(pem) if pem is not None else issuing.new_leaf_key(leaf)
            store.write(folder, f"{name}.key", certificates.private_pem(key))
            store.write(folder, f"{name}.csr", issuing.request(leaf, key))
            stdout().print(f"{name}.csr  {certificates.described(leaf)}; signed by {leaf.issuer}.crt", markup=False)
    except (OSError, certificates.Flaw) as error:
        raise InputError(f"cannot use {folder}: {error}") from None
    if needed:
        words = f"have each .csr signed, and put the certificates (.crt) and the keys from {folder} into {own}"
        stderr().print(words, markup=False, soft_wrap=True)
    else:
        stderr().print("no certificate is needed from a CA whose key is elsewhere", markup=False)
    return Exit.DONE
