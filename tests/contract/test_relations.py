"""Flags that validation refuses beside each other are refused by the real programs, and those that it accepts are taken.

Needs the programs of the lab, as tests/contract/test_values.py does.
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from k8s_installer.desired.check import check
from tests.contract.programs import FOUND, PROFILE, SERVERS, ends_well, needs_programs
from tests.unit.clusters import cluster

pytestmark = needs_programs

# By program and flag: words that are refused, and words like them that are taken.
CASES = [
    ("kube-apiserver", "admission-control", "admission-control=LimitRanger enable-admission-plugins=NodeRestriction", "admission-control=LimitRanger"),
    ("kube-apiserver", "enable-admission-plugins", "enable-admission-plugins=NodeRestriction,Priority disable-admission-plugins=Priority", "enable-admission-plugins=NodeRestriction disable-admission-plugins=Priority"),
    ("kube-apiserver", "authorization-mode", "authorization-mode=RBAC,ABAC", "authorization-mode=RBAC,ABAC authorization-policy-file=/x"),
    ("kube-apiserver", "authorization-mode", "authorization-mode=Webhook", "authorization-mode=Webhook authorization-webhook-config-file=/x"),
    ("kube-apiserver", "authorization-mode", "authorization-mode=RBAC,Node,RBAC", "authorization-mode=RBAC,Node"),
    ("kube-apiserver", "authorization-policy-file", "authorization-mode=RBAC authorization-policy-file=/x", "authorization-mode=ABAC authorization-policy-file=/x"),
    ("kube-apiserver", "authorization-webhook-config-file", "authorization-mode=RBAC authorization-webhook-config-file=/x", "authorization-mode=Webhook authorization-webhook-config-file=/x"),
    ("kube-apiserver", "oidc-issuer-url", "oidc-issuer-url=https://a", "oidc-issuer-url=https://a oidc-client-id=b"),
    ("kube-apiserver", "oidc-client-id", "oidc-client-id=b", "oidc-client-id=b oidc-issuer-url=https://a"),
    ("kube-apiserver", "audit-log-truncate-max-batch-size", "audit-log-path=- audit-log-truncate-enabled=true audit-log-truncate-max-event-size=9 audit-log-truncate-max-batch-size=8", "audit-log-path=- audit-log-truncate-enabled=true audit-log-truncate-max-event-size=9 audit-log-truncate-max-batch-size=9"),
    ("kube-apiserver", "audit-webhook-truncate-max-batch-size", "audit-webhook-config-file=/x audit-webhook-truncate-enabled=true audit-webhook-truncate-max-batch-size=9", "audit-webhook-config-file=/x audit-webhook-truncate-enabled=true audit-webhook-truncate-max-batch-size=102400"),
    ("kube-controller-manager", "cluster-signing-kube-apiserver-client-cert-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kube-apiserver-client-cert-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kube-apiserver-client-cert-file=/a cluster-signing-kube-apiserver-client-key-file=/b"),
    ("kube-controller-manager", "cluster-signing-kube-apiserver-client-key-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kube-apiserver-client-key-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kube-apiserver-client-key-file=/a cluster-signing-kube-apiserver-client-cert-file=/b"),
    ("kube-controller-manager", "cluster-signing-kubelet-client-cert-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-client-cert-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-client-cert-file=/a cluster-signing-kubelet-client-key-file=/b"),
    ("kube-controller-manager", "cluster-signing-kubelet-client-key-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-client-key-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-client-key-file=/a cluster-signing-kubelet-client-cert-file=/b"),
    ("kube-controller-manager", "cluster-signing-kubelet-serving-cert-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-serving-cert-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-serving-cert-file=/a cluster-signing-kubelet-serving-key-file=/b"),
    ("kube-controller-manager", "cluster-signing-kubelet-serving-key-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-serving-key-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-kubelet-serving-key-file=/a cluster-signing-kubelet-serving-cert-file=/b"),
    ("kube-controller-manager", "cluster-signing-legacy-unknown-cert-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-legacy-unknown-cert-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-legacy-unknown-cert-file=/a cluster-signing-legacy-unknown-key-file=/b"),
    ("kube-controller-manager", "cluster-signing-legacy-unknown-key-file", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-legacy-unknown-key-file=/a", "cluster-signing-cert-file= cluster-signing-key-file= cluster-signing-legacy-unknown-key-file=/a cluster-signing-legacy-unknown-cert-file=/b"),
    ("kube-controller-manager", "cluster-signing-kubelet-client-cert-file", "cluster-signing-cert-file=/c cluster-signing-key-file=/d cluster-signing-kubelet-client-cert-file=/a cluster-signing-kubelet-client-key-file=/b", "cluster-signing-cert-file=/c cluster-signing-key-file=/d"),
    ("kube-scheduler", "leader-elect-lease-duration", "leader-elect-lease-duration=9s", "leader-elect-lease-duration=11s"),
    ("kubelet", "image-gc-high-threshold", "image-gc-high-threshold=80", "image-gc-high-threshold=81"),
    ("kubelet", "image-gc-high-threshold", "image-gc-low-threshold=85", "image-gc-low-threshold=84"),
    ("kubelet", "enforce-node-allocatable", "enforce-node-allocatable=pods,kube-reserved", "enforce-node-allocatable=pods,kube-reserved kube-reserved-cgroup=/k"),
    ("kubelet", "enforce-node-allocatable", "enforce-node-allocatable=system-reserved", "enforce-node-allocatable=system-reserved system-reserved-cgroup=/s"),
    ("kubelet", "cgroups-per-qos", "cgroups-per-qos=false enforce-node-allocatable=none", "cgroups-per-qos=false enforce-node-allocatable="),
    ("kubelet", "system-cgroups", "system-cgroups=/s", "system-cgroups=/s cgroup-root=/"),
    ("kubelet", "cpu-cfs-quota-period", "cpu-cfs-quota-period=50ms", "cpu-cfs-quota-period=50ms feature-gates=CustomCPUCFSQuotaPeriod=true"),
    ("kubelet", "topology-manager-policy", "topology-manager-policy=best-effort feature-gates=TopologyManager=false", "topology-manager-policy=none feature-gates=TopologyManager=false"),
    ("kubelet", "topology-manager-scope", "topology-manager-scope=pod feature-gates=TopologyManager=false", "topology-manager-scope=pod"),
    ("kubelet", "rotate-server-certificates", "rotate-server-certificates=true feature-gates=RotateKubeletServerCertificate=false", "rotate-server-certificates=true"),
    ("kubelet", "dynamic-config-dir", "dynamic-config-dir=/nonexistent feature-gates=DynamicKubeletConfig=false", "feature-gates=DynamicKubeletConfig=false"),
    ("kubelet", "reserved-cpus", "reserved-cpus=0 system-reserved-cgroup=/s", "reserved-cpus=0"),
    ("kubelet", "reserved-cpus", "reserved-cpus=0 kube-reserved-cgroup=/k", "kube-reserved-cgroup=/k"),
    ("kube-proxy", "ipvs-sync-period", "proxy-mode=ipvs ipvs-sync-period=9s ipvs-min-sync-period=10s", "proxy-mode=ipvs ipvs-sync-period=10s ipvs-min-sync-period=10s"),
    ("kube-proxy", "iptables-sync-period", "iptables-sync-period=9s iptables-min-sync-period=10s", "iptables-sync-period=10s iptables-min-sync-period=10s"),
]  # fmt: skip
FILES = [
    ("shutdownGracePeriod", "{shutdownGracePeriod: 9s}", "{shutdownGracePeriod: 9s, featureGates: {GracefulNodeShutdown: true}}"),
    ("shutdownGracePeriod", "{featureGates: {GracefulNodeShutdown: true}, shutdownGracePeriod: 9s, shutdownGracePeriodCriticalPods: 10s}",
     "{featureGates: {GracefulNodeShutdown: true}, shutdownGracePeriod: 10s, shutdownGracePeriodCriticalPods: 10s}"),
    ("shutdownGracePeriodCriticalPods", "{shutdownGracePeriod: 9s, shutdownGracePeriodCriticalPods: 5s}",
     "{shutdownGracePeriod: 9s, shutdownGracePeriodCriticalPods: 5s, featureGates: {GracefulNodeShutdown: true}}"),
    ("imageGCLowThresholdPercent", "{imageGCLowThresholdPercent: 85}", "{imageGCLowThresholdPercent: 84}"),
    ("enforceNodeAllocatable", "{enforceNodeAllocatable: [kube-reserved]}", "{enforceNodeAllocatable: [kube-reserved], kubeReservedCgroup: /k}"),
    ("cgroupsPerQOS", "{cgroupsPerQOS: false}", "{cgroupsPerQOS: false, enforceNodeAllocatable: []}"),
]  # fmt: skip
# What the kubelet looks at last, before it asks its container runtime: refused, and taken.
LATE = [
    ("cpu-manager-policy", "cpu-manager-policy=static kube-reserved=memory=1Gi", "cpu-manager-policy=static kube-reserved=cpu=500m"),
    ("eviction-soft", "eviction-soft=memory.available<9Mi eviction-soft-grace-period=nodefs.available=3s", "eviction-soft=memory.available<9Mi eviction-soft-grace-period=memory.available=3s"),
]  # fmt: skip
# What an apiserver looks at after its flags, before it asks etcd: refused, with a part of what it says.
API = [
    ("oidc-issuer-url=http://a oidc-client-id=b", "require 'https'"),
    ("oidc-issuer-url=https://a oidc-client-id=b oidc-signing-algs=FOO", "unsupported signing alg"),
    ("service-account-max-token-expiration=30m", "between 1 hour to 2^32 seconds"),
    ("runtime-config=settings.k8s.io/v1alpha1=true", "unknown api groups settings.k8s.io"),
    ("runtime-config=batch/v2alpha1=yes", "invalid value of batch/v2alpha1"),
    ("runtime-config=api/all=maybe", "invalid value api/all=maybe"),
    ("watch-cache-sizes=pods", "invalid value of watch cache size"),
    ("watch-cache-sizes=pods#-1", "cannot be negative"),
    ("etcd-servers-overrides=/events", "--etcd-servers-overrides invalid"),
    ("identity-lease-duration-seconds=0", "should be a positive number"),
    ("identity-lease-renew-interval-seconds=0", "should be a positive number"),
    ("audit-log-path=- audit-log-mode=batch audit-log-batch-max-size=0", "max batch size 0, must be a positive number"),
    ("audit-log-path=- audit-log-mode=batch audit-log-batch-buffer-size=0", "buffer size 0, must be a positive number"),
    ("audit-log-path=- audit-log-truncate-max-event-size=0", "max event size 0, must be a positive number"),
    ("audit-webhook-config-file=/x audit-webhook-batch-max-size=0", "max batch size 0, must be a positive number"),
    ("audit-webhook-config-file=/x audit-webhook-batch-buffer-size=0", "buffer size 0, must be a positive number"),
    ("audit-webhook-config-file=/x audit-webhook-truncate-max-event-size=0", "max event size 0, must be a positive number"),
    ("enable-admission-plugins=EventRateLimit", "limits: Invalid value"),
    ("enable-admission-plugins=ImagePolicyWebhook", "no config specified"),
    ("tls-cert-file=/x tls-private-key-file=", "missing filename for serving cert"),
    ("tls-cert-file= tls-private-key-file=/x", "missing filename for serving cert"),
]  # fmt: skip
# Files that people copy, and that say what is the default anyway.
COPIED = {
    "as kubeadm 1.20 writes it": """{
      authentication: {anonymous: {enabled: false}, webhook: {cacheTTL: 0s, enabled: true}}, clusterDNS: [10.254.0.10],
      authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}, logging: {},
      clusterDomain: cluster.local, cpuManagerReconcilePeriod: 0s, evictionPressureTransitionPeriod: 0s,
      fileCheckFrequency: 0s, healthzBindAddress: 127.0.0.1, healthzPort: 10248, httpCheckFrequency: 0s,
      imageMinimumGCAge: 0s, nodeStatusReportFrequency: 0s, nodeStatusUpdateFrequency: 0s, rotateCertificates: true,
      runtimeRequestTimeout: 0s, shutdownGracePeriod: 0s, shutdownGracePeriodCriticalPods: 0s,
      staticPodPath: /etc/kubernetes/manifests, streamingConnectionIdleTimeout: 0s, syncFrequency: 0s,
      volumeStatsAggPeriod: 0s}""",
    "as /configz shows it": """{
      cpuCFSQuotaPeriod: 100ms, imageGCHighThresholdPercent: 85, imageGCLowThresholdPercent: 80, iptablesDropBit: 15,
      iptablesMasqueradeBit: 14, enforceNodeAllocatable: [pods], cgroupsPerQOS: true, cpuManagerPolicy: none,
      configMapAndSecretChangeDetectionStrategy: Watch, topologyManagerPolicy: none, topologyManagerScope: container,
      hairpinMode: promiscuous-bridge, podPidsLimit: -1, logging: {format: text}, shutdownGracePeriod: 0s,
      evictionHard: {imagefs.available: 15%, memory.available: 100Mi, nodefs.available: 10%, nodefs.inodesFree: 5%},
      nodeStatusMaxImages: 50, registryPullQPS: 5, registryBurst: 10}""",
}
# Of docker, each with a part of what it says.
DOCKER = [
    ("storage-driver=vfs log-driver=journald log-opt=max-size=50m", "unknown log opt 'max-size' for journald"),
    ("storage-driver=vfs log-driver=syslog log-opt=max-file=1", "unknown log opt 'max-file' for syslog"),
    ("storage-driver=vfs log-driver=journald log-opt=syslog-format=rfc3164", "unknown log opt 'syslog-format' for journald"),
    ("storage-driver=vfs storage-opt=dm.basesize=10G", "unknown option dm.basesize"),
    ("storage-driver=vfs storage-opt=overlay2.size=10G", "unknown option overlay2.size"),
    ("storage-driver=overlay3", "driver not supported"),
    ("storage-driver=vfs storage-opt=foo=bar", "unknown option foo"),
    ("storage-driver=vfs log-opt=foo=bar", "unknown log opt 'foo' for json-file"),
    ("storage-driver=vfs log-opt=mode=foo", "logging mode not supported: foo"),
    ("max-concurrent-downloads=-1", "invalid max concurrent downloads: -1"),
    ("storage-driver=vfs insecure-registry=reg:99999", "invalid port"),
    ("storage-driver=vfs insecure-registry=10.0.0.0/99", "is not valid"),
]  # fmt: skip
# It looks at these once its containerd runs: both have a network, mounts and processes of their own, which end with the shell.
DAEMON = """
containerd --address "$1/containerd.sock" --root "$1/root" --state "$1/state" >"$1/containerd.log" 2>&1 &
while [ ! -S "$1/containerd.sock" ]; do sleep 0.1; done
folder=$1; shift
for words; do
  timeout -k 1 20 dockerd --data-root="$folder/data" --exec-root="$folder/exec" --pidfile="$folder/pid" \
    --host="unix://$folder/sock" --containerd="$folder/containerd.sock" --iptables=false --bridge=none $words 2>&1 | grep -v level=info |
    tail -n 1
