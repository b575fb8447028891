"""Flags of one program beside each other: what is refused, and in what words. tests/contract asks the programs."""

from __future__ import annotations

import pytest

from k8s_installer import profiles
from k8s_installer.desired.check import check
from tests.unit.clusters import cluster

MODES = {"1.20.2": "tls", "1.9.4": "tls", "1.5.2": "tls"}


def complaints(component: str, said: str, version: str = "1.20.2") -> list[str]:
    lab = cluster(version, MODES[version], more=f"components: {{{component}: {{{said}}}}}\n")
    return [str(one).removeprefix("/srv/lab/inventory.yaml:6: ") for one in check(lab, profiles.profile_of(lab))]


@pytest.mark.parametrize(
    ("component", "said", "words"),
    [
        ("etcd", "args: {election-timeout: 499}", "etcd: election-timeout is 499, and must be at least 5 times heartbeat-interval (100)"),
        ("kube-apiserver", "args: {enable-admission-plugins: null, admission-control: A, disable-admission-plugins: B}", "exclude each other [flag-excludes] (keep one of them)"),
        ("kube-apiserver", "args: {authorization-mode: [Node, RBAC, ABAC]}", "kube-apiserver: authorization-mode ABAC needs authorization-policy-file [flag-needs] (set authorization-policy-file, or leave ABAC out)"),
        ("kube-apiserver", "args: {authorization-mode: 'Node,Webhook'}", "kube-apiserver: authorization-mode Webhook needs authorization-webhook-config-file"),
        ("kube-apiserver", "args: {authorization-policy-file: /srv/policy}", "authorization-policy-file needs authorization-mode ABAC [flag-needs] (set authorization-mode: ABAC, or leave authorization-policy-file out)"),
        ("kube-apiserver", "args: {authorization-mode: [Node, RBAC, RBAC]}", "kube-apiserver: authorization-mode has RBAC twice [flag-repeats]"),
        ("kube-apiserver", "args: {oidc-issuer-url: 'https://id.example.com'}", "kube-apiserver: oidc-issuer-url needs oidc-client-id [flag-needs]"),
        ("kube-apiserver", "args: {oidc-client-id: a}", "kube-apiserver: oidc-client-id needs oidc-issuer-url [flag-needs]"),
        ("kube-apiserver", "args: {oidc-issuer-url: 'http://a', oidc-client-id: b}", '"http://a" is not an address that starts with https:// (such as https://id.example.com)'),
        ("kube-apiserver", "args: {tls-private-key-file: null}", "kube-apiserver: tls-cert-file needs tls-private-key-file [flag-needs]"),
        ("kube-apiserver", "args: {enable-admission-plugins: [EventRateLimit]}", "enable-admission-plugins EventRateLimit needs admission-control-config-file"),
        ("kube-apiserver", "args: {audit-log-path: /srv/log, audit-log-mode: batch, audit-log-batch-max-size: 0}", "audit-log-batch-max-size 0 needs audit-log-mode blocking or blocking-strict or audit-log-path to be empty"),
        ("kube-apiserver", "args: {insecure-port: 8080}", "kube-apiserver: insecure-port: 8080 is too large (at most 0)"),
        ("kube-apiserver", "args: {port: 8080}", "kube-apiserver: port: 8080 is too large (at most 0)"),
        ("kube-apiserver", "args: {audit-log-truncate-max-batch-size: 5}", "must be at least audit-log-truncate-max-event-size (102400)"),
        ("kubelet", "config: {imageGCHighThresholdPercent: 80}", "kubelet: imageGCHighThresholdPercent is 80, and must be more than image-gc-low-threshold (80)"),
        ("kubelet", "args: {image-gc-low-threshold: 90}", "kubelet: image-gc-high-threshold is 85, and must be more than image-gc-low-threshold (90)"),
        ("kubelet", "config: {enforceNodeAllocatable: [pods, kube-reserved]}", "kubelet: enforceNodeAllocatable kube-reserved needs kube-reserved-cgroup [flag-needs]"),
        ("kubelet", "config: {cgroupsPerQOS: false}", "kubelet: cgroupsPerQOS false needs enforce-node-allocatable to be empty [flag-needs] (empty enforce-node-allocatable, or leave false out)"),
        ("kubelet", "config: {cpuCFSQuotaPeriod: 10ms}", "needs feature-gates CustomCPUCFSQuotaPeriod=true"),
        ("kubelet", "config: {shutdownGracePeriodCriticalPods: 5s, featureGates: {GracefulNodeShutdown: true}, shutdownGracePeriod: 2s}", "kubelet: shutdownGracePeriod is 2s, and must be at least shutdownGracePeriodCriticalPods (5s)"),
        ("kubelet", "config: {reservedSystemCPUs: '0', systemReservedCgroup: /a}", "kubelet: reservedSystemCPUs and systemReservedCgroup exclude each other [flag-excludes] (keep one of them)"),
        ("kubelet", "config: {evictionSoft: {memory.available: 300Mi}, evictionSoftGracePeriod: {nodefs.available: 30s}}", "kubelet: evictionSoft has memory.available, but evictionSoftGracePeriod does not [flag-needs] (add memory.available to evictionSoftGracePeriod)"),
        ("kubelet", "config: {cpuManagerPolicy: static, kubeReserved: {memory: 1Gi}}", "kubelet: cpuManagerPolicy static needs reserved-cpus or kubeReserved cpu or system-reserved cpu or feature-gates CPUManager=false [flag-needs] (set reserved-cpus, or leave static out)"),
        ("kubelet", "args: {topology-manager-policy: best-effort, feature-gates: TopologyManager=f}", "kubelet: topology-manager-policy best-effort needs feature-gates without TopologyManager=false [flag-needs] (remove TopologyManager=false from feature-gates, or leave best-effort out)"),
        ("kubelet", "config: {serverTLSBootstrap: true, featureGates: {RotateKubeletServerCertificate: false}}", "needs featureGates without RotateKubeletServerCertificate=false"),
        ("kubelet", "args: {cpu-cfs-quota-period: 2s, feature-gates: CustomCPUCFSQuotaPeriod=true}", "2s is too large (at most 1s)"),
        ("kube-scheduler", "args: {leader-elect-lease-duration: 10s}", "kube-scheduler: leader-elect-lease-duration is 10s, and must be more than leader-elect-renew-deadline (10s)"),
        ("kube-controller-manager", "args: {leader-elect-retry-period: 8500ms}", "leader-elect-renew-deadline is 10s, and must be more than 1.2 times leader-elect-retry-period (8500ms)"),
        ("kube-proxy", "args: {iptables-min-sync-period: 1m}", "kube-proxy: iptables-sync-period is 30s, and must be at least iptables-min-sync-period (1m)"),
        ("docker", "args: {log-driver: journald}", "docker: log-opt max-size=50m needs log-driver json-file or local or none [flag-needs] (set log-driver: json-file, or log-opt: null)"),
        ("docker", "args: {storage-opt: [dm.basesize=20G]}", "docker: storage-opt dm.basesize=20G needs storage-driver devicemapper [flag-needs] (set storage-driver: devicemapper, or leave dm.basesize=20G out)"),
        ("docker", "args: {storage-driver: null, storage-opt: overlay2.size=1G}", "needs storage-driver overlay2"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together_are_refused(component: str, said: str, words: str) -> None:
    assert any(words in one for one in complaints(component, said)), complaints(component, said)


@pytest.mark.parametrize(
    ("component", "said", "version"),
    [
        ("etcd", "args: {heartbeat-interval: 200, election-timeout: 1000}", "1.20.2"),
        ("kube-apiserver", "args: {enable-admission-plugins: null, admission-control: [NodeRestriction]}", "1.20.2"),
        ("kube-apiserver", "args: {insecure-port: 0}", "1.20.2"),
        ("kube-apiserver", "args: {audit-log-path: /srv/log, audit-log-batch-max-size: 0}", "1.20.2"),
        ("kube-apiserver", "args: {audit-webhook-batch-max-size: 0}", "1.20.2"),
        ("kube-apiserver", "args: {tls-cert-file: null, tls-private-key-file: null}", "1.20.2"),
        ("kube-apiserver", "args: {authorization-mode: [Node, ABAC], authorization-policy-file: /srv/policy}", "1.20.2"),
        ("kube-apiserver", "args: {oidc-issuer-url: 'https://id.example.com', oidc-client-id: a}", "1.20.2"),
        ("kubelet", "config: {imageGCHighThresholdPercent: 81}", "1.20.2"),
        ("kubelet", "config: {imageGCHighThresholdPercent: 75, imageGCLowThresholdPercent: 70}", "1.20.2"),
        ("kubelet", "args: {image-gc-high-threshold: 80}", "1.9.4"),
        ("kubelet", "config: {enforceNodeAllocatable: [kube-reserved], kubeReservedCgroup: /kube}", "1.20.2"),
        ("kubelet", "config: {cgroupsPerQOS: false, enforceNodeAllocatable: []}", "1.20.2"),
        ("kubelet", "args: {cgroups-per-qos: false, enforce-node-allocatable: ''}", "1.20.2"),
        ("kubelet", "config: {cpuCFSQuotaPeriod: 10ms, featureGates: {CustomCPUCFSQuotaPeriod: true}}", "1.20.2"),
        ("kubelet", "args: {cpu-cfs-quota-period: 10ms, feature-gates: 'CustomCPUCFSQuotaPeriod=T'}", "1.20.2"),
        ("kubelet", "args: {cpu-cfs-quota-period: 0.1s}", "1.20.2"),
        ("kubelet", "config: {cpuCFSQuotaPeriod: 100ms, shutdownGracePeriod: 0s, shutdownGracePeriodCriticalPods: 0s}", "1.20.2"),
        ("kubelet", "config: {evictionSoft: {memory.available: 300Mi}, evictionSoftGracePeriod: {memory.available: 30s}}", "1.20.2"),
        ("kubelet", "args: {eviction-soft: 'memory.available<300Mi', eviction-soft-grace-period: memory.available=30s}", "1.20.2"),
        ("kubelet", "config: {cpuManagerPolicy: static, kubeReserved: {cpu: 500m}}", "1.20.2"),
        ("kubelet", "args: {cpu-manager-policy: static, reserved-cpus: '0'}", "1.20.2"),
        ("kubelet", "args: {topology-manager-policy: none, feature-gates: TopologyManager=false}", "1.20.2"),
        ("kubelet", "config: {shutdownGracePeriod: 10s, featureGates: {GracefulNodeShutdown: true}}", "1.20.2"),
        ("kube-scheduler", "args: {leader-elect-lease-duration: 30s, leader-elect-renew-deadline: 20s}", "1.20.2"),
        ("kube-proxy", "args: {proxy-mode: ipvs, feature-gates: SupportIPVSProxyMode=true}", "1.9.4"),
        ("kube-proxy", "args: {proxy-mode: ipvs}", "1.20.2"),
        ("docker", "args: {log-driver: journald, log-opt: null}", "1.20.2"),
        ("docker", "args: {log-driver: none}", "1.20.2"),
        ("docker", "args: {log-driver: journald, log-opt: [tag=x, 'labels=a,b']}", "1.5.2"),
        ("docker", "args: {log-driver: local, log-opt: [max-size=1m]}", "1.20.2"),
        ("docker", "args: {storage-driver: devicemapper, storage-opt: [dm.basesize=20G]}", "1.20.2"),
    ],
)  # fmt: skip
def test_flags_that_go_together_are_accepted(component: str, said: str, version: str) -> None:
    assert complaints(component, said, version) == []


@pytest.mark.parametrize(
    ("version", "component", "said", "words"),
    [
        ("1.9.4", "kubelet", "feature-gates: TopologyManager=true", 'there is no "TopologyManager" here'),
        ("1.5.2", "kube-proxy", "feature-gates: SupportIPVSProxyMode=true", 'there is no "SupportIPVSProxyMode" here'),
        ("1.5.2", "kubelet", "feature-gates: AppArmour=true", "did you mean AppArmor?"),
        ("1.9.4", "kube-apiserver", "admission-control: [NodeRestriction, NodeRestricton]", "did you mean NodeRestriction?"),
        ("1.5.2", "kube-apiserver", "admission-control: [NodeRestriction]", 'there is no "NodeRestriction" here'),
        ("1.9.4", "kube-scheduler", "leader-elect-renew-deadline: 15s", "must be more than leader-elect-renew-deadline (15s)"),
        ("1.5.2", "kube-apiserver", "authorization-mode: Webhook, authorization-policy-file: null", "needs authorization-webhook-config-file"),
        ("1.20.2", "kubelet", "node-labels: ['disk=-ssd']", '"disk=-ssd" is not a label'),
        ("1.20.2", "kubelet", "node-labels: ['Example.com/disk=ssd']", "is not a label"),
        ("1.9.4", "kubelet", "node-labels: 'disk=a:b'", '"disk=a:b" is not a label (such as example.com/disk=ssd)'),
        ("1.5.2", "kubelet", f"node-labels: 'disk={'a' * 64}'", "is not a label"),
        ("1.20.2", "docker", "log-opt: 'max-size=1m,max-file=3'", "is not one option with its value (such as max-size=50m; several are a list)"),
        ("1.20.2", "docker", "log-opt: 'a,b'", "is not one option with its value"),
    ],
)  # fmt: skip
def test_names_that_a_version_does_not_know_are_refused(version: str, component: str, said: str, words: str) -> None:
    found = complaints(component, f"args: {{{said}}}", version)
    assert any(words in one for one in found), found
