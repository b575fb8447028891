"""Getting a cluster's keys back from its hosts: what each is asked for, and which answers fit together. Pure.

Hosts have every certificate and key of their programs, the key of service accounts' tokens, that of Secrets (inside a
configuration), the CAs' certificates, and masters the key of the Kubernetes CA. No host has the keys of other CAs.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from k8s_installer.errors import InputError, InstallerError, listed
from k8s_installer.inventory import source
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File
from k8s_installer.pki import encryption
from k8s_installer.pki.certificates import (
    Flaw,
    Pair,
    issued_under,
    made_here,
    mismatch,
    public_keys,
    public_pem,
    read_any_authority,
    read_certificates,
    read_key,
    require_usable,
)
from k8s_installer.pki.inherited import without_copies
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf, root_of
from k8s_installer.pki.record import digest
from k8s_installer.pki.returned import keys_of
from k8s_installer.pki.standing import encryption_flaw

END = "end-of-keys"
# Keys are in the output alone: in no process's arguments, for printf is the shell's own, and in no file.
_ASK = """\
for path in {paths}; do
  [ ! -f "$path" ] || printf 'key %s %s\\n' "$path" "$(head -c {largest} "$path" | base64 -w0)"
done
echo {end}
"""
_LARGEST = 1 << 20  # bytes of a key, of certificates or of a configuration; more than that is none of them
_PROVIDERS = ("secretbox", "aescbc", "aesgcm")

Names = Mapping[str, str]  # of the PKI, by the path that has them on a host
Answers = Mapping[str, bytes]  # by name
Asked = Mapping[str, Names]  # by host
_Versions = dict[bytes, tuple[str, ...]]  # the forms of one key, and the hosts that have each
CA = "ca.crt"
_ROTATION = (
    "Secrets that were written with another one need that key: plan and apply refuse to replace the configuration "
    "until the rotation is finished (docs/keys.md)"
)
_DISAGREE = "find out which hosts belong to this cluster, and take the others out of the inventory meanwhile"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What fits together: files by name, the hosts that had each, and in words what was left out and why."""

    files: Mapping[str, bytes] = field(repr=False)
    hosts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def places(desired: Desired) -> dict[str, dict[str, str]]:
    """By host and path, which file of the PKI is there; the path of a configuration stands for the key inside it."""
    found: dict[str, dict[str, str]] = {}
    for ref, wanted in desired.items():
        if isinstance(wanted.resource, File) and wanted.resource.made_of:
            found.setdefault(ref.host, {})[ref.name] = wanted.resource.made_of[0]
    return found


def script(paths: Iterable[str]) -> str:
    """The one read-only script that asks a host for these files, as root. It must not be traced."""
    return _ASK.format(paths=shlex.join(paths), largest=_LARGEST + 1, end=END)


def parse(output: str, names: Names) -> dict[str, bytes] | None:
    """Read a host's answer; None where it was cut off. What it was not asked for is not taken."""
    lines = output.splitlines()
    if not lines or lines[-1] != END:
        return None
    found: dict[str, bytes] = {}
    for line in lines[:-1]:
        word, _, rest = line.partition(" ")
        path, _, text = rest.rpartition(" ")
        if word != "key" or path not in names:
            continue
        with suppress(ValueError):  # not base64, or not even ASCII
            content = base64.b64decode(text, validate=True)
            # a CA may be there twice, for etcd and for its clients
            if names[path] not in found or not _is_readable(names[path], found[names[path]]):
                found[names[path]] = content
    return found


def fitting(
    answers: Mapping[str, Answers], wanted: Mapping[str, Leaf], asked: Asked, masters: Collection[str]
) -> Recovered:
    """What the hosts have, where they agree and it fits together; whatever does not is left out with the reason.

    A CA counts as it is on masters, where they have it. A certificate for another address, or one that has expired, is
    taken like any other: it may be the only copy.

    Args:
        answers: of each host, what it has by name; a configuration stands for the key inside it.
        wanted: the certificates that the cluster needs.
        asked: of each host that should have answered, the names by path.
        masters: the names of the masters.

    Raises:
        InstallerError: no host has keys, no master has the CA of the cluster, or they disagree about it.
    """
    notes: list[str] = []
    clean = {host: dict(_usable(host, files, notes)) for host, files in answers.items()}
    if not any(clean.values()):
        raise _nothing(sorted(asked.keys() - answers.keys()))
    files: dict[str, bytes] = {}
    hosts: dict[str, tuple[str, ...]] = {}
    for name in ROOTS:
        found = _root(name, clean, masters, notes)
        if found is not None:
            files[name], hosts[name] = found
    for name, words in list(_strangers(files)):
        notes.append(f"{name} of {listed(hosts[name])} is left out: {words}")
        del files[name]
    expected = [name for name in ROOTS if any(name in names.values() for names in asked.values())]
    notes += (f"no host that answered has a usable {name}" for name in expected if name not in files)
    pairs = _pairs(clean)
    for name, leaf in wanted.items():
        best = _best(pairs.get(name, []), leaf, files)
        if best is None:
            continue
        if best.words:
            notes.append(f"{name}.crt of {best.hosts[0]} {best.words}")
        if best.rank < _UNFIT:
            files |= {f"{name}.crt": best.pair.certificate, f"{name}.key": best.pair.key}
            hosts |= dict.fromkeys((f"{name}.crt", f"{name}.key"), best.hosts)
    return Recovered(without_copies(files, wanted), hosts, tuple(notes))


