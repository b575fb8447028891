"""Agreements without which no node registers, or no pod gets an address: its gate would wait in vain. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.values import FALSE

_MODES = "authorization-mode"
_TAINTS = "register-with-taints"
_OTHERS_DECIDE = frozenset({"Node", "AlwaysAllow", "ABAC", "Webhook"})  # of the last two a policy may allow it
_NODES = b"system:nodes"  # the group of all kubelets
_CNI = b"/cni"  # of /etc/cni/net.d and /opt/cni/bin, which a plugin of the site's own fills by pods


def nodes_register(config: HostConfig) -> Iterator[Breach]:
    """Kubelets that do not register their nodes, or that the apiserver does not let."""
    if config.runs("kubelet"):
        if config.text("kubelet", "register-node") in FALSE:
            message = "the kubelet does not register its node, but its gate waits for that"
            yield Breach(config.path_of("kubelet", "register-node"), message, "leave register-node out")
        yield from _taints(config)
    if config.runs("kube-apiserver") and not _let_in(config):
        modes = ", ".join(config.items("kube-apiserver", _MODES))
        message = f"with {_MODES} {modes} the apiserver allows no kubelet to register its node"
        fix = f"{_MODES}: [Node, RBAC]; or add an early addon that binds system:node to the group system:nodes"
        yield Breach(config.path_of("kube-apiserver", _MODES), message, fix)


def _let_in(config: HostConfig) -> bool:
    modes = config.items("kube-apiserver", _MODES)
    known = config.known("kube-apiserver", _MODES).one_of
    if "Node" not in known or not modes or _OTHERS_DECIDE & {*modes}:
        return True
    bound = any(addon.early and _NODES in addon.content for addon in config.cluster.addons)
    return "RBAC" in modes and bound


def _taints(config: HostConfig) -> Iterator[Breach]:
    """The API refuses a node with a taint without an effect, or with two of one key and effect."""
    path, taints = config.path_of("kubelet", _TAINTS), config.items("kubelet", _TAINTS)
    bare = [taint for taint in taints if ":" not in taint]
    if bare:
        message = f"the taint {bare[0]} has no effect, and the API rejects a node with it"
        yield Breach(path, message, f"{bare[0]}:NoSchedule, :PreferNoSchedule or :NoExecute")
    pairs = Counter((re.split("[=:]", taint)[0], taint.rpartition(":")[2]) for taint in taints if ":" in taint)
    for (key, effect), times in pairs.items():
        if times > 1:
            message = f"two taints have the key {key} and the effect {effect}, and the API rejects a node with both"
            yield Breach(path, message, "keep one of them")


def network_plugin(config: HostConfig) -> Iterator[Breach]:
    """A network plugin of the kubelet that nothing sets up, where docker gives pods their addresses."""
    network, plugin = config.cluster.network, config.text("kubelet", "network-plugin")
    brought = any(addon.early and _CNI in addon.content for addon in config.cluster.addons)
    if config.runs("kubelet") and plugin and network != "none" and not brought:
        message = f"the kubelet's network-plugin is {plugin}, but with network: {network} docker assigns pod addresses"
        yield Breach(config.path_of("kubelet", "network-plugin"), message)
