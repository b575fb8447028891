"""The cluster's keys and certificates: made once in a local folder, then read; plain inputs from then on.

Three CAs (Kubernetes, etcd, front proxy), so that a certificate for one opens nothing of the others. CAs live
ten years, leaves five: clusters of this kind live for years with nobody looking, and whoever holds the
folder can make new ones anyway.

Keys are EC P-256, quick to make for hundreds of hosts, except where RSA 2048 is needed: curl on CentOS 7 is
built on NSS, which takes client keys as RSA PEM alone, and Kubernetes 1.5 signs tokens with RSA. All keys are in
the traditional PEM form (PKCS#1, SEC 1): that NSS reads no PKCS#8, and Go has always read the older form.

`look` reads the folder, `ensure` also makes what is pending, and `fill` takes in what hosts gave back. `docs/keys.md`
says what people may put there.
"""

from k8s_installer.pki.filling import fill, fill_from_backup
from k8s_installer.pki.leaves import ROOTS, Leaf, Pki, placeholder
from k8s_installer.pki.store import (
    certificates_in,
    end_rotation,
    ensure,
    issued,
    look,
    note_use,
    require_ended,
    rotating,
    rotations,
    unsigned,
)

__all__ = [
    "ROOTS", "Leaf", "Pki",
    "certificates_in", "end_rotation", "ensure", "fill", "fill_from_backup", "issued", "look", "note_use",
    "placeholder", "require_ended", "rotating", "rotations", "unsigned",
]  # fmt: skip