def _usable(host: str, files: Answers, notes: list[str]) -> Iterator[tuple[str, bytes]]:
    """What can be read of a host's files, by name."""
    for name, content in files.items():
        try:
            yield name, _read(name, content)
            keys = encryption.count(content) if name == ENCRYPTION else 1
            if keys > 1:
                notes.append(f"{name} of {host} is the first of {keys} keys in its configuration. {_ROTATION}")
        except Flaw as flaw:
            notes.append(f"{name} of {host} is left out: it {flaw}")


def _is_readable(name: str, content: bytes) -> bool:
    try:
        return bool(_read(name, content))
    except Flaw:
        return False


def _read(name: str, content: bytes) -> bytes:
    if len(content) > _LARGEST:
        raise Flaw(f"has more than {_LARGEST >> 20} MiB")
    if name == ENCRYPTION:
        return _of_secrets(content)
    if name.endswith(".crt"):
        read_certificates(content)
    elif name.endswith(".key"):
        read_key(content)
    return content


def _of_secrets(config: bytes) -> bytes:
    """The first key of an EncryptionConfiguration, with which Secrets are written.

    Raises:
        Flaw: there is none, or not one that this program can use.
    """
    try:
        data, _ = source.read(config.decode(), "")
        (resources, *_) = data["resources"]  # type: ignore[index]
        providers = [provider[name] for provider in resources["providers"] for name in _PROVIDERS if name in provider]
        first = providers[0]["keys"][0]
        name, secret = first.get("name"), first["secret"]
    except (InputError, LookupError, TypeError, ValueError, AttributeError):
        name, secret = None, None
    if not isinstance(secret, str):
        raise Flaw("is missing from its configuration, or the configuration cannot be read")
    key = encryption.NamedKey(encryption.own_name(name), secret).line().encode(errors="replace")
    words = encryption_flaw(key)
    if words:
        raise Flaw(words)
    return key


def _root(
    name: str, clean: Mapping[str, Answers], masters: Collection[str], notes: list[str]
) -> tuple[bytes, tuple[str, ...]] | None:
    """A root as masters have it, or else the others, with the hosts that do."""
    groups = _groups(clean, name)
    leading = [group for group in groups if not set(masters).isdisjoint(_hosts_of(group))]
    if name == CA and not leading:
        raise _no_ca(masters)
    chosen = leading or groups
    if len(chosen) > 1:
        words = "; ".join(_sum(_preferred(name, group, masters), _hosts_of(group)) for group in chosen)
        if name == CA:
            raise InstallerError(f"hosts disagree about {name}: {words}", hint=_DISAGREE)
        notes.append(f"{name} is left out: hosts disagree about it: {words}. {_DISAGREE.capitalize()}")
        return None
    others = [listed(_hosts_of(group)) for group in groups if group not in chosen]
    notes += (f"{name} of {names} is left out: it differs from the masters'" for names in others)
    if not chosen:
        return None
    content = _preferred(name, chosen[0], masters)
    if len(chosen[0]) > 1:
        words = "; ".join(_sum(*version) for version in chosen[0].items())
        taken = listed(chosen[0][content])
        notes.append(f"{name} has the same key but different bytes on hosts: {words}. The one of {taken} is used")
    return content, chosen[0][content]


def _nothing(silent: list[str]) -> InstallerError:
    if silent:
        return InstallerError(
            "no host that answered has keys of this cluster; nothing was written",
            hint=f"try again when {listed(silent)} can be reached",
        )
    return InstallerError("no host has keys of this cluster, so there is nothing to recover")


def _no_ca(masters: Collection[str]) -> InstallerError:
    return InstallerError(
        f"no master that answered has a usable {CA}: nothing was written",
        hint=f"masters have the keys that everything depends on; try again when one answers: {', '.join(masters)}",
    )


