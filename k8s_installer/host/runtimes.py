"""Programs that run containers, and how a host's is asked about them. Pure.

They are a closed set, as host settings are: a component says which one it is (`runtime`), never a command.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_CONTAINER = re.compile(r"(?P<name>[a-z-]+)://(?P<id>[A-Za-z0-9][-A-Za-z0-9_.]{0,127})")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One of them. Its name begins the IDs of its containers, as a kubelet reports them (`docker://ID`).

    `socket` is there while it runs. The rest are words of shell commands that end where what they are about is
    appended: `image_id` prints the IDs of images, `load` takes an archive, `tag` an image and its new name, `remove`
    a name, and `pid` prints a process of a container. Its unit has its name.
    """

    name: str
    socket: str
    image_id: str
    load: str
    tag: str
    remove: str
    pid: str

    def process(self, container: str) -> str:
        """A command that prints a process of a container, by its ID."""
        return f"{self.pid} {shlex.quote(container)}"


DOCKER = Runtime(
    name="docker",
    socket="/var/run/docker.sock",
    image_id="timeout 20 docker image inspect --format '{{.Id}}'",
    load="docker load -i",
    tag="docker tag",
    remove="docker rmi -f",
    pid="docker inspect -f '{{.State.Pid}}'",
)
RUNTIMES = {runtime.name: runtime for runtime in (DOCKER,)}


def of_container(identifier: str) -> tuple[Runtime, str] | None:
    """The runtime of a container and its ID there, by what the kubelet reports; None if that is none of ours."""
    found = _CONTAINER.fullmatch(identifier)
    return (RUNTIMES[found["name"]], found["id"]) if found and found["name"] in RUNTIMES else None
