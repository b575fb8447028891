"""Whether etcd may be started as the inventory asks, given which hosts have its data. Pure.

etcd reads `initial-cluster` only where it has no log yet. A member that starts without one, and with
`initial-cluster-state: new`, makes a cluster of its own with whoever else does, beside the one that has the data; both
then call themselves healthy (seen with etcd 3.3.25 and 3.4.23). A member that had data and lost it is worse: it votes
as if it had never promised anything. So a plan stops where

- a member that has data was started with other members than the inventory has;
- a member without data would start, and another one has data of a cluster that was made otherwise or has been in use;
- no member has data, and the cluster has been in use: a disk is not mounted, or `data-dir` was changed.

A first start that was cut off resumes: some members have data, all were started with what the inventory still says, and
nothing that needs etcd was ever started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from k8s_installer.desired.model import Desired, Wanted
from k8s_installer.errors import InstallerError
from k8s_installer.resources import Data, File, Gate, Kind, Ref, Seen, SeenFile, SeenUnit, Unit

GUIDE = "docs/etcd.md"
# What etcd takes where its file does not say it.
_DEFAULT_NAME, _DEFAULT_URL, _DEFAULT_TOKEN = "default", "http://localhost:2380", "etcd-cluster"
_CHANGE = f"revert the members in the inventory, or change them by hand first, one at a time: {GUIDE}"
_LOST = (
    "mount its disk, or set data-dir and wal-dir back; if the data is lost, remove the member and add it again: "
    + GUIDE
)
_ALL_LOST = (
    f"mount the disks, set data-dir and wal-dir back, or restore a backup: {GUIDE}; to begin with an empty cluster, "
    "disable {} first"
)


@dataclass(frozen=True, slots=True)
class Start:
    """With what a member is started: NAME=PEER-URL of every member, the token, and whether it joins those that are."""

    members: frozenset[str]
    token: str
    joins: bool

    def makes(self, other: Start) -> bool:
        """Whether both make the same cluster: etcd derives its id from these two."""
        return (self.members, self.token) == (other.members, other.token)


def start(config: bytes) -> Start:
    """Read etcd's file (ETCD_NAME=VALUE, as systemd reads it); what is not there has etcd's default."""
    said = environment(config)
    members = said.get("ETCD_INITIAL_CLUSTER") or f"{said.get('ETCD_NAME') or _DEFAULT_NAME}={_DEFAULT_URL}"
    return Start(
        frozenset(item.strip() for item in members.split(",") if item.strip()),
        said.get("ETCD_INITIAL_CLUSTER_TOKEN") or _DEFAULT_TOKEN,
        joins=said.get("ETCD_INITIAL_CLUSTER_STATE") == "existing",
    )


def environment(config: bytes) -> dict[str, str]:
    """The variables of an EnvironmentFile, of which the last one counts."""
    lines = [line.strip() for line in config.decode(errors="replace").split("\n")]
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith(("#", ";"))]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class _Member:
    """One host of etcd: where its log belongs and whether it is there, and how it was and is to be started.

    `found` and `wanted` are None where the file is not there, or is brought back by its sum alone.
    """

    host: str
    log: str
    has_data: bool
    runs: bool
    found: Start | None
    wanted: Start | None


def require_members(desired: Desired, seen: Mapping[Ref, Seen]) -> None:
    """Stop where a plan would start a member of etcd that must not start like this.

    Raises:
        InstallerError: what is wrong with each member, and what can be done about it.
    """
    members = [_member(wanted, desired, seen) for wanted in desired.values() if isinstance(wanted.resource, Data)]
    findings = [*_changed(members), *_empty(members, _clients(desired, seen))]
    if findings:
        words = [f"  {words}" for words, _ in findings]
        hints = dict.fromkeys(hint for _, hint in findings)
        raise InstallerError(
            "\n".join(["etcd cannot be started like this; nothing was changed:", *words]), hint="\n".join(hints)
        )


def _member(wanted: Wanted, desired: Desired, seen: Mapping[Ref, Seen]) -> _Member:
    data, host = wanted.resource, wanted.ref.host
    assert isinstance(data, Data)  # noqa: S101 - as its caller chose it
    config = Ref(host, Kind.FILE, data.config)
    file, found, unit = desired[config].resource, seen.get(config), seen.get(Ref(host, Kind.UNIT, data.unit))
    was = (
        file.content if isinstance(file, File) and isinstance(found, SeenFile) and found.sha256 == file.sha256 else None
    )
    if was is None and isinstance(found, SeenFile):
        was = found.content
    return _Member(
        host,
        wanted.ref.name,
        has_data=isinstance(seen.get(wanted.ref), SeenFile),
        runs=isinstance(unit, SeenUnit) and unit.active == "active",
        found=start(was) if was is not None else None,
        wanted=start(file.content) if isinstance(file, File) else None,
    )


def _clients(desired: Desired, seen: Mapping[Ref, Seen]) -> Mapping[Ref, bool]:
    """The services that wait for etcd's health, and whether they were ever started: they are enabled just before."""
    services = {wanted.resource.unit for wanted in desired.values() if isinstance(wanted.resource, Data)}
    gates = {
        ref for ref, wanted in desired.items() if isinstance(wanted.resource, Gate) and wanted.resource.unit in services
    }
    found: dict[Ref, bool] = {}
    for ref, wanted in desired.items():
        if isinstance(wanted.resource, Unit) and not gates.isdisjoint(wanted.after):
            unit = seen.get(ref)
            found[ref] = isinstance(unit, SeenUnit) and (unit.enabled or unit.active == "active")
    return found


