"""Getting a cluster's keys back from its hosts: what each is asked for, and which answers fit together. Pure.

Hosts have every certificate and key of their programs, the key of service accounts' tokens, that of Secrets (inside a
configuration), the CAs' certificates, and masters the key of the Kubernetes CA. No host has the keys of other CAs.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from k8s_installer.desired.model import Desired
from k8s_installer.errors import InstallerError
from k8s_installer.pki.certificates import Flaw, Pair, mismatch, public_pem, read_authority, read_key
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf
from k8s_installer.pki.record import digest
from k8s_installer.resources import File

END = "end-of-keys"
# Keys are in the output alone: in no process's arguments, for printf is the shell's own, and in no file.
_ASK = """\
for path in {paths}; do
  [ ! -f "$path" ] || printf 'key %s %s\\n' "$path" "$(base64 -w0 "$path")"
done
echo {end}
"""
_PROVIDERS = ("secretbox", "aescbc", "aesgcm")

Names = Mapping[str, str]  # of the PKI, by the path that has them on a host
Answers = Mapping[str, bytes]  # by name


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
    return _ASK.format(paths=shlex.join(paths), end=END)


def parse(output: str, names: Names) -> dict[str, bytes] | None:
    """Read a host's answer; None where it was cut off. What it was not asked for is not taken."""
    lines = output.splitlines()
    if not lines or lines[-1] != END:
        return None
    found: dict[str, bytes] = {}
    for line in lines[:-1]:
        word, _, rest = line.partition(" ")
        path, _, text = rest.rpartition(" ")
        if word == "key" and path in names:
            content = _decoded(text, names[path])
            if content:
                found[names[path]] = content
    return found


def _decoded(text: str, name: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return _of_secrets(content) if name == ENCRYPTION else content


def _of_secrets(config: bytes) -> bytes:
    """The first key of an EncryptionConfiguration, with which Secrets are written; nothing where there is none."""
    try:
        (resources, *_) = yaml.safe_load(config)["resources"]
        providers = [provider[name] for provider in resources["providers"] for name in _PROVIDERS if name in provider]
        return f"{providers[0]['keys'][0]['secret']}\n".encode()
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, ValueError):
        return b""


def fitting(answers: Mapping[str, Answers], wanted: Mapping[str, Leaf]) -> Recovered:
    """What the hosts have, where they agree and it fits together.

    Args:
        answers: of each host, what it has by name.
        wanted: the certificates that the cluster needs.

    Raises:
        InstallerError: they have nothing, or disagree about what everything rests on, or that does not fit together.
    """
    files: dict[str, bytes] = {}
    hosts: dict[str, tuple[str, ...]] = {}
    for name in ROOTS:
        versions = _versions(answers, name)
        if len(versions) > 1:
            raise InstallerError(
                f"hosts disagree about {name}: "
                + "; ".join(_sum(content, names) for content, names in versions.items()),
                hint="find out which hosts belong to this cluster, and leave the others out of the inventory meanwhile",
            )
        for content, names in versions.items():
            files[name], hosts[name] = content, names
    if "ca.crt" not in files:
        raise InstallerError("no host has keys of this cluster: there is nothing to recover")
    _require_fitting(files)
    notes: list[str] = []
    for name, leaf in wanted.items():
        pairs = list(_pairs(answers, name))
        good = [(pair, host) for pair, host in pairs if not _unfit(pair, leaf, files)]
        if good:
            pair = good[0][0]
            own = tuple(host for other, host in good if other == pair)
            files |= {f"{name}.crt": pair.certificate, f"{name}.key": pair.key}
            hosts |= {f"{name}.crt": own, f"{name}.key": own}
        elif pairs:
            notes.append(f"{name}.crt of {pairs[0][1]} is left out: {_unfit(pairs[0][0], leaf, files)}")
    return Recovered(files, hosts, tuple(notes))


def _versions(answers: Mapping[str, Answers], name: str) -> dict[bytes, tuple[str, ...]]:
    found: dict[bytes, tuple[str, ...]] = {}
    for host, files in answers.items():
        if name in files:
            found[files[name]] = (*found.get(files[name], ()), host)
    return found


def _sum(content: bytes, hosts: tuple[str, ...]) -> str:
    return f"sha256 {digest(content)[:16]} on {', '.join(hosts)}"


def _require_fitting(files: Mapping[str, bytes]) -> None:
    """CAs and their keys belong together, and so do the two halves of the tokens' key."""
    for name in AUTHORITIES:
        if f"{name}.crt" in files:
            try:
                read_authority(files[f"{name}.crt"], files.get(f"{name}.key"))
            except Flaw as flaw:
                raise InstallerError(f"the hosts' {name}.crt {flaw}: nothing was written") from None
    private, public = (files.get(f"{TOKENS}.{ending}") for ending in ("key", "pub"))
    if private is not None:
        try:
            fits = public is None or public_pem(read_key(private)).strip() == public.strip()
        except Flaw as flaw:
            raise InstallerError(f"the masters' {TOKENS}.key {flaw}: nothing was written") from None
        if not fits:
            raise InstallerError(
                f"the masters' {TOKENS}.key and {TOKENS}.pub do not belong together: nothing was written"
            )


def _pairs(answers: Mapping[str, Answers], name: str) -> Iterator[tuple[Pair, str]]:
    for host, files in answers.items():
        if f"{name}.crt" in files and f"{name}.key" in files:
            yield Pair(files[f"{name}.crt"], files[f"{name}.key"]), host


def _unfit(pair: Pair, leaf: Leaf, files: Mapping[str, bytes]) -> str:
    """Why a certificate is not one that the cluster needs now; empty where it is."""
    issuer = files.get(f"{leaf.issuer}.crt")
    if issuer is None:
        return f"no host has {leaf.issuer}.crt"
    try:
        return mismatch(pair, leaf, read_authority(issuer, None))
    except Flaw as flaw:
        return f"it {flaw}"
