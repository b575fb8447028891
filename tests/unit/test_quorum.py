"""A plan does not take the quorum of an etcd of which members are down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from benchmarks.pure import answers
from k8s_installer.desired import Desired
from k8s_installer.errors import InstallerError
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.planning.etcd.quorum import require_quorum
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.select import on_members
from tests.unit.test_members import CONF, IDLE, ONE, wanted

EDIT = "components: {etcd: {args: {snapshot-count: 5000}}}"


def members(count: int) -> str:
    return ONE + "".join(f"\n  m{n}: {{address: 10.0.0.{n}, roles: [etcd, master]}}" for n in range(2, count + 1))


def edited(count: int, down: Collection[str] = ()) -> tuple[Desired, dict[Ref, Seen]]:
    """A cluster whose etcd.conf was edited in the inventory; on some hosts etcd has failed."""
    before, after = wanted(members(count)), wanted(members(count), more=EDIT)
    found = answers(after)
    for ref in after:
        old = before[ref].resource
        if ref.name == CONF and isinstance(old, File):
            found[ref] = SeenFile(old.sha256, old.mode, old.owner, old.group, 1000.0, old.content)
        if ref.name == "etcd" and ref.kind is Kind.UNIT and ref.host in down:
            found[ref] = replace(IDLE, active="failed", sub="failed", enabled=True)
    return after, found


def judged(whole: Desired, found: dict[Ref, Seen], limit: Collection[str] = ()) -> str:
    """What the refusal says; empty where there is none."""
    part = on_members(whole, limit) if limit else whole
    try:
        require_quorum(whole, found, make_plan(part, found))
    except InstallerError as error:
        return error.message.removeprefix("a restart would cost etcd its quorum; nothing was changed:\n  ")
    return ""


def test_a_part_does_not_restart_the_members_that_hold_the_quorum() -> None:
    whole, found = edited(3, down={"m1"})
    assert judged(whole, found, {"m2"}) == (
        "etcd is down on m1 (failed), and the 2 other members are only just a majority of 3: none may restart, but the plan "
        "restarts it on m2"
    )
    # the whole starts what is down first, and so does a part that has it
    assert judged(whole, found) == judged(whole, found, {"m1", "m2"}) == ""
    assert judged(whole, found, {"m1"}) == ""
    with pytest.raises(InstallerError) as caught:
        require_quorum(whole, found, make_plan(on_members(whole, {"m2"}), found))
    assert "let --limit include them" in caught.value.hint


@pytest.mark.parametrize(("state", "words"), [(Missing.UNKNOWN, "did not answer"), (Missing.ABSENT, "not installed")])
def test_a_member_of_which_nothing_is_known_counts_as_down(state: Missing, words: str) -> None:
    whole, found = edited(3)
    assert f"down on m1 ({words})" in judged(whole, found | {Ref("m1", Kind.UNIT, "etcd"): state}, {"m3"})


@pytest.mark.parametrize(
    ("count", "down"),
    [(1, ()), (3, ()), (3, ("m1", "m3")), (5, ("m1",))],
    ids=str,
)
def test_where_nothing_more_is_lost_a_part_may_restart(count: int, down: Collection[str]) -> None:
    """All are up; or the quorum is gone already; or enough others are left."""
    whole, found = edited(count, down)
    assert judged(whole, found, {"m2" if count > 1 else "m1"}) == ""


def test_a_plan_that_restarts_no_member_is_let_through() -> None:
    whole, found = wanted(members(3)), answers(wanted(members(3)))
    assert judged(whole, found | {Ref("m1", Kind.UNIT, "etcd"): IDLE}, {"m2"}) == ""
