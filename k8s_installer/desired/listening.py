"""Agreements about the ports on which the programs of a host listen. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.ports import LISTENING, RANGE_FLAG, kubelet_port, node_ports, tuned_alike
from k8s_installer.inventory import Role

# Other names of one listener: the later of two flags, or the older that still works.
_SAME = {("kube-apiserver", "port"): "insecure-port", ("kube-proxy", "metrics-port"): "metrics-bind-address"}


class Listener(NamedTuple):
    """A port on which a component listens; the flag is empty where the profile says so."""

    port: int
    component: str
    flag: str = ""
    protocol: str = "tcp"


def node_ports_free(config: HostConfig) -> Iterator[Breach]:
    """NodePorts that differ between masters, or that programs of a node have."""
    path = config.path_of("kube-apiserver", RANGE_FLAG)
    if config.runs("kube-apiserver") and config.sets("kube-apiserver", RANGE_FLAG) and not tuned_alike(config.cluster):
        yield Breach(path, f"{RANGE_FLAG} differs between masters", "set it under components, for all masters")
    if Role.NODE not in config.host.roles:
        return
    first, last = node_ports(config.cluster)
    found = sorted((one.port, one.component) for one in _listeners(config))
    inside = {port: name for port, name in found if first <= port <= last}
    if inside.get(kubelet_port(config.host)) == "kubelet" and config.sets("kubelet", "port"):
        message = f"the kubelet's port {kubelet_port(config.host)} is in the NodePort range, {first}-{last}"
        yield Breach(config.path_of("kubelet", "port"), message, "choose a port outside the range")
    elif inside:
        master = HostConfig(config.cluster, config.profile, config.cluster.first_master)
        listed = ", ".join(f"{port} ({name})" for port, name in inside.items())
        message = f"{RANGE_FLAG} {first}-{last} includes ports on which nodes' programs listen: {listed}"
        yield Breach(master.path_of("kube-apiserver", RANGE_FLAG), message)


def ports_taken(config: HostConfig) -> Iterator[Breach]:
    """Ports that the inventory gives to a program, or a component brings, and that another listener of the host has."""
    listeners = [one for one in _listeners(config) if one.protocol == "tcp"]
    said = {one for one in listeners if one.flag and config.sets(one.component, one.flag)}
    owners: dict[int, str] = {}  # by port, the component that has it without the inventory
    for one in listeners:
        owner = owners.setdefault(one.port, one.component) if one not in said else one.component
        if not one.flag and owner != one.component:
            message = f"{one.component} uses port {one.port}, on which {owner} listens"
            yield Breach(("hosts", config.host.name), message)
    for one in listeners:
        if one not in said:
            continue
        for other in listeners:
            if other.port == one.port and _differ(one, other):
                mine = f"{one.component}: {config.name(one.component, one.flag)} uses port {one.port}"
                theirs = f"on which {other.component} listens"
                if other.component == one.component and other.flag:
                    theirs = f"as does {config.name(other.component, other.flag)}"
                yield Breach(config.path_of(one.component, one.flag), f"{mine}, {theirs}")
                break


def _differ(one: Listener, other: Listener) -> bool:
    """Whether these are two listeners: a port of a component in the profile may be that of a flag."""
    if one.component != other.component:
        return True
    names = {_SAME.get((item.component, item.flag), item.flag) for item in (one, other)}
    return len(names) > 1 and ("" not in names or one.component == "etcd")  # of etcd it is those of members and clients


def _listeners(config: HostConfig) -> Iterator[Listener]:
    for name, component in config.profile.on(config.host.roles).items():
        for text in component.ports:
            number, _, protocol = text.partition("/")
            if number.isdecimal():
                yield Listener(int(number), name, protocol=protocol)
        for flag in LISTENING:
            for port in _ports(config, name, flag):
                yield Listener(port, name, flag)


def _ports(config: HostConfig, name: str, flag: str) -> Iterator[int]:
    """The ports of a flag: a number, or what is last in an address or in each of several URLs; 0 is none."""
    number = config.number(name, flag)
    if number is not None:
        texts = [str(int(number))]
    else:
        texts = [one.rpartition(":")[2] for one in config.text(name, flag).split(",")]
    yield from (int(text) for text in texts if text.isdecimal() and int(text))
