"""`certs status` and `certs renew`: the certificates of a cluster, as they are on its hosts, and issued again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import InputError, listed
from k8s_installer.flows import resolve
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved, pki_folder
from k8s_installer.flows.session import opened
from k8s_installer.pki import Leaf
from k8s_installer.pki.validity import Issued
from k8s_installer.planning import renewal
from k8s_installer.planning.select import chosen
from k8s_installer.status import certificates
from k8s_installer.status.certificates import CertificatesStatus

_REASON = "it is issued again, with the same key"


def status(inputs: Inputs, reporter: Reporter, *, host: str = "") -> CertificatesStatus:
    """Look at every certificate on the hosts, by one script each.

    The local folder may be in any state, also missing: hosts are asked for the certificates themselves.

    Args:
        inputs: the files that the command is about.
        reporter: receives notes and progress.
        host: names of hosts, divided by commas; all where this is empty.

    Raises:
        InputError: there is no such host, or the cluster has no certificates.
    """
    with opened(inputs, reporter, limit=host, option="--host", download=False, opens=False) as session:
        cluster, profile = session.cluster, session.profile
        wanted = resolve.desire(cluster, profile, inputs.templates, None).desired
        needed, folder = required(leaves(cluster, profile)), pki_folder(cluster)
        names = [one.name for one in cluster.hosts]
        asked = certificates.asked(wanted, chosen("--host", host, names) if host else names)
        seen = session.look(asked, {ref.host for ref in asked})
    here = pki.certificates_in(folder, needed)
    found = certificates.found(wanted, asked, seen.seen, here, dt.datetime.now(dt.UTC))
    return replace(found.without(seen.unreachable, local=not host), rotations=pki.rotations(folder, needed))


def renew(
    options: Options, reporter: Reporter, *, component: str = "", host: str = "", days: int | None = None
) -> Outcome:
    """Issue certificates again and roll them out: an `apply` of these certificates and of nothing else.

    Typed again it resumes: what was issued less than a day ago is not issued again, only placed on the hosts that lack
    it. Where a turn fails its host gets the certificate back that it had, which is of the same key and the same CA.

    Args:
        options: the user's request; a part is chosen by the following.
        reporter: receives notes, the plan, progress and the result.
        component: names of components, divided by commas; all where this is empty.
        host: names of hosts, divided by commas; all where this is empty.
        days: only what ends within so many days; None is everything.

    Raises:
        InputError: there is no such component, host or certificate.
    """
    said: list[str] = []

    def change(whole: Resolved) -> Resolved:
        picked = _picked(whole, component, host, days)
        if not said:  # hosts may know of other allocations, and then this is worked out again
            said.extend(picked.words())
            for words in said:
                reporter.say(words)
        desired = renewal.renewing(whole.desired, picked.names, picked.pending)
        return replace(whole, desired=desired, only=frozenset(), renews=picked.sources)

    inventory = options.inputs.inventory
    closing = (f"Next: k8s-installer certs status -i {inventory}",)
    whole_cluster = not component and not host
    options = replace(options, verify=options.verify and whole_cluster)
    return apply(options, reporter, change, closing=lambda _found: closing)


class _Fate(Enum):
    """What a renewal does about a certificate; the words are for people."""

    ISSUED = "issued again, with their keys"
    RECENT = "issued less than a day ago, so only placed where hosts lack them"
    LATER = "valid for longer than --days"
    SUPPLIED = "not renewed, because you supplied them: put new ones into the folder pki (docs/keys.md)"
    UNSIGNED = "not renewed, because the key of their CA is not here (docs/keys.md)"
    CHANGING = "not renewed, because the inventory changes them: use apply"
    SHARED = "not renewed, because hosts that --host leaves out have them, too"


_LEFT_OUT = (_Fate.CHANGING, _Fate.SHARED)  # of these hosts keep what they have


@dataclass(frozen=True, slots=True)
class _Picked:
    """The certificates that were asked for, by the names of their leaves, each with what becomes of it."""

    fates: Mapping[str, _Fate]
    issued: Mapping[str, Issued]

    def of(self, *fates: _Fate) -> list[str]:
        """Those of which one of these becomes."""
        return [name for name, fate in self.fates.items() if fate in fates]

    @property
    def names(self) -> list[str]:
        """Those that hosts are to have as they are in the folder."""
        return self.of(*(fate for fate in _Fate if fate not in _LEFT_OUT))

    @property
    def pending(self) -> dict[str, str]:
        """The files of the PKI that change, with the reason."""
        return {f"{name}.crt": _REASON for name in self.of(_Fate.ISSUED)}

    @property
    def sources(self) -> frozenset[str]:
        """The leaves whose files in the folder change."""
        return frozenset(self.issued[name].source for name in self.of(_Fate.ISSUED))

    def words(self) -> Iterator[str]:
        """What becomes of them, a line each."""
        yield f"{_Fate.ISSUED.value}: {len(self.of(_Fate.ISSUED))} certificates"
        for fate in _Fate:
            names = self.of(fate)
            if names and fate is not _Fate.ISSUED:
                yield f"{fate.value}: {listed(names)}"


def _picked(whole: Resolved, component: str, host: str, days: int | None) -> _Picked:
    needed = required(leaves(whole.inventory, whole.profile))
    components = dict.fromkeys(item.component for item in whole.desired.values())
    of = chosen("--component", component, components) if component else components.keys()
    names = [one.name for one in whole.inventory.hosts]
    on = chosen("--host", host, names) if host else frozenset(names)
    users, now = renewal.users(whole.desired), dt.datetime.now(dt.UTC)
    issued, fates = pki.issued(pki_folder(whole.inventory), needed), dict[str, _Fate]()
    for name, found in issued.items():
        items = users.get(f"{name}.crt", [])
        where = {item.ref.host for item in items}
        if where.isdisjoint(on) or of.isdisjoint(item.component for item in items):
            continue
        if not where <= on:
            fates[name] = _Fate.SHARED
        elif f"{name}.crt" in whole.keys.pending:
            fates[name] = _Fate.CHANGING
        else:
            fates[name] = _fate(found, now, days)
    picked = _Picked(fates, issued)
    if not picked.names:
        hint = "\n".join(
            [*list(picked.words())[1:], "k8s-installer certs status lists all; apply creates the first ones"]
        )
        raise InputError("there is no certificate to renew", hint=hint)
    return picked


def _fate(found: Issued, now: dt.datetime, days: int | None) -> _Fate:
    if not found.own:
        return _Fate.SUPPLIED
    if not found.signable:
        return _Fate.UNSIGNED
    if found.is_new(now):
        return _Fate.RECENT
    return _Fate.LATER if days is not None and found.ends - now >= dt.timedelta(days=days) else _Fate.ISSUED


def required(wanted: Mapping[str, Leaf]) -> Mapping[str, Leaf]:
    """The same certificates.

    Raises:
        InputError: there are none.
    """
    if not wanted:
        raise InputError(
            "this cluster has no certificates, because security is insecure",
            hint="see cluster.security in the inventory",
        )
    return wanted
