"""Profiles: one YAML file per Kubernetes version says what that version's packages, files, flags and gates are.

A profile serves the other patch versions of its minor version, too: they differ in faults, not in flags. A version with
a profile of its own uses that one.

Code knows components, files and flags only as data from here. A profile names components, each a file in
`components/`; a version or a component is added by adding a file, see docs/adding-a-version.md and
docs/adding-a-component.md. Beside the profiles lie `flags/<version>.json`: what each program of a version accepts, read
from the programs themselves.
"""

from k8s_installer.profiles import images
from k8s_installer.profiles.load import available, has_own, load, note, parts_of, profile_of, serving
from k8s_installer.profiles.misplaced import flag_hint
from k8s_installer.profiles.pieces import CertificateSpec, FileSpec, GateSpec, Style
from k8s_installer.profiles.schema import AddonSpec, Component, DnsSpec, Profile

__all__ = [
    "AddonSpec", "CertificateSpec", "Component", "DnsSpec", "FileSpec", "GateSpec", "Profile", "Style",
    "available", "flag_hint", "has_own", "images", "load", "note", "parts_of", "profile_of", "serving",
]  # fmt: skip
