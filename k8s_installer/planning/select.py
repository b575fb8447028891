"""A part of what is wanted: some hosts, some components, or all but what cannot be reached. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from k8s_installer.errors import InputError, did_you_mean
from k8s_installer.model.desired import Desired, DesiredResource, Place
from k8s_installer.model.graph import nearest, ordered


def narrowed(desired: Desired, keep: Callable[[DesiredResource], bool]) -> Desired:
    """What `keep` holds of it; the order stays as it was, also where it led through what is left out."""
    edges = {ref: wanted.after for ref, wanted in desired.items()}
    kept = {ref for ref, wanted in desired.items() if keep(wanted)}
    after = nearest(kept, ordered(desired, edges), edges)
    return {ref: replace(desired[ref], after=tuple(sorted(after[ref]))) for ref in desired if ref in kept}


def on_members(desired: Desired, members: Collection[str]) -> Desired:
    """What belongs to these hosts, with the gates that are asked elsewhere about them."""
    return narrowed(desired, lambda wanted: (wanted.turn.member or wanted.ref.host) in members)


def of_components(desired: Desired, components: Collection[str]) -> Desired:
    """What belongs to these components, with what opens and closes the turns that they take."""
    return narrowed(desired, lambda wanted: wanted.component in components or wanted.place is not Place.WITHIN)


def chosen(option: str, text: str, known: Iterable[str]) -> frozenset[str]:
    """Read a list of names divided by commas, each of which must be known.

    Raises:
        InputError: a name is unknown; it says which was probably meant.
    """
    names, available = [name.strip() for name in text.split(",") if name.strip()], list(known)
    for name in names:
        if name not in available:
            hint = did_you_mean(name, available) or f"there are {', '.join(available)}"
            raise InputError(f"{option}: there is no {name}", hint=hint)
    if not names:
        raise InputError(f"{option}: no name given", hint=f"there are {', '.join(available)}")
    return frozenset(names)
