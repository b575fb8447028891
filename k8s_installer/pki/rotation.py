"""Another CA in the place of one, in three steps. Pure.

Each step changes a few files of the folder, and hosts get them by an ordinary apply:

| step | the folder | hosts |
|---|---|---|
| add | `ca.crt` has the new CA beside the old one | trust both |
| use | `ca.key` is the new one's, so all certificates are issued again | show certificates of the new one |
| drop | `ca.crt` has the new CA alone | trust the new one alone |

`ca-next.crt` and `ca-next.key` are the new CA until the last step has ended. So the files themselves say how far a
rotation is, also after a run that was cut off between two of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cryptography.x509.oid import NameOID

from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import certificates, issuing
from k8s_installer.pki.certificates import Authority, Flaw
from k8s_installer.pki.leaves import AUTHORITIES

REASONS = {
    Step.ADD: "the new CA is trusted beside the old one",
    Step.DROP: "the old CA is no longer trusted",
}


def beside(ca: str) -> tuple[str, ...]:
    """The files that a folder has beside the usual ones while a CA is rotated, in the order in which they may go.

    The last is the key of the old one, for whoever wants to go back.
    """
    return f"{ca}-next.key", f"{ca}-next.crt", f"{ca}-old.key"


def step_of(files: Mapping[str, bytes], ca: str) -> Step | None:
    """How far a rotation is by the files of a folder, those of `beside` among them; None if none is under way.

    Raises:
        Flaw: one of them cannot be read.
    """
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


def changes(files: Mapping[str, bytes], advance: Advance, *, own: bool) -> dict[str, bytes]:
    """The files that a step writes, in their order.

    Args:
        files: those of the folder, and those of `beside`.
        advance: the step.
        own: whether the CA was made here, so that its successor is made here, too.

    Raises:
        Flaw: the step before has not been made, or this one has been; or the new CA cannot be used, and the words
            begin with its file.
    """
    ca, at = advance.ca, step_of(files, advance.ca)
    if at is not advance.step.before:
        raise Flaw(f"{ca} has changed meanwhile: its rotation is at step {at}")
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
