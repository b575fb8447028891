"""Every certificate that a cluster uses, as it is on the hosts and in the local folder. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from k8s_installer.errors import HostError
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import File, Gate, Kind, Missing, Ref, Seen, SeenFile, SeenUnit
from k8s_installer.model.rotation import Step
from k8s_installer.pki.certificates import Flaw
from k8s_installer.pki.validity import Facts, facts
from k8s_installer.planning.make import readers

GATES = "gates"  # health checks, and root's kubectl and etcdctl
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate on a host, or one of the local folder that no host has (an empty `host`).

    `path` is that on the host, `name` that in the local folder. `facts` are None where there is nothing to read, and
    `trouble` says why. `days` are whole days left by this machine's clock; negative once it has expired. `units` are
    the services that read it (or `GATES`), `pending` those of them that still run with what was there before. `differs`
    is whether the local one is another one; None where there is none.
    """

    host: str
    path: str
    name: str
    facts: Facts | None
    trouble: str
    days: int | None
    units: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    differs: bool | None = None


@dataclass(frozen=True, slots=True)
class CertificatesStatus:
    """All certificates, why some hosts could not be asked, and the CAs whose rotation is under way, with its step."""

    certificates: tuple[CertificateStatus, ...]
    unreachable: Mapping[str, HostError]
    rotations: Mapping[str, Step] = field(default_factory=dict)

    def ending(self, days: int) -> list[CertificateStatus]:
        """Those with fewer than so many days left."""
        return [item for item in self.certificates if item.days is not None and item.days < days]

    def without(self, unreachable: Mapping[str, HostError], *, local: bool) -> CertificatesStatus:
        """The same without hosts that did not answer and, if not `local`, without what no host has."""
        kept = (item for item in self.certificates if item.host not in unreachable and (item.host or local))
        return replace(self, certificates=tuple(kept), unreachable=unreachable)


def asked(desired: Desired, hosts: Collection[str]) -> Desired:
    """What hosts are asked for: their certificates, and the units that read one.

    Args:
        desired: what is wanted, with placeholders for all keys: what differs from these is shown by the hosts.
        hosts: whom the question is about.
    """
    files = {ref for ref, item in desired.items() if ref.host in hosts and _name(item)}
    units = {
        Ref(ref.host, Kind.UNIT, unit)
        for ref, names in readers(((ref, item.resource) for ref, item in desired.items()), files).items()
        for unit in names
    }
    return {ref: item for ref, item in desired.items() if ref in files or ref in units}


def _name(item: DesiredResource) -> str:
    """The certificate that a file is, by its name in the local folder; empty if it is none, or secret."""
    file = item.resource
    if not isinstance(file, File) or file.secret:
        return ""
    return next((name for name in file.made_of if name.endswith(".crt")), "")


def found(
    desired: Desired, asked_for: Desired, seen: Mapping[Ref, Seen], here: Mapping[str, bytes], now: dt.datetime
) -> CertificatesStatus:
    """The certificates of the hosts, then those that are only here.

    Args:
        desired: what is wanted.
        asked_for: what hosts were asked for.
        seen: what they answered.
        here: the certificates of the local folder, by name.
        now: the time.
    """
    files = [item for item in asked_for.values() if item.ref.kind is Kind.FILE]
    read = readers(((ref, item.resource) for ref, item in asked_for.items()))
    gates = {
        Ref(ref.host, Kind.FILE, item.resource.cert) for ref, item in desired.items() if isinstance(item.resource, Gate)
    }
    on_hosts: list[CertificateStatus] = []
    placed: set[tuple[str, bytes]] = set()
    for item in files:
        units = read.get(item.ref, ()) or ((GATES,) if item.ref in gates else ())
        answer, name = seen.get(item.ref, Missing.UNKNOWN), _name(item)
        content = answer.content if isinstance(answer, SeenFile) else None
        placed |= {(name, content)} if content is not None else set()
        on_hosts.append(
            replace(
                _read(item.ref.host, item.ref.name, name, content, now, _absence(answer)),
                units=units,
                pending=tuple(_behind(item.ref, answer, units, seen)),
                differs=None if name not in here or content is None else content != here[name],
            )
        )
    local = (_read("", name, name, pem, now, "") for name, pem in here.items() if (name, pem) not in placed)
    return CertificatesStatus((*on_hosts, *local), {})


def _absence(answer: Seen) -> str:
    if answer is Missing.ABSENT:
        return "there is none"
    return "it cannot be read" if isinstance(answer, SeenFile) else "the host did not answer"


def _read(host: str, path: str, name: str, content: bytes | None, now: dt.datetime, absence: str) -> CertificateStatus:
    if content is None:
        return CertificateStatus(host, path, name, None, absence, None)
    try:
        known = facts(content)
    except Flaw as flaw:
        return CertificateStatus(host, path, name, None, f"it {flaw}", None)
    return CertificateStatus(host, path, name, known, "", math.floor((known.ends - now) / _DAY))


def _behind(ref: Ref, answer: Seen, units: Collection[str], seen: Mapping[Ref, Seen]) -> Iterator[str]:
    """The units whose process is older than the file: it has read what was there before."""
    if not isinstance(answer, SeenFile):
        return
    for unit in units:
        state = seen.get(Ref(ref.host, Kind.UNIT, unit))
        if isinstance(state, SeenUnit) and state.is_active and state.started_at < max(answer.modified_at, state.due_at):
            yield unit
