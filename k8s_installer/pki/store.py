"""The local folder of keys and certificates: what is there and fits stays, byte for byte; the rest is made."""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster
from k8s_installer.pki import certificates
from k8s_installer.pki.certificates import Authority, Pair
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, TOKENS, Leaf, Pki, leaves, placeholder

_KEY_BYTES = 32
_HINT = "restore the file from a backup, or move the folder away to start with a new PKI"


def ensure(folder: Path, cluster: Cluster) -> Pki:
    """Load the cluster's PKI, making what is missing; a second call gives the same bytes.

    A certificate whose names no longer fit the inventory (a host got another address) is issued anew. The keys
    of CAs and the two keys without certificate are never replaced. The folder is 0700, its files 0600. A run
    waits while another one is at it, and continues what one that was cut off has begun.

    Raises:
        InputError: the folder cannot be used, or a key that nothing could replace is lost or damaged.
    """
    wanted = leaves(cluster)
    if not wanted:
        return Pki({})
    with _told(folder), _alone(folder):
        return Pki(_ensure(folder, wanted))


def present(folder: Path, cluster: Cluster) -> Pki:
    """What there is of the cluster's PKI, as it is, and placeholders for the rest; makes and judges nothing.

    Raises:
        InputError: the folder cannot be read.
    """
    with _told(folder):
        return Pki({name: _read(folder, name) or content for name, content in placeholder(cluster).files.items()})


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"the PKI folder {folder} cannot be used: {error.strerror}: {error.filename}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel ends it with the process, however that ends."""
    handle = -1
    with suppress(OSError):  # where nothing can be written nothing can be made, and reading needs no lock
        _folder(folder)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if handle >= 0:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _ensure(folder: Path, wanted: dict[str, Leaf]) -> dict[str, bytes]:
    # RSA keys take a tenth of a second each, and making them releases the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        tokens = pool.submit(_tokens, folder)
        pairs = dict(zip(AUTHORITIES, pool.map(lambda name: _authority(folder, name), AUTHORITIES), strict=True))
        authorities = {name: Authority(pair) for name, pair in pairs.items()}
        made = pool.map(lambda item: _leaf(folder, item[0], item[1], authorities[item[1].issuer]), wanted.items())
        pairs |= dict(zip(wanted, made, strict=True))
        result = {ENCRYPTION: _encryption(folder), **tokens.result()}
    for name, pair in pairs.items():
        result[f"{name}.crt"], result[f"{name}.key"] = pair.certificate, pair.key
    return result


def _authority(folder: Path, name: str) -> Pair:
    certificate, key = _read(folder, f"{name}.crt"), _read(folder, f"{name}.key")
    if key is None:
        if certificate is not None:
            raise InputError(f"{folder / name}.key is gone while its certificate is there", hint=_HINT)
        pair = certificates.new_authority(AUTHORITIES[name])
        _write_pair(folder, name, pair)
        return pair
    try:
        if certificate is None:
            # A run was cut off between the two, or the file was lost: the key signs another one, under which all
            # that it has ever issued stays good.
            certificate = certificates.self_signed(AUTHORITIES[name], certificates.load_key(key)).certificate
            _write(folder, f"{name}.crt", certificate)
        pair = Pair(certificate, key)
        Authority(pair)
    except ValueError as error:
        raise InputError(f"{folder / name}.crt and .key are no CA: {error}", hint=_HINT) from error
    return pair


def _leaf(folder: Path, name: str, leaf: Leaf, authority: Authority) -> Pair:
    found = Pair(_read(folder, f"{name}.crt") or b"", _read(folder, f"{name}.key") or b"")
    if certificates.fits(found, leaf, authority):
        return found
    pair = certificates.issue(authority, leaf)
    _write_pair(folder, name, pair)
    return pair


def _tokens(folder: Path) -> dict[str, bytes]:
    """The key of service-account tokens: whoever replaces it makes every running pod's token invalid."""
    private, public = f"{TOKENS}.key", f"{TOKENS}.pub"
    pem = _read(folder, private)
    if pem is None:
        pem = certificates.private_pem(certificates.new_rsa_key())
        _write(folder, private, pem)
    try:
        check = certificates.public_pem(certificates.load_key(pem))
    except ValueError as error:
        raise InputError(f"{folder / private} is no key: {error}", hint=_HINT) from error
    if _read(folder, public) != check:
        _write(folder, public, check)
    return {private: pem, public: check}


def _encryption(folder: Path) -> bytes:
    """The key of secrets in etcd: without it they are lost."""
    text = _read(folder, ENCRYPTION)
    if text is None:
        text = base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n"
        _write(folder, ENCRYPTION, text)
    try:
        length = len(base64.b64decode(text.strip(), validate=True))
    except binascii.Error:
        length = 0
    if length != _KEY_BYTES:
        raise InputError(f"{folder / ENCRYPTION} is not {_KEY_BYTES} bytes in base64", hint=_HINT)
    return text


def _read(folder: Path, name: str) -> bytes | None:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None


def _write_pair(folder: Path, name: str, pair: Pair) -> None:
    # The key first: a CA's key without a certificate can sign one, a certificate without its key is of no use. Halves
    # of a leaf that do not belong together are noticed by the next run.
    _write(folder, f"{name}.key", pair.key)
    _write(folder, f"{name}.crt", pair.certificate)


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write beside the target and rename: no run ever reads half a file."""
    path = folder / name
    _folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
