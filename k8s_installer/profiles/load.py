"""From a version to its `Profile`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from k8s_installer.errors import InputError, InventoryError, did_you_mean
from k8s_installer.inventory import Cluster
from k8s_installer.profiles.schema import Profile

_FOLDER = Path(__file__).parent
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")


def available() -> tuple[str, ...]:
    """The versions that have a profile, oldest first."""
    return tuple(sorted((path.stem for path in _FOLDER.glob("*.yaml")), key=_numbers))


def load(version: str) -> Profile:
    """The profile that serves a version: its own, or one of the same minor version, whose programs take the same flags.

    Raises:
        InputError: there is none; the message names those that there are.
    """
    served_by = _serving(version)
    if not served_by:
        raise InputError(_unknown(version), hint=did_you_mean(version, available()))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where libyaml is there
    data = yaml.load((_FOLDER / f"{served_by}.yaml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
    flags = json.loads((_FOLDER / "flags" / f"{served_by}.json").read_text(encoding="utf-8"))
    known = {program: frozenset(names) for program, names in flags.items()}
    return Profile.model_validate({**data, "known_flags": known})


def profile_of(cluster: Cluster) -> Profile:
    """The profile that serves the cluster's version.

    Raises:
        InventoryError: there is none; the finding names the line of `cluster.version`.
    """
    if not _serving(cluster.version):
        suggestion = did_you_mean(cluster.version, available())
        raise InventoryError([cluster.origin.finding(("cluster", "version"), _unknown(cluster.version), suggestion)])
    return load(cluster.version)


def note(version: str, profile: Profile) -> str:
    """What to say where a profile serves a version that is not its own; empty where it is."""
    if version == profile.version:
        return ""
    minor = version.rpartition(".")[0]
    return f"Kubernetes {version} uses the profile of {minor} (its flags are {profile.version}'s)"


def _serving(version: str) -> str:
    """The version whose profile serves `version`: the newest of its minor version that is not newer, or the oldest."""
    if not _VERSION.fullmatch(version):
        return ""
    wanted = _numbers(version)
    same = [other for other in available() if _numbers(other)[:2] == wanted[:2]]
    older = [other for other in same if _numbers(other) <= wanted]
    return older[-1] if older else next(iter(same), "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _unknown(version: str) -> str:
    return f"unknown Kubernetes version {version}: there are profiles for {', '.join(available())}"
