"""What settings of several components must agree on: each rule kept, each rule broken, and what is followed instead."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from k8s_installer import profiles
from k8s_installer.desired import Desired, check, desire
from k8s_installer.desired.agreements import AGREEMENTS
from k8s_installer.desired.ports import read_range
from k8s_installer.inventory import Addon, Cluster
from k8s_installer.model.resources import File, Kind, Package, Ref, Unit
from k8s_installer.preflight import assess, needs, script
from k8s_installer.preflight.model import Disk
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster, placeholder
from tests.unit.test_preflight import fit

DOCS = Path(__file__).parents[2] / "docs" / "agreements.md"
HOSTS = """
  m1: {{address: 10.77.0.11, roles: [etcd, master]}}
  n1: {{address: 10.77.0.21, roles: [node]{}}}
  n2: {{address: 10.77.0.22, roles: [node]}}
"""
LISTED = "[NamespaceLifecycle, NamespaceExists, LimitRanger, SecurityContextDeny, ServiceAccount, ResourceQuota]"


def lab(components: str = "", *, on_n1: str = "", mode: tuple[str, str] = ("1.20.2", "tls"), network: str = "routes", more: str = "") -> Cluster:  # fmt: skip
    text = f"components:\n{components}" if components else ""
    return cluster(*mode, HOSTS.format(f", {on_n1}" if on_n1 else ""), network=network, more=text + more)


def complaints(made: Cluster) -> list[str]:
    found = check(made, profiles.profile_of(made))
    return [str(finding).removeprefix("/srv/lab/inventory.yaml:") for finding in found]


def wanted(made: Cluster) -> Desired:
    return desire(made, profiles.profile_of(made), placeholder(made), Renderer())


def settings(made: Cluster, family: str) -> set[str]:
    return {
        ref.name.split()[1] for ref in wanted(made) if ref.kind is Kind.SETTING and ref.name.startswith(f"{family} ")
    }


BROKEN: list[tuple[str, Cluster, list[str]]] = [
    ("cgroup-driver", lab("  kubelet: {config: {cgroupDriver: cgroupfs}}\n"),
     ["7: docker's cgroup driver is systemd, the kubelet's cgroupfs [cgroup-driver] (host_settings: {cgroup_driver: ...} sets both)"]),
    ("cgroup-driver", lab(on_n1="components: {docker: {args: {exec-opt: [native.cgroupdriver=cgroupfs]}}}"),
     ["4: host n1: exec-opt native.cgroupdriver=cgroupfs has no effect: the unit of CentOS 7's docker passes systemd before it [cgroup-driver] (host_settings: {cgroup_driver: cgroupfs} sets docker's and the kubelet's)"]),
    ("cgroup-driver", lab("  kubelet: {config: {cgroupDriver: cgroupfs}}\n  docker: {args: {exec-opt: [native.cgroupdriver=cgroupfs]}}\n"),
     ["8: exec-opt native.cgroupdriver=cgroupfs has no effect: the unit of CentOS 7's docker passes systemd before it [cgroup-driver] (host_settings: {cgroup_driver: cgroupfs} sets docker's and the kubelet's)"]),
    ("cgroup-driver", lab("  docker: {args: {exec-opt: native.cgroupdriver=systemd}}\n", more="host_settings: {cgroup_driver: cgroupfs}\n"),
     ["7: docker's cgroup driver is systemd, the kubelet's cgroupfs [cgroup-driver] (host_settings: {cgroup_driver: ...} sets both)"]),
    ("cgroup-driver", lab("  kubelet: {config: {cgroupDriver: null}}\n"),
     ["7: docker's cgroup driver is systemd, the kubelet's cgroupfs [cgroup-driver] (host_settings: {cgroup_driver: ...} sets both)"]),
    ("cgroup-driver", lab("  docker: {args: {exec-opt: a=b}}\n", mode=("1.5.2", "insecure")),
     ["7: exec-opt has no native.cgroupdriver: docker chooses one itself [cgroup-driver] (host_settings: {cgroup_driver: ...} sets both)"]),
    ("cgroup-driver", lab("  kubelet: {args: {cgroup-driver: null}}\n", mode=("1.5.2", "tls")),
     ["7: docker's cgroup driver is systemd, the kubelet's cgroupfs [cgroup-driver] (host_settings: {cgroup_driver: ...} sets both)"]),
    ("service-account-keys", lab(f"  kube-apiserver: {{args: {{admission-control: {LISTED}}}}}\n", mode=("1.5.2", "insecure")),
     ["7: the admission plugin ServiceAccount is on, and kube-apiserver has no service-account-key-file and kube-controller-manager has no service-account-private-key-file: no pods are created [service-account-keys] (use security: tls, which has the keys; or leave the plugin out)"]),
    ("service-account-keys", lab("  kube-controller-manager: {args: {service-account-private-key-file: null}}\n"),
     ["7: the admission plugin ServiceAccount is on, and kube-controller-manager has no service-account-private-key-file: no pods are created [service-account-keys] (use security: tls, which has the keys; or leave the plugin out)"]),
    ("node-labels", lab(on_n1="components: {kubelet: {args: {node-labels: [node-role.kubernetes.io/worker=true, disktype=ssd]}}}"),
     ['4: host n1: a kubelet does not start with the label node-role.kubernetes.io/worker [node-labels] (leave it out here; `labels: {node-role.kubernetes.io/worker: "true"}` of host n1 sets it through the API)']),
    ("dns-node", replace(lab("  kubelet: {args: {register-with-taints: 'a=b:NoSchedule'}}\n"), dns="coredns"),
     ["1: every node has a taint that the coredns pods do not tolerate, or is not schedulable [dns-node] (leave one node without register-with-taints)"]),
    ("pods-per-node", lab(on_n1="components: {kubelet: {config: {maxPods: 500}}}"),
     ["4: host n1: 500 pods, but a /24 has 253 addresses [pods-per-node] (max-pods: 253, or a pod_subnet of at least a /23)"]),
    ("pods-per-node", lab(on_n1="pod_subnet: 10.244.9.0/26"),
     ["4: host n1: 110 pods, but a /26 has 61 addresses [pods-per-node] (max-pods: 61, or a pod_subnet of at least a /25)"]),
    ("pods-per-node", lab("  kubelet: {args: {max-pods: 254}}\n", mode=("1.5.2", "tls"), network="flannel"),
     ["7: 254 pods, but a /24 has 253 addresses [pods-per-node] (max-pods: 253)"]),
    ("docker-bridge", lab("  docker: {args: {bip: 10.244.7.1/24}}\n"),
     ["7: docker's bip is set by network: routes [docker-bridge] (leave it out; set pod_subnet of the host instead)"]),
    ("docker-bridge", lab("  docker: {args: {fixed-cidr: 10.244.7.0/25}}\n", network="flannel"),
     ["7: docker's fixed-cidr is set by network: flannel [docker-bridge] (leave it out; flannel assigns docker's subnet)"]),
    ("cluster-keys", lab("  kube-apiserver: {args: {service-cluster-ip-range: 10.96.0.0/12}}\n"),
     ["7: kube-apiserver: service-cluster-ip-range is 10.96.0.0/12, but cluster.service_cidr is 10.254.0.0/16 [cluster-keys] (change cluster.service_cidr: certificates, routes and flags are derived from it)"]),
    ("cluster-keys", lab(on_n1="components: {kubelet: {config: {clusterDomain: example.com}}}"),
     ["4: host n1: kubelet: clusterDomain is example.com, but cluster.dns_domain is cluster.local [cluster-keys] (change cluster.dns_domain: certificates, routes and flags are derived from it)"]),
    ("node-ports", lab("  kube-apiserver: {args: {service-node-port-range: 10000-11000}}\n"),
     ["7: service-node-port-range 10000-11000 includes ports on which nodes' programs listen: 10248 (kubelet), 10249 (kube-proxy), 10250 (kubelet), 10256 (kube-proxy) [node-ports] (leave these ports out of the range)"]),
    ("node-ports", lab("  kube-apiserver: {args: {service-node-port-range: 4000-5000}}\n", mode=("1.5.2", "insecure")),
     ["7: service-node-port-range 4000-5000 includes ports on which nodes' programs listen: 4194 (kubelet) [node-ports] (leave these ports out of the range)"]),
    ("node-ports", cluster(topology="all-in-one", more="components: {kube-apiserver: {args: {service-node-port-range: 2000-2400}}}\n"),
     ["4: service-node-port-range 2000-2400 includes ports on which nodes' programs listen: 2379 (etcd), 2380 (etcd) [node-ports] (leave these ports out of the range)"]),
    ("node-ports", lab(on_n1="components: {kubelet: {config: {port: 31000}}}"),
     ["4: host n1: the kubelet's port 31000 is in the NodePort range, 30000-32767 [node-ports] (choose a port outside the range)"]),
    ("node-ports", lab(on_n1="components: {kube-proxy: {args: {metrics-bind-address: '0.0.0.0:31000'}}}"),
     ["3: host m1: service-node-port-range 30000-32767 includes ports on which nodes' programs listen: 31000 (kube-proxy) [node-ports] (leave these ports out of the range)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: data/etcd}}\n"),
     ["7: etcd's data-dir must be an absolute path, not data/etcd [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {wal-dir: /data/../etc}}\n"),
     ["7: etcd's wal-dir must be an absolute path, not /data/../etc [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: /var/lib/}}\n"),
     ["7: etcd's data-dir /var/lib/ belongs to the system, and etcd would take it over [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: null}}\n"),
     ["7: etcd's data-dir must be set: without it etcd would start empty, in a default folder [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: /etc/kubernetes/pki}}\n"),
     ["7: etcd's data-dir /etc/kubernetes/pki belongs to the system, and etcd would take it over [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: /var/lib/docker/etcd}}\n"),
     ["7: etcd's data-dir /var/lib/docker/etcd belongs to docker, and etcd would take it over [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", cluster(topology="all-in-one", more="components: {docker: {args: {data-root: /data/docker}}, etcd: {args: {data-dir: /data/docker/etcd}}}\n"),
     ["4: etcd's data-dir /data/docker/etcd belongs to docker, and etcd would take it over [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: /var/lib/etcd/flannel.etcd}}\n", network="flannel"),
     ["7: etcd's data-dir /var/lib/etcd/flannel.etcd belongs to flannel-etcd, and etcd would take it over [etcd-folders] (use a folder such as /srv/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {wal-dir: /srv/wal}}\n"),
     ["7: etcd creates its wal-dir itself and would take over /srv, which belongs to the system [etcd-folders] (use /srv/wal/wal)"]),
    ("etcd-folders", lab("  etcd: {args: {data-dir: /data/etcd, wal-dir: /data}}\n"),
     ["7: etcd's wal-dir /data contains its data-dir, but must be empty when etcd first starts [etcd-folders] (leave it out, and the log is in /data/etcd/member/wal; or use a separate folder such as /wal/etcd)"]),
    ("etcd-folders", lab("  etcd: {args: {wal-dir: /var/lib/etcd/default.etcd/member/}}\n"),
     ["7: etcd's wal-dir /var/lib/etcd/default.etcd/member is a folder for etcd's data, but must contain only the log [etcd-folders] (leave it out, and the log is in /var/lib/etcd/default.etcd/member/wal; or use a separate folder such as /wal/etcd)"]),
    ("etcd-cluster", lab("  etcd: {args: {force-new-cluster: 'T'}}\n"),
     ["7: etcd's force-new-cluster splits every member into its own cluster at each start: writes are lost [etcd-cluster] (leave it out; docs/etcd.md says what to do without a quorum)"]),
    ("etcd-cluster", lab("  etcd: {args: {proxy: readonly}}\n", mode=("1.5.2", "insecure")),
     ["7: etcd's proxy readonly does not make the host a member: it stores nothing and has no vote [etcd-cluster] (leave it out, or remove the role etcd from the host)"]),
    ("nodes-register", lab(on_n1="components: {kubelet: {args: {register-node: 'F'}}}"),
     ["4: host n1: the kubelet does not register its node, but its gate waits for that [nodes-register] (leave register-node out)"]),
    ("nodes-register", lab("  kubelet: {args: {register-with-taints: ab}}\n", mode=("1.9.4", "tls")),
     ["7: the taint ab has no effect, and the API rejects a node with it [nodes-register] (ab:NoSchedule, :PreferNoSchedule or :NoExecute)"]),
    ("nodes-register", lab("  kubelet: {args: {register-with-taints: ['a=b:NoSchedule', 'a=c:NoSchedule', 'a=d:NoExecute']}}\n"),
     ["7: two taints have the key a and the effect NoSchedule, and the API rejects a node with both [nodes-register] (keep one of them)"]),
    ("nodes-register", lab("  kube-apiserver: {args: {authorization-mode: RBAC}}\n"),
     ["7: with authorization-mode RBAC the apiserver allows no kubelet to register its node [nodes-register] (authorization-mode: [Node, RBAC]; or add an early addon that binds system:node to the group system:nodes)"]),
    ("network-plugin", lab("  kubelet: {args: {network-plugin: cni}}\n"),
     ["7: the kubelet's network-plugin is cni, but with network: routes docker assigns pod addresses [network-plugin] (use cluster: {network: none} and a CNI plugin in addons/early, or leave network-plugin out)"]),
    ("ports-taken", lab("  etcd: {args: {listen-metrics-urls: 'http://10.77.0.11:2380'}}\n"),
     ["7: etcd: listen-metrics-urls uses port 2380, on which etcd listens [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  etcd: {args: {listen-metrics-urls: ['http://127.0.0.1:2381', 'http://10.77.0.11:6443']}}\n"),
     ["7: etcd: listen-metrics-urls uses port 6443, on which kube-apiserver listens [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  kube-controller-manager: {args: {port: 10257}}\n"),
     ["7: kube-controller-manager: port uses port 10257, as does secure-port [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  kube-controller-manager: {args: {port: 6443}}\n"),
     ["7: kube-controller-manager: port uses port 6443, on which kube-apiserver listens [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  kubelet: {args: {port: 10256}}\n"),
     ["7: kubelet: port uses port 10256, on which kube-proxy listens [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  kubelet: {config: {readOnlyPort: 10250}}\n"),
     ["7: kubelet: readOnlyPort uses port 10250, as does port [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab(on_n1="components: {kube-proxy: {args: {metrics-bind-address: '0.0.0.0:10250'}}}"),
     ["4: host n1: kube-proxy: metrics-bind-address uses port 10250, on which kubelet listens [ports-taken] (choose another port for one of them)"]),
    ("ports-taken", lab("  kubelet: {args: {read-only-port: 10250}}\n", mode=("1.5.2", "insecure")),
     ["7: kubelet: read-only-port uses port 10250, as does port [ports-taken] (choose another port for one of them)"]),
    ("docker-bridge", lab("  docker: {args: {bip: null}}\n"),
     ["7: docker's bip is set by network: routes [docker-bridge] (leave it out; set pod_subnet of the host instead)"]),
    ("pods-per-node", lab(on_n1="components: {kubelet: {args: {max-pods: '0x200'}}}"),
     ["4: host n1: 512 pods, but a /24 has 253 addresses [pods-per-node] (max-pods: 253, or a pod_subnet of at least a /22)"]),
    ("flag-required", lab("  kube-apiserver: {args: {service-account-issuer: null}}\n"),
     ["7: kube-apiserver: service-account-issuer must be set [flag-required] (remove its null)"]),
    ("flag-needs", lab("  kube-proxy: {args: {proxy-mode: ipvs}}\n", mode=("1.9.4", "tls")),
     ["7: kube-proxy: proxy-mode ipvs needs feature-gates SupportIPVSProxyMode=true [flag-needs] (set feature-gates: SupportIPVSProxyMode=true, or leave ipvs out)"]),
    ("flag-excludes", lab("  kube-apiserver: {args: {admission-control: [NodeRestriction]}}\n"),
     ["7: kube-apiserver: admission-control and enable-admission-plugins exclude each other [flag-excludes] (set enable-admission-plugins: null)"]),
    ("flag-order", lab("  etcd: {args: {heartbeat-interval: 250}}\n"),
     ["7: etcd: election-timeout is 1000, and must be at least 5 times heartbeat-interval (250) [flag-order] (raise election-timeout, or lower heartbeat-interval)"]),
    ("flag-repeats", lab("  kube-apiserver: {args: {disable-admission-plugins: NodeRestriction}}\n"),
     ["7: kube-apiserver: enable-admission-plugins and disable-admission-plugins both have NodeRestriction [flag-repeats] (remove it from one of them)"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "made", "words"), BROKEN)
def test_what_does_not_agree_is_refused_with_its_rule_its_line_and_what_to_do(
    rule: str, made: Cluster, words: list[str]
) -> None:
    assert complaints(made) == words
    assert f"[{rule}]" in words[0]


@pytest.mark.parametrize(
    ("version", "component", "flag", "value"),
    [
        ("1.20.2", "kube-controller-manager", "leader-elect-resource-lock", "endpoints"),
        ("1.20.2", "kube-controller-manager", "leader-elect-resource-name", "x"),
        ("1.20.2", "kube-scheduler", "leader-elect-resource-namespace", "x"),
        ("1.20.2", "kube-scheduler", "lock-object-name", "x"),
        ("1.9.4", "kube-scheduler", "leader-elect-resource-lock", "configmaps"),
        ("1.9.4", "kube-scheduler", "lock-object-namespace", "x"),
        ("1.20.2", "kube-scheduler", "config", "/etc/x.yaml"),
        ("1.9.4", "kube-scheduler", "config", "/etc/x.yaml"),
        ("1.5.2", "kubelet", "api-servers", "http://x:8080"),
        *((version, one, "master", "http://x:8080") for version in ("1.5.2", "1.9.4", "1.20.2")
          for one in ("kubernetes", "kube-controller-manager", "kube-scheduler", "kube-proxy")),
        *((version, one, "kubeconfig", "/etc/x") for version in ("1.5.2", "1.9.4", "1.20.2")
          for one in ("kube-controller-manager", "kube-scheduler")),
    ],
)  # fmt: skip
def test_what_gates_ask_for_and_what_replaces_the_rendered_is_fixed(
    version: str, component: str, flag: str, value: str
) -> None:
    found = complaints(lab(f"  {component}: {{args: {{{flag}: '{value}'}}}}\n", mode=(version, "tls")))
    assert found == [
        f"7: {component}: {flag} cannot be changed yet: gates, kubeconfigs and other programs depend on it"
    ]


def test_every_rule_is_seen_broken() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(AGREEMENTS)


@pytest.mark.parametrize(
    "made",
    [
        lab(),
        lab(mode=("1.9.4", "tls")),
        lab(mode=("1.5.2", "insecure")),
        lab("  kubelet: {config: {cgroupDriver: cgroupfs}}\n  docker: {args: {exec-opt: [native.cgroupdriver=cgroupfs, a=b]}}\n", more="host_settings: {cgroup_driver: cgroupfs}\n"),
        lab("  docker: {args: {exec-opt: native.cgroupdriver=systemd}}\n  kubelet: {args: {cgroup-driver: null}}\n"),
        lab("  kubelet: {config: {cgroupDriver: null}}\n", more="host_settings: {cgroup_driver: cgroupfs}\n"),
        lab(more="host_settings: {cgroup_driver: cgroupfs}\n"),
        lab(f"  kube-apiserver: {{args: {{admission-control: {LISTED}, service-account-key-file: /srv/sa.pub}}}}\n  kube-controller-manager: {{args: {{service-account-private-key-file: /srv/sa.key}}}}\n", mode=("1.5.2", "insecure")),
        lab("  kube-apiserver: {args: {disable-admission-plugins: 'ServiceAccount,PodSecurityPolicy'}}\n  kube-controller-manager: {args: {service-account-private-key-file: null}}\n"),
        lab("  kubelet: {args: {node-labels: 'node-role.kubernetes.io/worker=true'}}\n", mode=("1.9.4", "tls")),
        lab("  kubelet: {args: {node-labels: ['topology.kubernetes.io/zone=a', 'x.node.kubernetes.io/b=c', 'example.com/d=e', f=g]}}\n"),
        lab(on_n1="pod_subnet: 10.244.64.0/23, components: {kubelet: {config: {maxPods: 500}}}"),
        lab(on_n1="pod_subnet: 10.244.9.0/26, components: {kubelet: {config: {maxPods: 61}}}"),
        lab("  kubelet: {config: {maxPods: 500}}\n", network="none"),
        lab("  docker: {args: {bip: 172.18.0.1/16}}\n", network="none"),
        lab("  kube-proxy: {args: {cluster-cidr: 10.244.0.0/16}}\n"),
        lab("  kube-apiserver: {args: {service-node-port-range: 20000+10000}}\n"),
        lab("  kubelet: {args: {register-with-taints: 'a=b:NoSchedule'}}\n"),
        replace(lab("  kubelet: {args: {register-with-taints: 'a=b:PreferNoSchedule'}}\n"), dns="coredns"),
        replace(lab("  kubelet: {args: {register-with-taints: ['CriticalAddonsOnly=true:NoSchedule', 'a:PreferNoSchedule']}}\n"), dns="coredns"),
        lab("  kube-apiserver: {args: {service-node-port-range: 2000-10000}}\n"),
        lab("  kubelet: {config: {port: 33000}}\n"),
        replace(lab(on_n1="components: {kubelet: {args: {register-schedulable: false}}}", mode=("1.5.2", "tls")), dns="kube-dns"),
        lab("  etcd: {args: {data-dir: /srv/etcd-1/a_b, wal-dir: /wal/50%}}\n"),
        lab("  etcd: {args: {data-dir: /var/lib/etcd, wal-dir: /var/lib/etcd/wal}}\n"),
        lab("  etcd: {args: {data-dir: /var/lib/etcd2}}\n"),
        lab("  kubelet: {args: {network-plugin: cni}}\n", network="none"),
        replace(lab("  kubelet: {args: {network-plugin: cni}}\n"), addons=(Addon("cni.yaml", b"path: /etc/cni/net.d", early=True),)),
        lab("  kube-apiserver: {args: {authorization-mode: [RBAC, Node]}}\n"),
        replace(lab("  kube-apiserver: {args: {authorization-mode: RBAC}}\n"), addons=(Addon("nodes.yaml", b"name: system:nodes", early=True),)),
        lab("  kubelet: {args: {register-with-taints: ['a=b:NoSchedule', 'a=b:NoExecute', 'ab:NoSchedule']}}\n"),
        lab("  kube-controller-manager: {args: {leader-elect-resource-lock: leases}}\n"),
        lab("  etcd: {args: {listen-metrics-urls: 'http://127.0.0.1:2381'}}\n"),
        lab("  kubelet: {args: {port: 8472}}\n", network="flannel"),  # flannel's is UDP
        lab("  kubelet: {args: {port: 6443}}\n"),  # the apiserver is on another host
        lab("  kube-proxy: {args: {metrics-port: 10249}}\n"),
        lab("  kube-scheduler: {args: {port: 10251}}\n  kube-controller-manager: {args: {port: 10252}}\n"),
        lab("  etcd: {args: {force-new-cluster: false, proxy: 'off'}}\n"),
        lab("  kube-proxy: {args: {proxy-mode: ipvs}}\n"),
    ],
)  # fmt: skip
def test_what_agrees_is_no_finding(made: Cluster) -> None:
    assert complaints(made) == []


def test_masters_that_hand_out_different_node_ports_do_not_agree() -> None:
    hosts = """
  m1: {address: 10.77.0.11, roles: [etcd, master], components: {kube-apiserver: {args: {service-node-port-range: 20000-21000}}}}
  m2: {address: 10.77.0.12, roles: [master]}
  n1: {address: 10.77.0.21, roles: [node]}
