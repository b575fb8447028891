"""A plan, as a value: changes in an order that works. What makes one is `planning.make`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from k8s_installer.model.desired import NO_TURN, Place, Turn
from k8s_installer.model.resources import Placed, Ref, Resource, Seen


class Action(StrEnum):
    """What is done to a resource."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    CREATE = "create"
    UPDATE = "update"
    REWRITE = "rewrite"  # other bytes that say the same: a comment, blanks; the file's time stays, nothing restarts
    ATTRIBUTES = "attributes"  # mode or owner alone: the bytes stay, so nothing restarts
    RESTORE = "restore"  # the bytes that the host kept from before a change
    REMOVE = "remove"
    SET = "set"
    RELOAD = "daemon-reload"
    START = "start"
    RESTART = "restart"
    ENABLE = "enable"
    STOP = "stop"
    DISABLE = "disable"
    UNINSTALL = "uninstall"
    CLEAN = "clean up"
    ADOPT = "adopt"
    WAIT = "wait"


REPLACED = frozenset({Action.UPGRADE, Action.DOWNGRADE})  # packages of which the host had another version


NO_RESTART = frozenset({Action.ATTRIBUTES, Action.REWRITE})  # changes of files that no process needs to hear of


INTERRUPTING = frozenset({Action.RESTART, Action.STOP})  # what ends a process: members take turns with it


UNDATED = frozenset({Action.RESTORE, Action.REMOVE})  # changes of files of which no time tells afterwards


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan: from what was seen to what is wanted.

    `before` is what the host had when the plan was made. `reason` is for people; code never branches on it.
    `turn` is whose turn it lies in, `place` where in that: a rollback undoes a whole turn. `readers` are the units that
    have to restart although no time says so: they read a file which is removed or gets its old time back, or it takes
    away what they have made. `records` are the lines that the host's record gets before it, `forgets` those that are
    taken out of it after that.
    """

    ref: Ref
    action: Action
    component: str
    before: Seen
    after: Resource
    reason: str
    turn: Turn = NO_TURN
    readers: tuple[str, ...] = ()
    place: Place = Place.WITHIN
    records: tuple[Placed, ...] = ()
    forgets: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in an order that works.

    `after[i]` are the positions of the changes that must be done before the i-th, `after_end[i]` of those that must
    have ended, done or not; where `after_end` is empty there are none.
    """

    changes: tuple[Change, ...]
    after: tuple[tuple[int, ...], ...]
    after_end: tuple[tuple[int, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)