def _changed(members: Sequence[_Member]) -> Iterator[tuple[str, str]]:
    """Members that have data, and whose cluster the inventory changes."""
    for member in members:
        was, now = member.found, member.wanted
        if not member.has_data or was is None or now is None or was.makes(now):
            continue
        said = [
            f"adds {_listed(now.members - was.members)}" if now.members - was.members else "",
            f"leaves out {_listed(was.members - now.members)}" if was.members - now.members else "",
            f"changes the token from {was.token} to {now.token}" if now.token != was.token else "",
        ]
        words = f"{member.host} has etcd's data and was started with {_listed(was.members)}; the inventory"
        yield f"{words} {', '.join(filter(None, said))}", _CHANGE


def _empty(members: Sequence[_Member], clients: Mapping[Ref, bool]) -> Iterator[tuple[str, str]]:
    """Members that would start without data, and not as members that were let in."""
    elders = [member for member in members if member.has_data]
    used = sorted(str(ref) for ref, started in clients.items() if started)
    for member in members:
        if member.has_data or (member.wanted is not None and member.wanted.joins):
            continue
        nothing = f"{member.host} has no data of etcd in {member.log}"
        others = f"{_listed(elder.host for elder in elders)} {'has' if len(elders) == 1 else 'have'}"
        if member.runs:
            yield f"{nothing}, but etcd runs there: its data is elsewhere, or was deleted", _LOST
        elif any(
            member.wanted is None or elder.found is None or not elder.found.makes(member.wanted) for elder in elders
        ):
            yield f"{nothing}: started now, it would make a second, empty cluster; {others} data", _CHANGE
        elif elders and (used or not clients):
            yield f"{nothing}, and {others} data of a cluster that is in use: it has lost its own", _LOST
        elif elders:
            continue  # the rest of a first start
        elif _unasked(member, members):
            left = _listed(_unasked(member, members))
            yield f"{nothing}, and {left} may have, and was not asked", f"let --limit include {left}"
        elif used:
            yield f"{nothing}, and no other member has, but {used[0]} was started before", _ALL_LOST.format(used[0])


def _unasked(member: _Member, members: Sequence[_Member]) -> list[str]:
    """Who else is a member, and was not looked at; a member alone may have etcd's default name."""
    names = {item.partition("=")[0] for item in member.wanted.members} if member.wanted else set()
    return sorted(names - {other.host for other in members}) if len(names) > 1 else []


def _listed(items: Iterator[str] | Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(items))
