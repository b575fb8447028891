"""Agreements about the flags of docker: its cgroup driver, and its bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from k8s_installer.desired.hostconfig import TEMPLATE, Breach, HostConfig

# Of CentOS 7's docker and of ours: where a node's containers get their addresses.
_BRIDGE_FLAGS = ("bip", "bridge", "fixed-cidr")
_CGROUP = "native.cgroupdriver"


def cgroup_driver(config: HostConfig) -> Iterator[Breach]:
    """A cgroup driver that docker does not use, or the kubelet does not."""
    if not config.runs("docker", "kubelet"):
        return
    chosen, usual = config.host.settings.cgroup_driver, config.profile.cgroup_driver
    path = config.path_of("docker", "exec-opt")
    options = [item.partition("=") for item in config.items("docker", "exec-opt")]
    given = [value for name, _, value in options if name == _CGROUP]
    docker, kubelet = (
        chosen or usual if TEMPLATE in text else text
        for text in (given[0] if given else "", config.text("kubelet", "cgroup-driver"))
    )
    if not docker:
        yield Breach(path, f"exec-opt has no {_CGROUP}: docker chooses one itself")
    elif chosen is None and docker != usual:
        message = f"exec-opt {_CGROUP}={docker} has no effect: the unit of CentOS 7's docker passes {usual} before it"
        yield Breach(path, message, f"host_settings: {{cgroup_driver: {docker}}} sets docker's and the kubelet's")
    elif docker != kubelet:
        path = path if config.sets("docker", "exec-opt") else config.path_of("kubelet", "cgroup-driver")
        yield Breach(path, f"docker's cgroup driver is {docker}, the kubelet's {kubelet}")


def bridge(config: HostConfig) -> Iterator[Breach]:
    """A bridge of docker's that is not the one of the cluster's network."""
    if not config.runs("docker") or config.cluster.network == "none":
        return
    own = (
        "leave it out; set pod_subnet of the host instead"
        if config.cluster.network == "routes"
        else "leave it out; flannel assigns docker's subnet"
    )
    for flag in _BRIDGE_FLAGS:
        if config.sets("docker", flag):
            yield Breach(
                config.path_of("docker", flag), f"docker's {flag} is set by network: {config.cluster.network}", own
            )