def _groups(answers: Mapping[str, Answers], name: str) -> list[_Versions]:
    """What hosts have of a root, by the key in it: a newline or more of a chain makes no other CA."""
    found: dict[bytes, _Versions] = {}
    for host, files in answers.items():
        if name in files:
            versions = found.setdefault(_identity(name, files), {})
            versions[files[name]] = (*versions.get(files[name], ()), host)
    return list(found.values())


def _identity(name: str, files: Answers) -> bytes:
    """By what a root of a host is known: the public half of its key, or the key of Secrets itself."""
    content = files[name]
    if name.endswith(".pub"):
        return content.strip()
    if not name.endswith(".crt"):
        (key,) = keys_of(name, content)
        return key
    try:
        return public_pem(read_any_authority(content, files.get(f"{root_of(name)}.key")).certificate)
    except Flaw:  # the key beside it is another CA's
        return public_pem(read_certificates(content)[0])


def _preferred(name: str, versions: _Versions, masters: Collection[str]) -> bytes:
    """Of several forms of a root the one that most masters have; of these, the one with the longest chain."""

    def rank(content: bytes) -> tuple[int, int]:
        chain = len(read_certificates(content)) if name.endswith(".crt") else 1
        return len(set(masters).intersection(versions[content])), chain

    return max(versions, key=rank)


def _hosts_of(versions: _Versions) -> tuple[str, ...]:
    return tuple(host for hosts in versions.values() for host in hosts)


def _sum(content: bytes, hosts: tuple[str, ...]) -> str:
    return f"sha256 {digest(content)[:16]} on {listed(hosts)}"


def _strangers(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Keys of CAs that are not those of their certificates, and the public half of another key of tokens."""
    for name in AUTHORITIES:
        if f"{name}.crt" in files and f"{name}.key" in files:
            try:
                read_any_authority(files[f"{name}.crt"], files[f"{name}.key"])
            except Flaw:
                yield f"{name}.key", f"it does not belong to {name}.crt"
    private, public = (files.get(f"{TOKENS}.{ending}") for ending in ("key", "pub"))
    if private is not None and public is not None and public_pem(read_key(private)) not in public_keys(public):
        yield f"{TOKENS}.pub", f"it does not belong to {TOKENS}.key"


def _pairs(answers: Mapping[str, Answers]) -> dict[str, list[tuple[Pair, str]]]:
    """Certificates with their keys by name, and the host that has each."""
    found: dict[str, list[tuple[Pair, str]]] = {}
    for host, files in answers.items():
        for name in files:
            leaf, _, ending = name.rpartition(".")
            if ending == "crt" and f"{leaf}.key" in files:
                found.setdefault(leaf, []).append((Pair(files[name], files[f"{leaf}.key"]), host))
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A certificate of some hosts, how well it fits (0 is best, and `_UNFIT` is not taken), and why not better."""

    pair: Pair
    hosts: tuple[str, ...]
    rank: int
    words: str


_FITS, _OWN, _OUTDATED, _UNFIT = range(4)


def _best(pairs: list[tuple[Pair, str]], leaf: Leaf, files: Mapping[str, bytes]) -> _Candidate | None:
    """Of the certificates that hosts have for a program the one that fits best; None where no host has one."""
    different = dict.fromkeys(pair for pair, _ in pairs)
    candidates = [
        _Candidate(pair, tuple(host for other, host in pairs if other == pair), *_judged(pair, leaf, files))
        for pair in different
    ]
    return min(candidates, key=lambda one: one.rank, default=None)


def _judged(pair: Pair, leaf: Leaf, files: Mapping[str, bytes]) -> tuple[int, str]:
    """How well a certificate fits what the cluster needs now, and why not better."""
    issuer = files.get(f"{leaf.issuer}.crt")
    if issuer is None:
        return _UNFIT, f"is left out: no host has {leaf.issuer}.crt"
    try:
        authority = read_any_authority(issuer, files.get(f"{leaf.issuer}.key"))
        reason = mismatch(pair, leaf, authority)
        if not issued_under(pair.certificate, authority):
            return _UNFIT, f"is left out: {leaf.issuer}.crt did not issue it"
    except Flaw as flaw:
        return _UNFIT, f"is left out: it {flaw}"
    if not reason:
        return _FITS, ""
    try:
        require_usable(pair, leaf, authority)
    except Flaw as flaw:
        own = reason if made_here(pair.certificate) else f"it {flaw}"
        return _OUTDATED, f"is recovered, but does not match the inventory: {own}"
    return _OWN, ""
