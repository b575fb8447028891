"""A command's session with a cluster: its inventory, and connections to its hosts.

A command that only reads opens a session and asks. One that changes hosts takes the lock as well (`flows.locked`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from k8s_installer.desired import draining
from k8s_installer.engine import fleet
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.errors import HostError, InstallerError
from k8s_installer.flows import inputs as files
from k8s_installer.flows import resolve
from k8s_installer.flows.expiry import warn_of_ending
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.narrow import first_asked
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved, corrected
from k8s_installer.host.observe import HostCache
from k8s_installer.inventory import Allocations, Cluster, Role
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Kind, Ref, runs
from k8s_installer.planning import records
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.etcd.changing import changing, questions
from k8s_installer.planning.etcd.lost import require_kept
from k8s_installer.planning.handover import with_handover
from k8s_installer.planning.leaving import API, KUBELET, with_drains, with_leaving, without_nodes
from k8s_installer.profiles import Profile
from k8s_installer.runs import cache
from k8s_installer.runs.trace import Trace, traced, unkept
from k8s_installer.transport import Line, Transport

T = TypeVar("T")
Choice = Callable[[Resolved], Resolved]


def everything(whole: Resolved) -> Resolved:
    """All that an inventory wants."""
    return whole


@dataclass(frozen=True, slots=True)
class Session:
    """A cluster as its inventory describes it, and connections to its hosts.

    `masters` are connections for the lock alone: a long script must not delay a renewal. `wire` takes what hosts are
    sent and answer, if somebody wants to see that.
    """

    inputs: Inputs
    cluster: Cluster
    profile: Profile
    connections: Connections
    reporter: Reporter
    masters: Mapping[str, Line]
    wire: Trace | None = None

    def resolve(self, kept: Allocations | None = None) -> Resolved:
        """All that the inventory wants, while hosts are being logged in to: neither waits for the other.

        Warns of certificates that are about to end.

        Args:
            kept: what was allocated before; what is recorded on this machine where this is None.
        """
        wanted = resolve.desire(self.cluster, self.profile, self.inputs.templates, resolve.present_keys, kept)
        if kept is None:  # else it has been said
            warn_of_ending(wanted.keys, self.inputs.inventory, self.reporter)
        return wanted

    def observe(self, whole: Resolved, choose: Choice = everything) -> tuple[Resolved, ObservedFleet]:
        """What is wanted, and the hosts that it is about, seen.

        Where hosts have been given something else than is known here, as in a new clone of the inventory's folder,
        what is wanted is worked out again from that, and they are asked a second time.

        Args:
            whole: all that the inventory wants.
            choose: what is wanted of that.

        Raises:
            InstallerError: a host belongs to another cluster, by its own record.
        """
        wanted = choose(whole)
        seen = self._seen(wanted)
        kept = corrected(wanted, seen.seen)
        if kept is not None:
            wanted = choose(self.resolve(kept))
            seen = self._seen(wanted)
        if not wanted.undoes:
            return self.with_placed(wanted, seen)
        records.require_own(seen.seen, [host.name for host in wanted.cluster.everyone], wanted.cluster.name)
        wanted = self._going_back(wanted, seen)
        return wanted, self._with_leaving(wanted.desired, seen)

    def _going_back(self, wanted: Resolved, seen: ObservedFleet) -> Resolved:
        """What a rollback wants, without hosts that keep nothing to go back to.

        Raises:
            InstallerError: there are no others.
        """
        from k8s_installer.planning import rollback  # no other command needs it

        names = rollback.swept(wanted.desired, seen.seen)
        desired = rollback.without(wanted.desired, names)
        if names:
            hosts = ", ".join(sorted(names))
            words = f"a rollback cannot bring {hosts} back: everything was removed there, backups included"
            if not desired:
                hint = "to install again: remove `state: absent` from the inventory, then apply"
                raise InstallerError(words, hint=hint)
            self.reporter.warn(f"{words}; apply installs it again if the inventory asks for it")
        return replace(wanted, desired=rollback.with_leftovers(desired, seen.seen))

    def with_placed(self, wanted: Resolved, seen: ObservedFleet) -> tuple[Resolved, ObservedFleet]:
        """The same, with what hosts have placed and is no longer wanted, and with what is missing in their records.

        Hosts are asked once more only if something leaves. An absent host that another cluster has now is left alone.

        Raises:
            InstallerError: another cluster has a host that is not absent.
            LostError: etcd has lost what this does not bring back; a part of the cluster may not need it.
        """
        seen = replace(seen, seen=records.brought_up_to_date(seen.seen, resolve.leaves_of(wanted)))
        about = [host for host in wanted.cluster.everyone if wanted.limit is None or host.name in wanted.limit]
        foreign = self._foreign(wanted, seen)
        there = [host.name for host in about if host.name not in seen.unreachable and host.name not in foreign]
        if wanted.moves_members and wanted.limit is None and wanted.only is None:
            names = [host.name for host in wanted.cluster.everyone]
            require_kept(wanted.whole, seen.seen, names, seen.unreachable.keys())
        master = _deletes_nodes(wanted, seen)
        desired = with_leaving(
            wanted.whole, wanted.desired, seen.seen, there, wanted.only, master=master, data=wanted.data
        )
        desired = with_handover(wanted.whole, desired)
        if master and _staying(wanted, Role.NODE):  # who can take the pods of those that leave
            profile = wanted.profile.fitting(wanted.cluster)
            desired = with_drains(
                desired, lambda node, turn: draining.opening(wanted.inventory, profile, node, master, turn)
            )
        gone = [host for host in about if host in wanted.cluster.leaving and host.name not in there]
        if master and (wanted.only is None or KUBELET in wanted.only):
            nodes = [host.name for host in gone if Role.NODE in host.roles]
            desired = without_nodes(desired, nodes, master)
        seen = self._without_gone(wanted, seen)
        seen = self._with_leaving(desired, seen)
        if wanted.moves_members:
            desired, found = changing(wanted.whole, desired, seen.seen, [host.name for host in wanted.cluster.everyone])
            seen = replace(seen, seen=found)
        leaving = tuple(host for host in wanted.cluster.leaving if host.name not in foreign)
        cluster = replace(wanted.cluster, leaving=leaving)
        return replace(wanted, cluster=cluster, desired=with_adopted(desired, seen.seen)), seen

    def _foreign(self, wanted: Resolved, seen: ObservedFleet) -> Collection[str]:
        """The absent hosts that another cluster has now.

        Raises:
            InstallerError: another cluster has a host that is not absent.
        """
        cluster = wanted.cluster
        records.require_own(seen.seen, [host.name for host in cluster.hosts], cluster.name)
        foreign = records.owners(seen.seen, [host.name for host in cluster.leaving], cluster.name)
        for name, others in foreign.items():
            self.reporter.warn(f"{name} belongs to {', '.join(others)} now and is left alone: delete its entry here")
        return foreign.keys()

    def _with_leaving(self, desired: Desired, seen: ObservedFleet) -> ObservedFleet:
        """What was seen, and what hosts have of that which is to leave; nobody is asked where nothing is."""
        going = {ref: item for ref, item in desired.items() if item.leaving and ref.kind is not Kind.GATE}
        if not going:
            return seen
        more = self.look(going, {ref.host for ref in going})
        more.require_all()
        return replace(seen, seen={**seen.seen, **more.seen})

    def _without_gone(self, wanted: Resolved, seen: ObservedFleet) -> ObservedFleet:
        """The same without hosts that are absent and do not answer: there may be no machine any more."""
        gone = [host.name for host in wanted.cluster.leaving if host.name in seen.unreachable]
        for name in gone:
            self.reporter.warn(f"{name} is absent in the inventory and cannot be reached: what was placed there stays")
        return replace(seen, unreachable={name: why for name, why in seen.unreachable.items() if name not in gone})

    def look(
        self, asked: Desired, names: Collection[str], memories: Mapping[str, HostCache] | None = None
    ) -> ObservedFleet:
        """What these hosts have of some resources; see `fleet.observe`."""
        lines = {name: line for name, line in self.connections.lines.items() if name in names}
        connections = replace(self.connections, lines=lines)
        with self._looking(len(lines)) as tick:
            return fleet.observe(connections, asked, tick, self.through, memories, self.run)

    def ask(self, names: Collection[str], question: Callable[[Transport], T]) -> dict[str, T | HostError]:
        """Ask hosts in parallel; a host that gives no answer has its error instead."""
        with self._looking(len(names)) as tick:
            return fleet.asked(names, lambda name: question(self.through(self.connections.lines[name])), tick)

    @property
    def run(self) -> str:
        """The name under which hosts keep what is replaced."""
        return "0"

    def through(self, way: Transport) -> Transport:
        """A connection as this session uses it."""
        return traced(way, self.wire) if self.wire is not None else way

    def _seen(self, wanted: Resolved) -> ObservedFleet:
        path = resolve.state_folder(wanted.cluster) / "seen.json"
        # the evidence as the inventory has it, whatever is wanted of it
        asked = {**wanted.roots, **wanted.beside, **wanted.desired, **wanted.evidence}
        names = {ref.host for ref in asked} | {host.name for host in wanted.cluster.everyone}
        asked |= {item.ref: item for item in map(records.question, names)}
        if wanted.moves_members:
            asked |= questions(wanted.whole, [host.name for host in wanted.cluster.everyone])
        remembered = cache.load(path)
        seen = self.look(asked, names, remembered)
        if seen.memories != remembered:
            cache.save(path, seen.memories)
        return seen

    @contextmanager
    def _looking(self, count: int) -> Iterator[fleet.OnHost]:
        """Say how many hosts have answered; what this gives is called for each."""
        answered: list[str] = []
        with self.reporter.working(f"reading {count} hosts") as working:

            def tick(host: str) -> None:
                answered.append(host)
                working(f"reading {count} hosts: {len(answered)} answered")

            yield tick


def _deletes_nodes(wanted: Resolved, seen: ObservedFleet) -> str:
    """The master that deletes Node objects: the first one that stays, and answers; empty where there is none.

    Rather one whose apiserver runs: the first master may be about to be installed.
    """
    able = [name for name in _staying(wanted, Role.MASTER) if name not in seen.unreachable]
    able = [name for name in able if runs(seen.seen.get(Ref(name, Kind.UNIT, API)))] or able
    return next((name for name in able if name == wanted.cluster.leader), able[0] if able else "")


def _staying(wanted: Resolved, role: Role) -> list[str]:
    """The hosts of a role that a reset is not about: all of them where the run is none."""
    reset = {host.name for host in wanted.cluster.everyone} if wanted.resets else set()
    return [host.name for host in wanted.inventory.having(role) if host.name not in reset]


@contextmanager
def opened(
    inputs: Inputs,
    reporter: Reporter,
    *,
    limit: str = "",
    option: str = "--limit",
    download: bool = True,
    opens: bool = True,
    locks: bool = False,
) -> Iterator[Session]:
    """A session: the inventory is read and checked, and its hosts are being logged in to.

    Args:
        inputs: the files that the command is about.
        reporter: receives notes and progress.
        limit: names of hosts, divided by commas, if the command is about a part.
        option: what the user calls that.
        download: see `inputs.read`.
        opens: see `inputs.read`.
        locks: whether the cluster will be locked; masters are logged in to for that at the same time.

    Raises:
        InputError: anything is wrong with what the user wrote; no host was asked.
    """
    cluster, profile = files.read(inputs, reporter, download=download, opens=opens)
    first = first_asked(cluster, limit, option)
    with (
        fleet.connecting(cluster.having(Role.MASTER) if locks else ()) as masters,
        fleet.connecting(cluster.everyone, first) as connections,
    ):
        wire = unkept(reporter.on_record) if reporter.on_record is not None else None
        yield Session(inputs, cluster, profile, connections, reporter, masters.lines, wire)
