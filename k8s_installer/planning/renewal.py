"""The renewal of certificates: what of a cluster it is about, and whom it cannot interrupt any more. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import replace

from k8s_installer.model.desired import Desired, DesiredResource, Place
from k8s_installer.model.resources import File, Gate, Kind, Ref, Seen, SeenFile, Unit
from k8s_installer.pki.leaves import stand_in
from k8s_installer.pki.validity import end_of, is_of_server
from k8s_installer.planning.select import narrowed


def users(desired: Desired) -> Mapping[str, list[DesiredResource]]:
    """The files that each key and certificate of the PKI is in, by its name there."""
    found: dict[str, list[DesiredResource]] = {}
    for wanted in desired.values():
        for name in wanted.resource.made_of if isinstance(wanted.resource, File) else ():
            found.setdefault(name, []).append(wanted)
    return found


def renewing(whole: Desired, names: Collection[str], pending: Mapping[str, str]) -> Desired:
    """What a renewal wants of a cluster: files with these pairs, what reads them, and the gates about that.

    Nothing else that the inventory wants is planned beside it, and no question is asked that the API has to answer: it
    may have stopped answering.

    Args:
        whole: all that the inventory wants.
        names: the certificates, by the names of their leaves.
        pending: the files of the PKI that will be issued again, with the reason.
    """
    pairs = {f"{name}.{ending}" for name in names for ending in ("crt", "key")}
    files = {item.ref for name, items in users(whole).items() if name in pairs for item in items}
    units = {item.ref for item in whole.values() if not files.isdisjoint(_read(item))}

    about = files | units

    def keep(item: DesiredResource) -> bool:
        if isinstance(item.resource, Gate):
            return item.place is Place.WITHIN and not about.isdisjoint(_asked(item.ref.host, item.resource))
        return item.ref in about

    return {ref: _marked(item, pending) for ref, item in narrowed(whole, keep).items()}


def _read(item: DesiredResource) -> Collection[Ref]:
    paths = item.resource.reads if isinstance(item.resource, Unit) else ()
    return [Ref(item.ref.host, Kind.FILE, path) for path in paths]


def _asked(host: str, gate: Gate) -> set[Ref]:
    """The unit that a gate is about, and the certificate with which it asks."""
    return {Ref(gate.unit_host or host, Kind.UNIT, gate.unit), Ref(host, Kind.FILE, gate.cert)}


def _marked(item: DesiredResource, pending: Mapping[str, str]) -> DesiredResource:
    """The same, with a placeholder for a certificate that will be issued: a plan makes none."""
    if not isinstance(item.resource, File):
        return item
    name = next((name for name in item.resource.made_of if name in pending), "")
    return (
        replace(item, resource=replace(item.resource, content=stand_in(name), pending=pending[name])) if name else item
    )


def serving_nobody(desired: Desired, seen: Mapping[Ref, Seen], now: dt.datetime) -> frozenset[Ref]:
    """The units whose server's certificate has expired on their host: a restart of theirs interrupts nothing.

    Members of etcd whose certificates have all expired have no quorum, and get none back one by one: the first that
    has a new certificate finds the others with the old. Like members that are down they come up together, ahead of
    what restarts in turns.

    Args:
        desired: what a plan is made of.
        seen: what hosts have; they show the content of certificates that will change.
        now: the time.
    """
    ended = {
        ref
        for ref, found in seen.items()
        if isinstance(found, SeenFile) and found.content is not None and _has_ended(found.content, now)
    }
    return (
        frozenset(item.ref for item in desired.values() if not ended.isdisjoint(_read(item))) if ended else frozenset()
    )


def _has_ended(content: bytes, now: dt.datetime) -> bool:
    end = end_of(content)
    return end is not None and end < now and is_of_server(content)