"""
    assert complaints(cluster(topology=hosts)) == [
        "3: host m1: service-node-port-range differs between masters [node-ports] (set it under components, for all masters)"
    ]


def test_what_a_rule_says_of_all_hosts_is_said_once() -> None:
    nodes = "".join(f"\n  n{number}: {{address: 10.77.1.{number}, roles: [node], components: {{kubelet: {{deadline: 9}}}}}}" for number in range(1, 9))  # fmt: skip
    made = cluster(
        topology=f"\n  m1: {{address: 10.77.0.11, roles: [etcd, master]}}{nodes}\n",
        more="components: {kubelet: {config: {maxPods: 300}}}\n",
    )
    assert len(complaints(made)) == 1


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("30000-32767", (30000, 32767)), ("20000+100", (20000, 20100)), ("8080", (8080, 8080)), (" 1-2 ", (1, 2)),
        ("2-1", None), ("0-9", None), ("1-70000", None), ("a-b", None), ("", None),
    ],
)  # fmt: skip
def test_a_range_of_ports_is_read_as_the_apiserver_reads_it(text: str, ports: tuple[int, int] | None) -> None:
    assert read_range(text) == ports


def test_firewalld_opens_the_node_ports_that_there_are() -> None:
    made = lab("  kube-apiserver: {args: {service-node-port-range: 20000-20100}}\n")
    assert {"20000-20100/tcp", "20000-20100/udp"} <= settings(made, "firewalld-port")
    assert {"30000-32767/tcp", "30000-32767/udp"} <= settings(lab(), "firewalld-port")


@pytest.mark.parametrize("said", ["args: {port: 10350}", "args: {port: '0x286e'}", "config: {port: 10350}"])
def test_a_kubelets_port_is_followed_by_all_who_ask_it(said: str) -> None:
    made = lab(on_n1=f"components: {{kubelet: {{{said}}}}}")
    has = wanted(made)
    opened = {ref.host: ref.name for ref in has if ref.name.startswith("firewalld-port 10")}
    assert opened == {"n1": "firewalld-port 10350/tcp", "n2": "firewalld-port 10250/tcp"}
    asked = needs(made, profiles.profile_of(made), has)
    assert [(link.host, link.port) for link in asked["m1"].links] == [("n1", 10350), ("n2", 10250)]
    assert (asked["n1"].ports[10350], 10250 in asked["n1"].ports) == ("kubelet", False)


def test_folders_that_the_inventory_gives_etcd_are_made_and_looked_at() -> None:
    made = lab("  etcd: {args: {data-dir: /data/etcd, wal-dir: /wal/50%}}\n")
    has = wanted(made)
    path = "/etc/systemd/system/etcd.service.d/20-folders.conf"
    file, unit = has[Ref("m1", Kind.FILE, path)].resource, has[Ref("m1", Kind.UNIT, "etcd")].resource
    assert isinstance(file, File)
    assert isinstance(unit, Unit)
    # a % of a path is two in a unit file
    assert file.content.endswith(
        b"ExecStartPre=/usr/bin/install -d -o etcd -g etcd -m 0700 /data/etcd /wal /wal/50%%\n"
    )
    assert path in unit.defined_by
    asked = script(needs(made, profiles.profile_of(made), has)["m1"])
    assert "nearest /wal/50%" in asked
    assert "/var /data/etcd" not in asked
    assert " /data/etcd " in asked
    assert "/var/lib/etcd" not in asked
    assert Ref("m1", Kind.FILE, path) not in wanted(lab())


def test_a_host_that_has_data_of_etcd_elsewhere_is_told_of_that_place() -> None:
    made = lab("  etcd: {args: {data-dir: /data/etcd}}\n")
    need = needs(made, profiles.profile_of(made), wanted(made))
    answers = {name: fit(one) for name, one in need.items()}
    answers["m1"] = fit(
        need["m1"], disks={"/data/etcd": Disk("/data", 100, None)}, leftovers={"/data/etcd": ("/data/etcd/member",)}
    )
    found = [item.evidence.partition(":")[0] for item in assess(made, need, answers).findings]
    assert found == [
        "100 MiB free in /data/etcd (on /data), needs 4000",
        "/data/etcd/member, but etcd is not installed",
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, []),
        ({"old": ("/wal/etcd",)}, ["data error a log in /wal/etcd, but etcd is not installed: a member with old data rejoins its old cluster"]),
        ({"mount": ("/wal/etcd",)}, ["etcd-log error /wal/etcd is a mount point and cannot be replaced"]),
        ({"holds": ("/wal/etcd/lost+found",)}, ["etcd-log error /wal/etcd is not empty: /wal/etcd/lost+found"]),
        ({"beside": ("/wal/a", "/wal/b", "/wal/c", "/wal/d")}, ["etcd-log warning etcd would take over /wal, which has /wal/a, /wal/b, /wal/c"]),
        ({"beside": ("/wal/data",)}, []),  # on the way to the data
    ],
)  # fmt: skip
def test_what_is_in_the_way_of_etcds_first_log(found: dict[str, tuple[str, ...]], expected: list[str]) -> None:
    made = lab("  etcd: {args: {data-dir: /wal/data/etcd, wal-dir: /wal/etcd/}}\n")
    need = needs(made, profiles.profile_of(made), wanted(made))
    answers = {name: fit(one) for name, one in need.items()} | {"m1": fit(need["m1"], etcd_log=found)}
    assert [f"{one.id} {one.severity} {one.evidence}" for one in assess(made, need, answers).findings] == expected
    answers["m1"] = fit(need["m1"], bare=False, etcd_log=found)
    assert not assess(made, need, answers).findings


def test_the_folders_of_etcds_log_are_asked_for(tmp_path: Path) -> None:
    """The question itself, by a real shell; a log in the data's folder is beside etcd's own files."""
    made = lab("  etcd: {args: {data-dir: /data/etcd, wal-dir: /wal/etcd/}}\n")
    whole = script(needs(made, profiles.profile_of(made), wanted(made))["m1"])
    question = whole[whole.index("log=/wal/etcd\n") :].partition("\nfi\n")[0] + "\nfi\n"
    question = question.replace("/wal/etcd", f"{tmp_path}/wal/etcd")

    def said() -> list[str]:
        done = subprocess.run(["/bin/sh", "-c", question], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout.replace(str(tmp_path), "").splitlines()

    log = tmp_path / "wal/etcd"
    assert said() == []
    log.mkdir(parents=True)
    (log.parent / "lost+found").mkdir()
    assert said() == []
    (log.parent / "other").mkdir()
    assert said() == ["etcd-log beside /wal/other"]
    (log / "x").write_text("")
    assert said() == ["etcd-log holds /wal/etcd/x", "etcd-log beside /wal/other"]
    (log / "0-0.wal").write_text("")
    assert said() == ["etcd-log old /wal/etcd"]


def test_a_kernel_without_ipvs_is_a_finding_where_it_is_asked_for() -> None:
    made = lab(on_n1="components: {kube-proxy: {args: {proxy-mode: ipvs}}}")
    need = needs(made, profiles.profile_of(made), wanted(made))
    answers = {name: fit(one, missing_modules=frozenset({"ip_vs_rr", "ip_vs_sh"})) for name, one in need.items()}
    (found,) = assess(made, need, answers).findings
    assert (found.id, found.host, found.evidence) == ("module", "n1", "ip_vs_rr, ip_vs_sh: kube-proxy's mode ipvs")


def test_ipvs_brings_its_program_and_its_modules() -> None:
    made = lab(on_n1="components: {kube-proxy: {args: {proxy-mode: ipvs}}}")
    has = wanted(made)
    path = "/etc/systemd/system/kubernetes-network.service.d/15-ipvs.conf"
    assert [ref.host for ref in has if ref.name == path] == ["n1"]
    assert [(ref.host, item.resource) for ref, item in has.items() if ref.name == "ipset"] == [("n1", Package("ipset"))]
    network, package = has[Ref("n1", Kind.UNIT, "kubernetes-network")], Ref("n1", Kind.PACKAGE, "ipset")
    assert isinstance(network.resource, Unit)
    assert path in network.resource.defined_by
    assert package in network.after


def test_the_documentation_has_every_rule_in_order_and_in_the_same_words() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(name, rule.holds, rule.fix) for name, rule in AGREEMENTS.items()]
