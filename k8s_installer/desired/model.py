"""What is wanted, as a value: resources by name, each with its place in the order and its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.resources import Ref, Resource


@dataclass(frozen=True, slots=True)
class Wanted:
    """One resource, the component it belongs to (the phase in which it is shown), and what it comes after.

    `because` says in one sentence why the resource exists; it is for people, and no code branches on it.
    """

    ref: Ref
    resource: Resource
    component: str
    after: tuple[Ref, ...]
    because: str


Desired = Mapping[Ref, Wanted]
