"""What is wanted where etcd's members are others than the inventory's: the steps between them, as resources. Pure.

Each step is a setting that a running member carries out, a first start or a stop, and a gate that waits until all
members have the same log. Edges make one chain of them. What joins is there before the clients' files name it, and what
leaves runs until no client asks it any more.

A member that has data keeps the `initial-cluster` that it was started with: etcd does not read it again, so the
inventory's is no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from k8s_installer.host.family import ABSENT
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, Setting
from k8s_installer.planning.etcd.chain import Chain
from k8s_installer.planning.etcd.state import Etcd, etcds, question_of


def questions(whole: Desired, hosts: Iterable[str]) -> Desired:
    """What asks hosts for the members of each etcd: all of them, for a member that leaves is no longer wanted."""
    names = [question_of(items, gate) for items, gate in etcds(whole)]
    refs = [Ref(host, Kind.SETTING, name) for host in hosts for name in names]
    return {ref: DesiredResource(ref, Setting(ABSENT), "etcd", (), "The members that etcd has.") for ref in refs}


def changing(
    whole: Desired, part: Desired, seen: Mapping[Ref, Seen], hosts: Collection[str]
) -> tuple[Desired, Mapping[Ref, Seen]]:
    """What is wanted, with the steps to the inventory's members; and what was seen, with nothing seen of these steps.

    Args:
        whole: all that the inventory wants.
        part: what a plan is about, with what leaves hosts.
        seen: what hosts have, with their answers to `questions`.
        hosts: all hosts, those that leave included.

    Raises:
        InstallerError: the members cannot become those of the inventory; see `membership.steps`.
    """
    result, more = dict(part), dict[Ref, Seen]()
    for items, gate in etcds(whole):
        etcd = Etcd(items, gate, whole, seen, hosts)
        result |= etcd.kept(result)
        if any(ref.name == etcd.unit and ref.kind is Kind.UNIT for ref in part):
            chain = Chain(etcd, result)
            chain.weave(etcd.steps(part))
            more |= dict.fromkeys(chain.settings, Missing.ABSENT)
    return result, {**seen, **more}
