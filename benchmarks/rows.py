"""The rows of the table: each knows how to run once, timed, and when a run of it does not count."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import ansible_tasks, pyinfra_tasks
from benchmarks.cluster import COMPONENT, EDITED, Cluster, Login
from benchmarks.environment import Tools
from benchmarks.measure import HERE, REPOSITORY, BenchmarkError, Figures, Run, run
from benchmarks.wanted import HostWants

FLOOR, PLAN, CHANGED, PYINFRA, ANSIBLE = "floor", "plan", "one changed file", "pyinfra", "ansible"
# The rows that ask hosts something, and so can be held against the floor.
ASKING = (FLOOR, PLAN, CHANGED, PYINFRA, ANSIBLE)
_INSTALLER = (sys.executable, "-m", "k8s_installer")


class Row(Protocol):
    """One thing that is measured."""

    @property
    def name(self) -> str:
        """What it is called in the table."""

    @property
    def rounds(self) -> int:
        """In how many rounds it takes part."""

    def once(self) -> Iterator[Run]:
        """Do it, timed; raises BenchmarkError where that run does not count."""


def measured(rows: Sequence[Row], hosts: int) -> list[Figures]:
    """Run all rows in turn, round by round, so that whatever else the machine does falls on all of them."""
    runs: dict[str, list[Run]] = {row.name: [] for row in rows}
    for number in range(max(row.rounds for row in rows)):
        for row in rows:
            if number < row.rounds:
                runs[row.name].extend(row.once())
    return [Figures.of(name, hosts, done) for name, done in runs.items()]


def installer(*words: str | Path) -> Run:
    """Run the installer as a user does."""
    return run([*_INSTALLER, *words], cwd=REPOSITORY)


@dataclass(frozen=True, slots=True)
class Floor:
    """Bare SSH: `floor.py`."""

    rounds: int
    hosts: Path
    name: str = FLOOR

    @classmethod
    def of(cls, rounds: int, folder: Path, login: Login, addresses: Sequence[str]) -> Floor:
        """The floor of these hosts."""
        path = folder / "floor.json"
        given = {"port": login.port, "key": str(login.key), "known_hosts": str(login.known_hosts)}
        path.write_text(json.dumps({**given, "addresses": list(addresses)}), encoding="utf-8")
        return cls(rounds, path)

    def once(self) -> Iterator[Run]:
        """See `Row`."""
        yield run([sys.executable, HERE / "floor.py", self.hosts], cwd=REPOSITORY).require(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """`k8s-installer plan` where every host is what the inventory says."""

    rounds: int
    inventory: Path
    name: str = PLAN

    def once(self) -> Iterator[Run]:
        """See `Row`; exit 3 says that something differs, and then the work is another."""
        yield installer("plan", "-i", self.inventory).require(0, why="the hosts are not what the inventory says")


@dataclass(frozen=True, slots=True)
class Changed:
    """`k8s-installer apply` after an edit that changes one file on every host; a round is the edit and its way back."""

    rounds: int
    cluster: Cluster
    name: str = CHANGED

    def once(self) -> Iterator[Run]:
        """See `Row`; both runs count, and the inventory is left as it was."""
        for edited in (True, False):
            self.cluster.write(edited=edited)
            words = ("apply", "--yes", "--no-verify", "-o", "json", "-i", self.cluster.inventory)
            yield _one_file_each(installer(*words).require(0), self.cluster.addresses)


def _one_file_each(done: Run, hosts: Mapping[str, str]) -> Run:
    """Raise BenchmarkError unless on every host the run wrote the file, restarted its reader, and did no more."""
    changes = json.loads(done.stdout)["changes"]
    found = Counter((change["host"], change["action"], change["name"], change["state"]) for change in changes)
    wanted = Counter(
        (host, action, name, "done")
        for host in hosts
        for action, name in (
            ("update", EDITED), ("restart", COMPONENT), ("wait", f"{COMPONENT} is healthy"),
        )
    )  # fmt: skip
    if found != wanted:
        raise BenchmarkError(
            f"the edit did not change just {EDITED} on every host: "
            f"besides it {list(found - wanted)[:6]}, missing {list(wanted - found)[:6]}"
        )
    return done


@dataclass(frozen=True, slots=True)
class Pyinfra:
    """pyinfra, told the same wishes."""

    rounds: int
    tools: Tools
    folder: Path
    wants: Mapping[str, HostWants]
    parallel: int
    name: str = PYINFRA

    def settle(self, login: Login) -> None:
        """Write its files, and let it bring the hosts to what it wants, once and untimed."""
        pyinfra_tasks.write(self.folder, self.wants, login)
        self._run().require(0)

    def once(self) -> Iterator[Run]:
        """See `Row`."""
        done = self._run()
        pyinfra_tasks.require_unchanged(done, self.wants)
        yield done

    def _run(self) -> Run:
        return run(pyinfra_tasks.command(self.tools.program("pyinfra"), self.parallel), cwd=self.folder)


@dataclass(frozen=True, slots=True)
class Ansible:
    """Ansible, told the same wishes."""

    rounds: int
    tools: Tools
    folder: Path
    wants: Mapping[str, HostWants]
    forks: int
    name: str = ANSIBLE

    def settle(self, login: Login) -> None:
        """Write its files, and let it bring the hosts to what it wants, once and untimed."""
        ansible_tasks.write(self.folder, self.wants, login)
        self._run().require(0)

    def once(self) -> Iterator[Run]:
        """See `Row`."""
        done = self._run()
        ansible_tasks.require_unchanged(done, len(self.wants))
        yield done

    def _run(self) -> Run:
        argv = ansible_tasks.command(self.tools.program("ansible-playbook"), self.forks)
        return run(argv, cwd=self.folder, env=ansible_tasks.environment(self.folder))
