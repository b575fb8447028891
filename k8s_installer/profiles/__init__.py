"""Profiles: one YAML file per Kubernetes version says what that version's packages, files, flags and gates are.

Code knows components, files and flags only as data from here; a version is added by adding a file, see
docs/adding-a-version.md. Beside the profiles lie `flags/<version>.json`: what each program of a version
accepts, read from the programs themselves.
"""

from k8s_installer.profiles.load import available, load, profile_of
from k8s_installer.profiles.schema import (
    Component,
    FileSpec,
    GateSpec,
    Profile,
    Style,
)

__all__ = [
    "Component", "FileSpec", "GateSpec", "Profile", "Style", "available", "load", "profile_of",
]  # fmt: skip
