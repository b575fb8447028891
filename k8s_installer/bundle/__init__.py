"""Bundles: all that an inventory needs as one file, for hosts that reach nothing but whoever installs them.

`create` computes and fetches it, `verify` compares it with its manifest, `opened` takes it apart into the user's cache,
and `media` says what of it each host gets. On a host its content is files and settings like all others.
"""

from k8s_installer.bundle.create import Sources, create
from k8s_installer.bundle.manifest import Manifest
from k8s_installer.bundle.opened import Bundle, media, opened, verify
from k8s_installer.bundle.store import Store

__all__ = ["Bundle", "Manifest", "Sources", "Store", "create", "media", "opened", "verify"]