done
"""
# Which a program wants whatever else there is: it says so of the others' words, too.
REQUIRED = {("kube-apiserver", f"service-account-{what}") for what in ("issuer", "key-file", "signing-key-file")}
# Asked of the controller-manager below. The scheduler, with the same library, comes to it when it has read the API.
ELECTION = {("kube-controller-manager", f"leader-elect-{what}") for what in ("lease-duration", "renew-deadline")}
ELECTION |= {("kube-scheduler", "leader-elect-renew-deadline")}


def findings(component: str, setting: str) -> list[str]:
    """All that validation says of an inventory with this setting."""
    lab = cluster(more=f"components: {{{component}: {{{setting}}}}}\n")
    return [str(one) for one in check(lab, PROFILE)]


def refused(component: str, setting: str) -> bool:
    """Whether validation refuses what an inventory says, under one of the rules for flags of one program."""
    found = findings(component, setting)
    # what is against two rules, or against one that the program alone cannot know
    found = [one for one in found if not one.count("[service-account-keys]") and not one.count("[nodes-register]")]
    assert all("[flag-" in one for one in found), found
    return bool(found)


def as_args(words: str) -> str:
    """Words as an inventory has them; what the profile says of admission plugins is dropped where they do not."""
    args = {"enable-admission-plugins": None} if "admission-control" in words else {}
    pairs: dict[str, object] = {**args, **dict(word.split("=", 1) for word in words.split())}
    return f"args: {yaml.safe_dump(pairs, default_flow_style=True, width=10000).strip()}"


def test_every_relation_is_asked_for() -> None:
    related = {(name, flag) for name in SERVERS for flag, spec in PROFILE.known_flags[name].items() if spec.related}
    asked = {(name, flag) for name, flag, *_ in CASES} | REQUIRED | ELECTION
    asked |= {("kubelet", flag) for flag, *_ in LATE}
    later = {("kube-apiserver", word.partition("=")[0]) for words, _ in API for word in words.split()}
    assert asked <= related <= asked | later
    schema = PROFILE.config_schemas["kubelet"]
    own = {key for key, spec in schema.values.items() if spec.related and key not in schema.flags.values()}
    assert own <= {key for key, *_ in FILES}


def test_words_are_refused_where_the_program_refuses_them(tmp_path: Path) -> None:
    assert all(ends_well(name, tmp_path, ()) for name in SERVERS)
    asked = [(name, words, wrong) for name, _, *both in CASES for words, wrong in zip(both, (True, False), strict=True)]

    def ask(case: tuple[str, str, bool]) -> str:
        name, words, wrong = case
        ours = refused(name, as_args(words))
        theirs = not ends_well(name, tmp_path, tuple(f"--{word}" for word in words.split()))
        return "" if ours == theirs == wrong else f"{name} {words}: refused by us {ours}, by the program {theirs}"

    with ThreadPoolExecutor(max_workers=4) as pool:
        found = [answer for answer in pool.map(ask, asked) if answer]
    assert not found, "\n".join(found)


def test_files_of_the_kubelet_are_refused_where_it_refuses_them(tmp_path: Path) -> None:
    assert ends_well("kubelet", tmp_path, ())
    for _, *both in FILES:
        for text, wrong in zip(both, (True, False), strict=True):
            assert (refused("kubelet", f"config: {text}"), refuses_file(text, tmp_path)) == (wrong, wrong), text


@pytest.mark.parametrize("text", COPIED.values(), ids=COPIED)
def test_a_file_that_repeats_the_defaults_is_taken(text: str, tmp_path: Path) -> None:
    assert (refused("kubelet", f"config: {text}"), refuses_file(text, tmp_path)) == (False, False)


def refuses_file(text: str, folder: Path) -> bool:
    """Whether the kubelet refuses a configuration file of these keys."""
    file = folder / "config.yaml"
    head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
    file.write_text(head + yaml.safe_dump(yaml.safe_load(text)), encoding="utf-8")
    return not ends_well("kubelet", folder, (f"--config={file}",))


def test_an_apiserver_ends_before_it_asks_etcd(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], capture_output=True, check=True)
    files = {f"--service-account-{what}={key}" for what in ("key-file", "signing-key-file")}
    own = [*files, f"--cert-dir={tmp_path}", "--service-account-issuer=a", "--etcd-servers=http://127.0.0.1:1"]

    def ask(words: str) -> str:
        return words_of_end("kube-apiserver", *own, "--secure-port=1", *(f"--{word}" for word in words.split()))

    for words, part in API:
        assert findings("kube-apiserver", as_args(words)), words
        assert part in ask(words), words


@pytest.mark.skipif(os.geteuid() != 0, reason="the kubelet runs as root")
def test_a_kubelet_comes_to_its_runtime_where_validation_says_so(tmp_path: Path) -> None:
    """Each with a network, mounts and processes of its own, and a runtime that is not there."""
    runtime = [f"--{which}-endpoint=unix:///nonexistent/sock" for which in ("container-runtime", "image-service")]
    fixed = ["--container-runtime=remote", *runtime, "--fail-swap-on=false"]

    def ask(case: tuple[int, str]) -> bool:
        number, words = case
        own = [f"--root-dir={tmp_path}/{number}", f"--cert-dir={tmp_path}/{number}/pki"]
        shell = ["unshare", "-nmp", "--fork", "--kill-child", "--mount-proc", str(FOUND["kubelet"])]
        argv = [*shell, *fixed, *own, *(f"--{word}" for word in words.split())]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
        return b"get remote runtime typed version failed" in done.stderr

    asked = [(words, wrong) for _, *both in LATE for words, wrong in zip(both, (True, False), strict=True)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        came = list(pool.map(ask, enumerate(words for words, _ in asked)))
    for (words, wrong), there in zip(asked, came, strict=True):
        assert (refused("kubelet", as_args(words)), not there) == (wrong, wrong), words


def test_an_apiserver_says_what_it_requires(tmp_path: Path) -> None:
    done = words_of_end("kube-apiserver", f"--cert-dir={tmp_path}", "--tls-cert-file=/x", "--tls-private-key-file=/x")
    for _, flag in REQUIRED:
        assert refused("kube-apiserver", f"args: {{{flag}: null}}")
        assert f"{flag} is a required flag" in done or f"--{flag} and" in done, flag


def test_etcd_refuses_an_election_that_ends_before_five_heartbeats(tmp_path: Path) -> None:
    elsewhere = (f"--data-dir={tmp_path / 'data'}", "--name=a", "--initial-cluster=b=http://127.0.0.1:1")
    for words, wrong in (("heartbeat-interval=201", True), ("heartbeat-interval=200", False)):
        text = words_of_end("etcd", *elsewhere, f"--{words}")
        assert ("5 times as --heartbeat-interval" in text, refused("etcd", as_args(words))) == (wrong, wrong)
    assert "couldn't find local name" in text  # it came to what is checked later


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("log-output=foo", "unknown log-output"),
        ("auth-token=foo", "invalid auth options"),
        ("listen-metrics-urls=http://name:2381", "expected IP in URL for binding"),
    ],
)
def test_etcd_ends_at_its_start_where_validation_says_so(words: str, part: str, tmp_path: Path) -> None:
    urls = [f"--{what}-urls=http://127.0.0.1:0" for what in ("listen-client", "advertise-client", "listen-peer")]
    peers = ["--initial-advertise-peer-urls=http://127.0.0.1:1", "--initial-cluster=a=http://127.0.0.1:1"]
    own = ["--name=a", f"--data-dir={tmp_path / 'data'}", *urls, *peers]
    assert findings("etcd", as_args(words))
    assert part in words_of_end("etcd", *own, f"--{words}")


def test_a_controller_manager_refuses_a_lease_that_ends_before_it_is_renewed(tmp_path: Path) -> None:
    """It looks at these when it begins the election, before it has asked its API server anything."""
    kubeconfig = tmp_path / "kubeconfig"
    context = {"clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}], "current-context": "a"}
    context |= {
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **context}), encoding="utf-8")
    alone = (f"--kubeconfig={kubeconfig}", "--authentication-skip-lookup", "--port=0", "--secure-port=0", f"--cert-dir={tmp_path}")  # fmt: skip
    for words, said in (
        ("leader-elect-lease-duration=10s", "leaseDuration must be greater than renewDeadline"),
        ("leader-elect-retry-period=8500ms", "renewDeadline must be greater than retryPeriod*JitterFactor"),
    ):
        assert refused("kube-controller-manager", as_args(words))
        assert said in words_of_end("kube-controller-manager", *alone, f"--{words}")


@pytest.mark.skipif(os.geteuid() != 0, reason="docker's daemon runs as root")
def test_docker_refuses_what_validation_refuses(tmp_path: Path) -> None:
    payload = Path(str(FOUND["docker"])).parents[3]
    folders = [payload / "docker.io/usr/sbin", payload / "containerd/usr/bin", payload / "runc/usr/sbin"]
    asked = [" ".join(f"--{word}" for word in words.split()) for words, _ in DOCKER]
    done = subprocess.run(
        ["unshare", "-nmp", "--fork", "--kill-child", "--mount-proc", "sh", "-c", DAEMON, "sh", str(tmp_path), *asked],
        capture_output=True, check=True, timeout=120, stdin=subprocess.DEVNULL, encoding="utf-8", errors="replace",
        env={**os.environ, "PATH": ":".join([*map(str, folders), os.environ["PATH"]])},
    )  # fmt: skip
    for (words, part), said in zip(DOCKER, done.stdout.splitlines(), strict=True):
        assert part in said
        assert findings("docker", as_args(words)), words


def words_of_end(name: str, *words: str) -> str:
    """What a program says that ends by itself."""
    done = subprocess.run(
        [str(FOUND[name]), *words], capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode != 0
    return (done.stdout + done.stderr).decode(errors="replace")
