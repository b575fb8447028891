"""The steps from one member list to another as resources: a chain in what is wanted. Pure."""

from __future__ import annotations

from dataclasses import replace

from k8s_installer.host.etcd import added, removed, voter
from k8s_installer.host.family import ABSENT
from k8s_installer.model.desired import DesiredResource, Turn
from k8s_installer.model.groups import FORMER
from k8s_installer.model.resources import Check, Gate, Kind, Ref, SeenFile, Setting
from k8s_installer.planning.etcd import listed
from k8s_installer.planning.etcd.config import joining
from k8s_installer.planning.etcd.facts import clients, wanted_content
from k8s_installer.planning.etcd.membership import Move, Step
from k8s_installer.planning.etcd.state import Etcd, endpoint, with_content


class Chain:
    """The steps as resources, each after the one before it; they are put into what is wanted."""

    def __init__(self, etcd: Etcd, wanted: dict[Ref, DesiredResource]) -> None:
        self.etcd, self.wanted = etcd, wanted
        self.settings: list[Ref] = []
        members = etcd.members
        self.turn = etcd.whole[members[0].data].turn
        self.by_url = {member.url: member for member in members}
        able = [host for host, said in etcd.answers.items() if listed.lists(said)]
        staying = [member.host for member in members]
        self.up = [*(host for host in able if host in staying), *(host for host in able if host not in staying)]
        # what is down and has data comes up before anything else
        starting = (etcd.unit_of(member.host) for member in members if member.host not in etcd.answers)
        self.last = tuple(ref for ref in starting if isinstance(etcd.seen.get(_data_of(etcd, ref)), SeenFile))
        self.up += [ref.host for ref in self.last]

    def weave(self, steps: tuple[Step, ...]) -> None:
        """Put the steps into what is wanted."""
        if not steps:
            return
        gates = [ref for ref, item in self.wanted.items() if _is_gate(item, self.etcd.unit)]
        joins, leaves = ([step for step in steps if step.live is live] for live in (False, True))
        for step in joins:
            self._step(step)
        for ref in gates:
            self.wanted[ref] = _after(self.wanted[ref], *self.last)
        if leaves:
            self._compare_last([ref for ref in gates if self._compares(ref)], leaves)

    def _compares(self, gate: Ref) -> bool:
        resource = self.wanted[gate].resource
        return isinstance(resource, Gate) and resource.check is Check.ETCD_MEMBERS

    def _compare_last(self, gates: list[Ref], leaves: list[Step]) -> None:
        """Members leave, and only then the list is compared with the inventory's: what waited for that does not."""
        for ref, item in list(self.wanted.items()):
            if not {*gates}.isdisjoint(item.after):
                after = tuple(before for before in item.after if before not in gates)
                self.wanted[ref] = _after(replace(item, after=after), *self.last)
        for step in leaves:
            self._step(step)
        for ref in gates:
            self.wanted[ref] = replace(_after(self.wanted[ref], *self.last), turn=Turn(FORMER, leaves[-1].name))

    def _step(self, step: Step) -> None:
        if step.move is Move.REMOVE:
            (self._retire if step.live else self._drop)(step)
            return
        member = self.by_url[step.url]
        unit, host = self.etcd.unit_of(member.host), self._carrier(member.host)
        turn = self.wanted[unit].turn
        if step.move is Move.PROMOTE:
            self._set(host, voter(step.name, endpoint(self.etcd.gate)), step.url, self.last, turn, step)
            return
        item = self._alone(self.wanted[unit])
        content = joining(wanted_content(member.config, self.wanted), step.members)
        config = with_content(self.wanted[member.config], content)
        # not before a member of the same name has been removed: until then it says how that was started
        self.wanted[member.config] = _after(config, *self.last)
        if step.move is Move.ADD:
            there = tuple(ref for ref in item.after if ref.host == member.host)  # files and packages: it can start
            name = added(step.name, endpoint(self.etcd.gate))
            self._set(host, name, step.url, (*self.last, *there), turn, step)
        self.wanted[unit] = _after(item, *self.last)
        self._wait(host, step, turn, unit, of=member.host)

    def _alone(self, unit: DesiredResource) -> DesiredResource:
        """A member's unit that waits for nothing of the others: where etcd runs they need not start together."""
        others = {ref for ref, item in self.wanted.items() if item.component == unit.component}
        after = tuple(ref for ref in unit.after if ref.host == unit.ref.host or ref not in others)
        return replace(unit, after=after)

    def _drop(self, step: Step) -> None:
        """A member that does not run leaves the list."""
        host = self._carrier("")
        turn = Turn(self.turn.group, host)
        self._set(host, removed(step.id, endpoint(self.etcd.gate)), ABSENT, self.last, turn, step)
        self._wait(host, step, turn, of=host)

    def _retire(self, step: Step) -> None:
        """A member that runs leaves the list when no client asks it any more, and stops then."""
        host, turn = self._carrier(step.name), Turn(FORMER, step.name)
        asking = {ref for ref in clients(self.etcd.whole, self.etcd.unit) if ref in self.wanted}
        answering = [
            ref for ref, item in self.wanted.items() if ref.kind is Kind.GATE and not asking.isdisjoint(item.after)
        ]
        stops = [ref for ref in (self.etcd.unit_of(step.name),) if ref in self.wanted]
        its_own = [ref for stop in stops for ref in self.wanted[stop].after]  # an apiserver that stops beside it
        after = (*self.last, *sorted(asking), *answering, *its_own)
        self._set(host, removed(step.id, endpoint(self.etcd.gate)), ABSENT, after, turn, step)
        for stop in stops:
            self.wanted[stop] = _after(self.wanted[stop], *self.last)
        self._wait(host, step, turn, *stops, of=host)

    def _hosts(self) -> set[str]:
        return {member.host for member in self.by_url.values()}

    def _carrier(self, target: str) -> str:
        """The host that carries out a step about another one: a member that runs, and rather one that stays."""
        able = [host for host in self.up if host != target]
        return next((host for host in able if host in self._hosts()), able[0])

    def _set(self, host: str, name: str, value: str, after: tuple[Ref, ...], turn: Turn, step: Step) -> None:
        ref = Ref(host, Kind.SETTING, name)
        because = f"etcd's members become those of the inventory, one at a time ({step.move} {step.name})."
        after = tuple(dict.fromkeys(after))
        self.wanted[ref] = DesiredResource(ref, Setting(value), self.etcd.component, after, because, turn)
        self.settings.append(ref)
        self.last = (ref,)

    def _wait(self, host: str, step: Step, turn: Turn, *after: Ref, of: str) -> None:
        """Wait until all members have the same log; what failed is shown by the unit `of` a host."""
        ref = Ref(host, Kind.GATE, f"{self.etcd.unit}'s members agree: {step.move} {step.name}")
        gate = replace(
            self.etcd.gate, check=Check.ETCD_AGREES, expects=step.answering, unit_host="" if of == host else of
        )
        because = "Only one member changes at a time: the next one waits until all have the same log."
        after = tuple(dict.fromkeys((*self.last, *after)))
        self.wanted[ref] = DesiredResource(ref, gate, self.etcd.component, after, because, turn)
        self.last = (ref,)
        if step.move is not Move.REMOVE and of not in self.up:
            self.up.append(of)


def _after(item: DesiredResource, *refs: Ref) -> DesiredResource:
    return replace(item, after=tuple(dict.fromkeys((*item.after, *refs))))


def _data_of(etcd: Etcd, unit: Ref) -> Ref:
    return next(member.data for member in etcd.members if member.host == unit.host)


def _is_gate(item: DesiredResource, unit: str) -> bool:
    return isinstance(item.resource, Gate) and item.resource.unit == unit
