"""What a PKI's folder has, against what the cluster needs: what stays, what is to be made, what must not be. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.pki import certificates, encryption
from k8s_installer.pki.certificates import Authority, Flaw, Locked, Pair
from k8s_installer.pki.inherited import INHERITED, inherited
from k8s_installer.pki.leaves import ENCRYPTION, ROOTS, TOKENS, Leaf, Pki, authorities, names, root_of, stand_in
from k8s_installer.pki.record import Record, digest

LOST = (
    "get them from the cluster's hosts: k8s-installer keys recover -i INVENTORY\n"
    "or restore the files from a backup. They are never replaced by new ones: running hosts trust the lost ones"
)
_NEW = "created by the first apply"
_RENEWED = "it is renewed, with the same key"


@dataclass(frozen=True, slots=True)
class Standing:
    """A folder, judged: files that stay, files to be made with the reason, CAs that are there, keys that are not.

    `unlike` are roots that stand in the place of others which hosts were given.
    """

    files: Mapping[str, bytes] = field(repr=False)
    pending: Mapping[str, str]
    authorities: Mapping[str, Authority]
    absent: frozenset[str]
    unlike: frozenset[str]

    def pki(self, wanted: Mapping[str, Leaf]) -> Pki:
        """What files are rendered with: placeholders stand for what is to be made."""
        files = {name: self.files.get(name, stand_in(name)) for name in names(wanted) if name not in self.absent}
        return Pki(files, self.pending, self.absent, self.unlike)


def stand(
    folder: Path,
    files: Mapping[str, bytes],
    record: Record,
    wanted: Mapping[str, Leaf],
    renewed: Collection[str] = (),
) -> Standing:
    """Judge a folder.

    Args:
        folder: where it is, for the words.
        files: what is in it, by name.
        record: of what was made in it.
        wanted: the certificates that the cluster needs.
        renewed: those of them that are to be issued again, with the keys that they have.

    Raises:
        InputError: something is lost or cannot be used; everything at once.
    """
    judge = _judged(folder, files, record, wanted)
    judge.renew(renewed)
    problems = list(judge.problems())
    if problems:
        raise InputError("\n".join(words for words, _ in problems), hint="\n".join(hint for _, hint in problems))
    sums = judge.identities()
    unlike = frozenset(name for name in ROOTS if name in judge.kept and judge.unlike(root_of(name), sums))
    return Standing(judge.kept, judge.pending, judge.found, frozenset(judge.absent), unlike)


def identities(
    folder: Path, files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]
) -> Mapping[str, str]:
    """The sums, as in `Record.used`, of the roots of a folder that can be used; the arguments are those of `stand`."""
    return _roots_judged(folder, files, record, wanted).identities()


def problems(folder: Path, files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]) -> tuple[str, ...]:
    """What keeps a folder from being used, in words; the arguments are those of `stand`."""
    return tuple(words for words, _ in _judged(folder, files, record, wanted).problems())


def unsigned(
    folder: Path, files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]
) -> Mapping[str, Leaf]:
    """The certificates that are needed and whose CA has its key elsewhere; the arguments are those of `stand`."""
    return _judged(folder, files, record, wanted).unsigned


def _judged(folder: Path, files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]) -> _Judge:
    judge = _roots_judged(folder, files, record, wanted)
    for name, leaf in wanted.items():
        judge.leaf(name, leaf)
    return judge


def _roots_judged(folder: Path, files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]) -> _Judge:
    judge = _Judge(folder, *inherited(files, record, wanted))
    judge.authorities(wanted)
    judge.tokens()
    judge.encryption()
    return judge


def encryption_flaw(text: bytes) -> str:
    """Why the keys of Secrets cannot be used, in words; empty if they can."""
    found = encryption.keys(text)
    fit = all(_length(key.secret) == encryption.KEY_BYTES for key in found)
    return "" if found and fit else f"is not {encryption.KEY_BYTES} bytes in base64" if found else "is empty"


def _length(secret: str) -> int:
    try:
        return len(base64.b64decode(secret, validate=True))
    except ValueError:
        return 0


class _Judge:
    """One pass over a folder, which collects what it finds."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], record: Record) -> None:
        self.folder, self.files, self.record = folder, files, record
        self.kept: dict[str, bytes] = {}
        self.pending: dict[str, str] = {}
        self.found: dict[str, Authority] = {}
        self.absent: set[str] = set()
        self.lost: list[str] = []
        self.flaws: list[str] = []
        self.unsigned: dict[str, Leaf] = {}

    def made(self, name: str) -> bool:
        """Whether the bytes of this name were made here."""
        return self.record.has(name, self.files[name])

    def known(self, name: str) -> bool:
        """Whether there was a file of this name that a run has finished writing."""
        return name in self.record.made and name not in self.record.writing and name not in self.record.without

    def identities(self) -> dict[str, str]:
        """The sums of the roots that can be used; what stands in for another one is left out."""
        public = {name: certificates.public_pem(authority.certificate) for name, authority in self.found.items()}
        private = self.kept.get(f"{TOKENS}.key")
        signing = certificates.public_pem(certificates.read_key(private)) if private is not None else None
        keys = {TOKENS: signing, ENCRYPTION: self.kept.get(ENCRYPTION)}
        sums = {name: digest(text.strip()) for name, text in (public | keys).items() if text is not None}
        return {name: own for name, own in sums.items() if own != sums.get(INHERITED.get(name, ""))}

    def unlike(self, root: str, sums: Mapping[str, str]) -> bool:
        """Whether a root that is here stands in the place of another one, which hosts were given."""
        if root in self.record.used:
            return sums.get(root, self.record.used[root]) != self.record.used[root]
        # a record from before there were such sums: where one file of the root was made here, so was its key
        files = [part for part in self.kept if root_of(part) == root and part in self.files]
        return any(part in self.record.made for part in files) and not any(map(self.made, files))

    def authorities(self, wanted: Mapping[str, Leaf]) -> None:
        for name in authorities(wanted):
            self._authority(f"{name}.crt", f"{name}.key", name)

    def _authority(self, certificate: str, key: str, name: str) -> None:
        gone = [part for part in (certificate, key) if part not in self.files and self.known(part)]
        if key not in self.files and self._had(key, certificate):
            gone = [key]
        if certificate not in self.files:
            if gone:
                self.lost += gone
            elif key in self.files and key not in self.record.writing:
                self.flaws.append(f"{self.folder / key} exists, but its certificate {certificate} does not")
            else:  # never made; a run that was cut off may have left its key, which is as good as a new one
                self.pending |= dict.fromkeys((certificate, key), _NEW)
            return
        if gone and self.made(certificate):
            self.lost += gone
            return
        part = key
        try:
            self._require_readable(key)
            part = certificate
            self.found[name] = certificates.read_authority(self.files[certificate], self.files.get(key))
        except Flaw as flaw:
            self.flaws.append(f"{self.folder / part} {flaw}")
            return
        self.kept[certificate] = self.files[certificate]
        if self.found[name].key is None:
            self.absent.add(key)
        else:
            self.kept[key] = self.files[key]

    def _had(self, key: str, certificate: str) -> bool:
        """Whether the key of a certificate of ours was here, even if the run that wrote the two was cut off."""
        made_here = certificate in self.files and self.made(certificate)
        return made_here and key in self.record.made and key not in self.record.without

    def _require_readable(self, key: str) -> None:
        """A key that is there is one, or is behind a passphrase."""
        if key in self.files:
            with suppress(Locked):
                certificates.read_key(self.files[key])

    def tokens(self) -> None:
        """The key of service-account tokens: whoever replaces it makes every running pod's token invalid."""
        private, public = f"{TOKENS}.key", f"{TOKENS}.pub"
        if private not in self.files:
            if self.known(private) or TOKENS in self.record.used or public in self.files:
                self.lost.append(private)
            else:
                self.pending |= dict.fromkeys((private, public), _NEW)
            return
        try:
            check = certificates.public_pem(certificates.read_key(self.files[private]))
        except Flaw as flaw:
            self.flaws.append(f"{self.folder / private} {flaw}")
            return
        # the public half follows from the key: nothing is lost with it, and nothing is to be written
        accepted = certificates.public_keys(self.files.get(public, check))
        self.kept |= {private: self.files[private], public: b"".join(accepted)}
        if check not in accepted:
            self.flaws.append(f"{self.folder / public} does not belong to the key beside it")

    def encryption(self) -> None:
        """The key of Secrets in etcd: without it they are lost."""
        if ENCRYPTION not in self.files:
            if self.known(ENCRYPTION) or ENCRYPTION in self.record.used:
                self.lost.append(ENCRYPTION)
            else:
                self.pending[ENCRYPTION] = _NEW
            return
        flaw = encryption_flaw(self.files[ENCRYPTION])
        if flaw:
            self.flaws.append(f"{self.folder / ENCRYPTION} {flaw}")
        else:
            self.kept[ENCRYPTION] = self.files[ENCRYPTION]

    def leaf(self, name: str, leaf: Leaf) -> None:
        certificate, key = f"{name}.crt", f"{name}.key"
        there = [part for part in (certificate, key) if part in self.files]
        own = all(map(self.made, there))  # the record has the sums before the files are written
        authority = self.found.get(leaf.issuer)
        if authority is None and f"{leaf.issuer}.crt" not in self.pending:
            return  # its CA is lost or cannot be used, and that is said
        try:
            reason = self._why_not(certificate, key, leaf, authority) if there else "not created yet"
            if not reason or (not own and self._usable(certificate, key, leaf, authority)):
                self._keep(certificate, key)
                return
        except Flaw as flaw:
            if not own:
                self.flaws.append(f"{self.folder / certificate} {flaw}")
                return
            reason = f"the one in the folder {flaw}"
        # a key that has a passphrase is there, and can be asked for it
        if authority is not None and authority.key is None and f"{leaf.issuer}.key" not in self.files:
            self.unsigned[name] = leaf
            return
        self.pending |= dict.fromkeys((certificate, key), reason)
        if own and len(there) == len((certificate, key)) and self._keeps_key(certificate, key, leaf, authority):
            self.kept[key] = self.files[key]
            del self.pending[key]

    def _keeps_key(self, certificate: str, key: str, leaf: Leaf, authority: Authority | None) -> bool:
        """Whether a pair lacks nothing but that another CA issues now: at no moment has a host half of a new pair."""
        try:
            pair = Pair(self.files[certificate], self.files[key])
            return authority is not None and certificates.mismatches_in_ca_alone(pair, leaf, authority)
        except Flaw:
            return False

    def renew(self, names: Collection[str]) -> None:
        """Issue these again, of those that are kept; their keys stay."""
        for name in names:
            if self.kept.pop(f"{name}.crt", None) is not None:
                self.pending[f"{name}.crt"] = _RENEWED

    def _why_not(self, certificate: str, key: str, leaf: Leaf, authority: Authority | None) -> str:
        if certificate not in self.files:
            raise Flaw("is missing, but its key exists")
        if key not in self.files:
            raise Flaw("has no key beside it")
        if authority is None:
            return "its CA is created by the first apply"
        pair = Pair(self.files[certificate], self.files[key])
        reason = certificates.mismatch(pair, leaf, authority)
        if not reason and not self.made(certificate):
            certificates.require_usable(pair, leaf, authority)
        return reason

    def _usable(self, certificate: str, key: str, leaf: Leaf, authority: Authority | None) -> bool:
        if authority is None:
            raise Flaw(f"exists, but its CA {leaf.issuer}.crt does not")
        certificates.require_usable(Pair(self.files[certificate], self.files[key]), leaf, authority)
        return True

    def _keep(self, certificate: str, key: str) -> None:
        # NSS, on which CentOS 7's curl is built, reads no PKCS#8, which openssl writes
        pem = self.files[key]
        old = b"-----BEGIN RSA " in pem or b"-----BEGIN EC " in pem
        self.kept[certificate] = self.files[certificate]
        self.kept[key] = pem if old else certificates.private_pem(certificates.read_key(pem))

    def problems(self) -> Iterator[tuple[str, str]]:
        """What must be done something about first, each with the hint that says what."""
        if self.lost:
            files = ", ".join(str(self.folder / name) for name in self.lost)
            yield f"keys of the cluster are missing on this machine: {files}", LOST
        if self.flaws:
            hint = (
                "restore these files from a backup, or fix them. To let the installer create a program's certificate "
                "again, remove its .crt and .key"
            )
            yield "\n".join(self.flaws), hint
        if self.unsigned:
            lines = [
                f"{name}.crt and {name}.key: {certificates.described(leaf)}; signed by {leaf.issuer}.crt"
                for name, leaf in self.unsigned.items()
            ]
            hint = (
                f"put each certificate and its key into {self.folder}, or the CA's key beside its certificate. "
                "k8s-installer keys request -i INVENTORY writes the keys, and requests for the CA to sign"
            )
            yield "\n".join(["these certificates are needed, but their CA's key is not on this machine:", *lines]), hint
