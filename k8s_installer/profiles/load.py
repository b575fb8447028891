"""From a version to its `Profile`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from k8s_installer.errors import InputError, InventoryError, did_you_mean
from k8s_installer.inventory import Cluster
from k8s_installer.profiles.schema import Profile

_FOLDER = Path(__file__).parent


def available() -> tuple[str, ...]:
    """The versions that have a profile, oldest first."""
    return tuple(sorted((path.stem for path in _FOLDER.glob("*.yaml")), key=_numbers))


def load(version: str) -> Profile:
    """The profile of a version.

    Raises:
        InputError: there is none; the message names those that there are.
    """
    if version not in available():
        raise InputError(_unknown(version), hint=did_you_mean(version, available()))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where libyaml is there
    data = yaml.load((_FOLDER / f"{version}.yaml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
    flags = json.loads((_FOLDER / "flags" / f"{version}.json").read_text(encoding="utf-8"))
    known = {program: frozenset(names) for program, names in flags.items()}
    return Profile.model_validate({**data, "known_flags": known})


def profile_of(cluster: Cluster) -> Profile:
    """The profile of the cluster's version.

    Raises:
        InventoryError: there is none; the finding names the line of `cluster.version`.
    """
    if cluster.version not in available():
        suggestion = did_you_mean(cluster.version, available())
        raise InventoryError([cluster.origin.finding(("cluster", "version"), _unknown(cluster.version), suggestion)])
    return load(cluster.version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _unknown(version: str) -> str:
    return f"unknown Kubernetes version {version}: there are profiles for {', '.join(available())}"
