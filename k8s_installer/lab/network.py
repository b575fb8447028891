"""The network of a lab: a bridge in a network namespace of its own, one namespace per host, one way in.

    this machine            namespace lab-NAME                namespace lab-NAME.HOST
    lab-NAME 10.77.K.2 ──── uplink ┐
                                   ├ bridge lab-NAME 10.77.K.1
                            HOST ──┘ ──────────────────────── eth0 10.77.K.11

The bridge is kept off this machine's own namespace so that this machine's packet filter (docker sets FORWARD to
DROP, and bridge-nf-call-iptables shows bridged packets to it) has no say between hosts, nothing of this machine's
settings need change, and the lab's web server has ports 80 and 5000 to itself. `ip netns del` of the namespaces
takes every link with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab.commands import run, succeeds

NAMESPACES = Path("/run/netns")
_NUMBERS = range(256)
_ACCESS = "10.77.{}.2"  # this machine's own address, from which it reaches the hosts


def link_name(lab: str) -> str:
    """Return the name of a lab's link on this machine, of its bridge, and of the bridge's namespace."""
    return f"lab-{lab}"


def namespace_of(lab: str, host: str) -> str:
    """Return the name of a host's network namespace; no lab's name has a dot."""
    return f"lab-{lab}.{host}"


def gateway(number: int) -> str:
    """Return the bridge's address on the network of the lab with this number: the web server's."""
    return f"10.77.{number}.1"


def subnet(number: int) -> str:
    """Return the network of the lab with this number."""
    return f"10.77.{number}.0/24"


def numbers_in_use(addresses: str | None = None) -> set[int]:
    """Return the lab numbers whose network this machine has an address or a route in (text of `ip route`)."""
    text = run(["ip", "-4", "route", "show", "table", "all"]) if addresses is None else addresses
    return {int(found) for found in re.findall(r"\b10\.77\.(\d{1,3})\.\d", text)}


def free_number(taken: Iterable[int]) -> int:
    """Return the first lab number that is not taken.

    Raises:
        LabError: all 256 are.
    """
    used = set(taken)
    for number in _NUMBERS:
        if number not in used:
            return number
    raise LabError("all 256 lab networks (10.77.0.0/24 to 10.77.255.0/24) are in use")


def make(lab: str, number: int, hosts: Sequence[tuple[str, str]], *, offline: bool = False) -> None:
    """Make the whole network of a lab; `hosts` are (name, address). Those of an `offline` lab have no way out of it.

    Raises:
        LabError: the kernel refused a step.
    """
    switch = link_name(lab)
    for namespace in (switch, *(namespace_of(lab, name) for name, _ in hosts)):
        run(["ip", "netns", "add", namespace])
    _batch(
        [],
        f"link add {switch} type veth peer name uplink netns {switch}",
        f"addr add {_ACCESS.format(number)}/24 dev {switch}",
        f"link set {switch} up",
    )
    ports = [
        line
        for name, _ in hosts
        for line in (
            f"link add {name} type veth peer name eth0 netns {namespace_of(lab, name)}",
            f"link set {name} master {switch} up",
        )
    ]
    bridge = (
        "link set lo up",
        f"link add {switch} type bridge",
        f"addr add {gateway(number)}/24 dev {switch}",
        f"link set {switch} up",
        f"link set uplink master {switch} up",
    )
    _batch(["-n", switch], *bridge, *ports)
    for name, address in hosts:
        ways = (
            f"route add default via {gateway(number)}",
            # No cloud's metadata service is here: refused at once, or a kubelet asks for AWS credentials for 6 s.
            "route add unreachable 169.254.0.0/16",
        )
        links = ("link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up")
        _batch(["-n", namespace_of(lab, name)], *links, *(() if offline else ways))


def remove(lab: str) -> None:
    """Remove everything of a lab's network that is there; other labs' is not touched."""
    for namespace in namespaces(lab):
        run(["ip", "netns", "del", namespace])
    if not exists(lab):
        return
    try:  # a link that was left alone; others go with their end in a namespace, which the kernel may be about to do
        run(["ip", "link", "del", link_name(lab)])
    except LabError:
        if exists(lab):
            raise


def namespaces(lab: str, folder: Path = NAMESPACES) -> list[str]:
    """Return the names of a lab's network namespaces, its hosts' first."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    switch = link_name(lab)
    return sorted((name for name in names if name == switch or name.startswith(f"{switch}.")), reverse=True)


def entering(lab: str) -> list[str]:
    """Return the words that run a command in the namespace of a lab's bridge."""
    return ["nsenter", f"--net={NAMESPACES / link_name(lab)}"]


def exists(lab: str) -> bool:
    """Tell whether this machine has a lab's link."""
    return succeeds(["ip", "link", "show", link_name(lab)])


def _batch(options: Sequence[str], *lines: str) -> None:
    run(["ip", *options, "-batch", "-"], stdin="\n".join(lines) + "\n")
