"""What the user asked of the benchmark, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.environment import Tools

# Of Ansible a run takes ten minutes on fifty hosts: fewer rounds there.
LARGE = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """Rounds and sizes. `tools` is None where the other tools are left out."""

    hosts: tuple[int, ...]
    rounds: int
    tools: Tools | None
    peers_up_to: int
    peer_rounds: int
    large_ansible_rounds: int
    pyinfra_parallel: int
    ansible_forks: int
    pure: tuple[int, ...]
    pure_rounds: int
    say: Callable[[str], None]

    def peer_rounds_of(self, hosts: int) -> tuple[int, int]:
        """In how many rounds pyinfra and Ansible take part on so many hosts."""
        if hosts > self.peers_up_to:
            return 0, 0
        return self.peer_rounds, self.peer_rounds if hosts <= LARGE else self.large_ansible_rounds
