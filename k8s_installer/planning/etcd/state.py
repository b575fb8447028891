"""An etcd as the inventory wants it and as its hosts have it, and so the steps from the one to the other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from k8s_installer.errors import InstallerError
from k8s_installer.host.etcd import Endpoint, question
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import (
    Check,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    Ref,
    Seen,
    SeenFile,
    SeenSetting,
)
from k8s_installer.planning.etcd import listed
from k8s_installer.planning.etcd.config import as_started, itself, start
from k8s_installer.planning.etcd.facts import by_unit, content_of, wanted_content
from k8s_installer.planning.etcd.membership import Step, Wanted, steps

Items = Sequence[tuple[DesiredResource, Data]]  # of one etcd, a member each


def etcds(whole: Desired) -> list[tuple[Items, Gate]]:
    """The members of each etcd, and the gate that asks one for its members."""
    gates = {
        gate.unit: gate
        for item in whole.values()
        if isinstance(gate := item.resource, Gate) and gate.check is Check.ETCD_MEMBERS
    }
    return [(items, gates[unit]) for unit, items in by_unit(whole).items() if unit in gates]


def question_of(items: Items, gate: Gate) -> str:
    """The name of the setting that asks a host for the members of an etcd."""
    return question(items[0][1].config, endpoint(gate))


def endpoint(gate: Gate) -> Endpoint:
    """Where a gate asks a host's own etcd."""
    return Endpoint(gate.url, gate.ca, gate.cert, gate.key)


@dataclass(frozen=True, slots=True)
class Member:
    """A host of the inventory's etcd."""

    host: str
    name: str
    url: str
    data: Ref
    config: Ref


@dataclass(frozen=True)
class Etcd:
    """One etcd: what the inventory wants of it, and what hosts have."""

    items: Items
    gate: Gate
    whole: Desired
    seen: Mapping[Ref, Seen]
    hosts: Collection[str]

    @property
    def unit(self) -> str:
        """The name of its service."""
        return self.items[0][1].unit

    @property
    def component(self) -> str:
        """What it belongs to."""
        return self.items[0][0].component

    @cached_property
    def members(self) -> list[Member]:
        """The hosts that the inventory wants as members."""
        return [
            Member(wanted.ref.host, *itself(wanted_content(config, self.whole)), wanted.ref, config)
            for wanted, data in self.items
            for config in [Ref(wanted.ref.host, Kind.FILE, data.config)]
        ]

    @cached_property
    def answers(self) -> dict[str, str]:
        """By host, what its etcd says."""
        name = question_of(self.items, self.gate)
        found = {host: self.seen.get(Ref(host, Kind.SETTING, name)) for host in self.hosts}
        return {host: answer.value for host, answer in found.items() if isinstance(answer, SeenSetting)}

    def unit_of(self, host: str) -> Ref:
        """The service on a host."""
        return Ref(host, Kind.UNIT, self.unit)

    def kept(self, part: Desired) -> dict[Ref, DesiredResource]:
        """The files of the members that have data, as far as the part has them, with the members of their first start.

        Where etcd does not run, only if these files have the inventory's members between them: else nothing says what
        has become of the others.
        """
        found: dict[Ref, bytes] = {}
        for member in self.members:
            content = content_of(member.config, self.whole, self.seen)
            if isinstance(self.seen.get(member.data), SeenFile) and content is not None:
                found[member.config] = content
        named = frozenset[str]().union(*(start(content).members for content in found.values()))
        if not (self.answers or named == start(wanted_content(self.members[0].config, self.whole)).members):
            return {}
        return {
            ref: with_content(part[ref], as_started(wanted_content(ref, part), content))
            for ref, content in found.items()
            if ref in part
        }

    def steps(self, part: Desired) -> tuple[Step, ...]:
        """What has to be done to the members.

        Raises:
            InstallerError: it cannot be done, or not by this part of the whole.
        """
        view, answers = listed.view(self.answers), self.answers
        if view is None:
            return ()
        members = self.members
        urls = {url: host for host, url in self._leaving(view, members).items()}
        found = steps(
            view,
            [
                Wanted(
                    member.name,
                    member.url,
                    self._has_data(member),
                    runs=member.host in answers,
                    starts=member.host not in answers and self.unit_of(member.host) in part,
                    replaced=start(wanted_content(member.config, self.whole)).joins,
                )
                for member in members
            ],
            [url for url, host in urls.items() if host in answers],
        )
        left = [member.host for member in members if self.unit_of(member.host) not in part]
        if found and left:
            raise InstallerError(
                f"etcd's members change, and {', '.join(left)} would be left out; nothing was changed",
                hint=f"let --limit include {', '.join(left)}, or leave it out: all members take part",
            )
        return found

    def _leaving(self, view: listed.View, members: list[Member]) -> dict[str, str]:
        """Of the hosts that run etcd and are no longer wanted as members, the URL that the list has."""
        there = {member.host for member in members}
        names = {member.name: member.urls[0] for member in view.members if member.urls}
        return {host: names[host] for host in self.hosts if host not in there and host in names}

    def _has_data(self, member: Member) -> bool | None:
        found = self.seen.get(member.data, Missing.UNKNOWN)
        return None if found is Missing.UNKNOWN else isinstance(found, SeenFile)


def with_content(item: DesiredResource, content: bytes) -> DesiredResource:
    """A file with other content."""
    return replace(item, resource=replace(cast("File", item.resource), content=content))
