"""Another CA, or another key of Secrets or tokens, in the place of one, in three steps. Pure.

Each step changes a few files of the folder, and hosts get them by an ordinary apply:

| step | the folder | hosts |
|---|---|---|
| add | `ca.crt` has the new CA beside the old one | trust both |
| use | `ca.key` is the new one's, so all certificates are issued again | show certificates of the new one |
| drop | `ca.crt` has the new CA alone | trust the new one alone |
| add | `encryption.key` has the new key after the old one | read with both |
| use | it has the new key first | write with the new one; then all Secrets are written again |
| drop | it has the new key alone | read with the new one alone |
| add | `sa.pub` has the new key beside the old one | accept tokens of both |
| use | `sa.key` is the new one | sign with the new one; then all service accounts get new tokens |
| drop | `sa.pub` has the new key alone | accept tokens of the new one alone |

`ca-next.crt` and `ca-next.key`, `encryption-next.key` or `sa-next.key` are the new one until the last step has ended.
So the files themselves say how far a rotation is, also after a run that was cut off between two of them.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping

from cryptography.x509.oid import NameOID

from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import certificates, encryption, issuing
from k8s_installer.pki.certificates import Authority, Flaw
from k8s_installer.pki.encryption import NamedKey
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, TOKENS

SECRETS = "encryption"  # the root that is the key of Secrets
KEYS = (SECRETS, TOKENS)  # the roots that are no CA
ALL = (*AUTHORITIES, *KEYS)
ADDED = "the new one is accepted beside the old one"


def beside(root: str) -> tuple[str, ...]:
    """The files that a folder has beside the usual ones while a root is rotated; the last is the key of the old one."""
    certificate = () if root in KEYS else (f"{root}-next.crt",)
    return f"{root}-next.key", *certificate, f"{root}-old.key"


def passing(root: str) -> tuple[str, ...]:
    """Those of them that go when a rotation has ended, in their order; backups of etcd need old keys of Secrets."""
    return beside(root)[:-1] if root == SECRETS else beside(root)


def about(root: str) -> tuple[str, ...]:
    """The usual files that the rotation of a root changes."""
    if root == SECRETS:
        return (ENCRYPTION,)
    return (f"{root}.key", f"{root}.pub") if root == TOKENS else (f"{root}.crt", f"{root}.key")


def accepted(files: Mapping[str, bytes], root: str) -> int:
    """How many CAs or keys hosts accept by these files; a CA and those above it in its chain are one.

    Raises:
        Flaw: one of them cannot be read.
    """
    if root == SECRETS:
        return len(encryption.keys(files[ENCRYPTION]))
    if root == TOKENS:
        return len(_tokens(files)[1])
    found = certificates.read_certificates(files[f"{root}.crt"])
    above = {one.issuer for one in found if one.issuer != one.subject}
    return sum(one.subject not in above for one in found)


def accepting(root: str) -> str:
    """The usual file that has all CAs or keys which hosts accept."""
    return {SECRETS: ENCRYPTION, TOKENS: f"{TOKENS}.pub"}.get(root, f"{root}.crt")


def step_of(files: Mapping[str, bytes], root: str) -> Step | None:
    """How far a rotation is by the files of a folder, those of `beside` among them; None if none is under way.

    Raises:
        Flaw: one of them cannot be read.
    """
    if root == TOKENS:
        return _step_of_tokens(files)
    return _step_of_secrets(files) if root == SECRETS else _step_of_ca(files, root)


def _step_of_ca(files: Mapping[str, bytes], ca: str) -> Step | None:
    key, certificate, _ = beside(ca)
    trusted, signing = files[f"{ca}.crt"], certificates.read_key(files[f"{ca}.key"])
    if key not in files or certificate not in files:
        return None
    new = certificates.read_any_authority(files[certificate], files[key])
    if not certificates.accepts(trusted, new):
        return None
    if certificates.public_pem(signing) != certificates.public_pem(new.certificate):
        return Step.ADD
    return Step.DROP if trusted == files[certificate] else Step.USE


def _step_of_secrets(files: Mapping[str, bytes]) -> Step | None:
    known, new = (encryption.keys(files.get(name, b"")) for name in (ENCRYPTION, beside(SECRETS)[0]))
    if not new or new[0] not in known:
        return None
    if known[0] != new[0]:
        return Step.ADD
    return Step.USE if known[1:] else Step.DROP


def _step_of_tokens(files: Mapping[str, bytes]) -> Step | None:
    signing, accepted = _tokens(files)
    new = files.get(beside(TOKENS)[0])
    if new is None or (public := certificates.public_pem(certificates.read_key(new))) not in accepted:
        return None
    if signing != public:
        return Step.ADD
    return Step.DROP if accepted == [public] else Step.USE


def _tokens(files: Mapping[str, bytes]) -> tuple[bytes, list[bytes]]:
    """The public half of the key that signs tokens, and all that are accepted."""
    private, public = about(TOKENS)
    signing = certificates.public_pem(certificates.read_key(files[private]))
    return signing, certificates.public_keys(files.get(public, signing))


def changes(files: Mapping[str, bytes], advance: Advance, *, own: bool) -> dict[str, bytes]:
    """The files that a step writes, in their order.

    Args:
        files: those of the folder, and those of `beside`.
        advance: the step.
        own: whether a CA was made here, so that its successor is made here, too.

    Raises:
        Flaw: the step before has not been made, or this one has been; or the new CA cannot be used, and the words
            begin with its file.
    """
    at = step_of(files, advance.root)
    if at is not advance.step.before:
        raise Flaw(f"{advance.root} has changed meanwhile: its rotation is at step {at}")
    if advance.root == TOKENS:
        return _of_tokens(files, advance.step)
    return _of_secrets(files, advance.step) if advance.root == SECRETS else _of_ca(files, advance, own=own)


def _of_ca(files: Mapping[str, bytes], advance: Advance, *, own: bool) -> dict[str, bytes]:
    ca = advance.root
    key, certificate, old = beside(ca)
    if advance.step is Step.USE:
        return {old: files[f"{ca}.key"], f"{ca}.key": files[key]}
    if advance.step is Step.DROP:
        return {f"{ca}.crt": files[certificate]}
    made = {} if certificate in files and key in files else _successor(files, ca, own=own)
    new = {**files, **made}
    try:
        certificates.read_authority(new[certificate], new[key])
    except Flaw as flaw:
        raise Flaw(f"{certificate} {flaw}") from None
    return {**made, f"{ca}.crt": _joined(files[f"{ca}.crt"], new[certificate])}


def _of_secrets(files: Mapping[str, bytes], step: Step) -> dict[str, bytes]:
    next_key, old_key = beside(SECRETS)
    known, new = encryption.keys(files[ENCRYPTION]), encryption.keys(files.get(next_key, b""))
    if step is Step.ADD:
        secret = base64.b64encode(os.urandom(encryption.KEY_BYTES)).decode()
        new = new or [NamedKey(encryption.following(known), secret)]
        return {next_key: _lines(new[:1]), ENCRYPTION: _lines([*known, new[0]])}
    if step is Step.DROP:
        return {ENCRYPTION: _lines(new[:1])}
    others = [key for key in known if key != new[0]]
    before = [key for key in encryption.keys(files.get(old_key, b"")) if key not in others]
    return {old_key: _lines([*before, *others]), ENCRYPTION: _lines([new[0], *others])}


def _of_tokens(files: Mapping[str, bytes], step: Step) -> dict[str, bytes]:
    next_key, old_key = beside(TOKENS)
    private, public = about(TOKENS)
    if step is Step.USE:
        return {old_key: files[private], private: files[next_key]}
    if step is Step.DROP:
        return {public: _tokens(files)[0]}
    key = files.get(next_key) or certificates.private_pem(issuing.new_rsa_key())
    new = certificates.public_pem(certificates.read_key(key))
    return {next_key: key, public: b"".join([*_tokens(files)[1], new])}


def _lines(keys: Iterable[NamedKey]) -> bytes:
    return "".join(key.line() for key in keys).encode()


def _successor(files: Mapping[str, bytes], ca: str, *, own: bool) -> dict[str, bytes]:
    key, certificate, _ = beside(ca)
    if certificate in files:
        raise Flaw(f"{certificate} has no key beside it")
    if not own:
        raise Flaw(f"{ca}.crt was not made here: put the CA that follows it into {certificate} and {key}")
    left = files.get(key)  # by a run that was cut off
    secret = certificates.read_key(left) if left is not None else issuing.new_authority_key()
    now = certificates.read_any_authority(files[f"{ca}.crt"], files[f"{ca}.key"])
    pair = issuing.self_signed(_next_name(now, AUTHORITIES[ca]), secret)
    return {key: pair.key, certificate: pair.certificate}


def _next_name(now: Authority, base: str) -> str:
    """A name of its own, counted: where both are trusted, programs and people tell the two apart."""
    (name,) = now.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    counted = re.fullmatch(rf"{base}-([0-9]+)", str(name.value))
    return f"{base}-{int(counted[1]) + 1 if counted else 2}"


def _joined(old: bytes, new: bytes) -> bytes:
    return old.rstrip() + b"\n" + new
