"""What validation says of a flag's values is what the real programs say: accepted by the one, accepted by the other.

Needs the programs of the lab (`k8s-installer lab up` makes them). A sample of the flags is asked; all of them, which takes
some minutes, with `EVERY_FLAG=1`, as `make test-all` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from k8s_installer.inventory import ArgValue
from k8s_installer.profiles.flags import Flag
from tests.contract.programs import (
    EVERY,
    PLACES,
    PROFILE,
    SERVERS,
    differing,
    ends_well,
    limited,
    needs_programs,
    reads,
)

pytestmark = needs_programs

NUMBERS: Sequence[ArgValue] = [
    0, 1, -1, 50, "0x10", "+5", "fifty", "5.5", 5.5, "4k", "1 ", "yes", True, 2**31, 2**31 - 1, -(2**31) - 1, 2**63,
    2**63 - 1, 10**30,
]  # fmt: skip
REALS: Sequence[ArgValue] = [0, 1, 0.5, "1e3", "-.5", "5.", 3.5e38, 1e39, "1e400", "many", "1,5", "5%"]
ADDRESSES: Sequence[ArgValue] = [
    "10.0.0.1",
    "::1",
    "224.0.0.1",
    "10.0.0.300",
    "10.0.0",
    "localhost",
    "1.2.3.4/8",
    "fe80::1%eth0",
]
NETWORKS: Sequence[ArgValue] = [
    "10.0.0.0/16",
    "10.1.2.3/16",
    "fd00::/112",
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0/8",
    "10.0.0.0/255.0.0.0",
]
PORTS: Sequence[ArgValue] = ["30000-32767", "20000", "30000+10", "32767-30000", "a-b", "1-70000", "-5", "10-"]
VALUES: Mapping[str, Sequence[ArgValue]] = {
    **dict.fromkeys(("int", "int32", "int64", "uint", "uint64", "Level"), NUMBERS),
    **dict.fromkeys(("float32", "float64"), REALS),
    "bool": [True, False, "true", "TRUE", "f", 1, 0, "yes", "on", "maybe", 2, "tRUE"],
    "duration": ["1h30m", "300ms", "-5s", "0", "1.5h", "10us", "1h 30m", 5, 10, "5min", "1d", "10sec", "s", "9999999h"],
    **dict.fromkeys(("ip", "ips"), ADDRESSES),
    "ipport": ["0.0.0.0:10256", "127.0.0.1", "[::1]:10249", "::1", "localhost:1", "1.2.3.4:70000", "1.2.3.4:", ":80"],
    **dict.fromkeys(("cidr", "cidrs", "ipNet"), NETWORKS),
    **dict.fromkeys(("portRange", "port-range"), PORTS),
    "stringSlice": ["a", "a,b", ("a", "b"), ("a",), 5],
    "stringArray": ["a", "a,b", ("a", "b")],
    "string": ["a", "a=b,c", 5, True],
    "mapStringString": ["a=b", "a=b,c=d", ("a=b", "c=d"), "a=", "a", ("a=b", "c"), "a:b"],
    "mapStringBool": ["a=b", "a", "a=yes"],
    "thresholds": ["memory.available<100Mi", "memory.available=100Mi",
                   ("memory.available<5%", "nodefs.available<10%"), "memory"],
    "colonSeparatedMultimapStringString": ["a:b", "a:b,c:d", "a", "a=b", ("a:b", "c:d")],
    "namedCertKey": ["a.crt,a.key", "a.crt,a.key:x,y", "a.crt", "a.crt,a.key:", "a,b,c", ("a.crt,a.key", "b.crt,b.key:x")],
    "[]api.Taint": ["a=b:NoSchedule", "a:NoExecute", "a=b:Never", "a=b", "a=b:NoSchedule,c=d:NoExecute", "-a=b:NoSchedule",
                    ("a=b:NoSchedule", "c=d:NoExecute"), "example.com/a=b:PreferNoSchedule", "A_/a=b:NoSchedule"],
    "severity": ["INFO", "warning", 2, "loud"],
    "moduleSpec": ["proxier=4", "a=1,b=2", ("a=1", "b=2"), "a", "a=x", "=1", "a=-1", "a=1=2"],
    "traceLocation": ["server.go:120", "server.go", "server:12", "server.go:0", "a.go:1:2"],
    "ulimit": ["nofile=1024:2048", "nofile=1024", ("nofile=1024:2048", "nproc=1:1"), "nofile", "nofile=x", "foo=1",
               "nofile=2:1", "nofile=-1:5", "nofile=5:-1", "core=-1"],
    "domain": ["example.com", ".", "a.b.", "a..b", "a_b", "-a", "10"],
    "runtime": ["a=/usr/bin/a", "a"],
    "bytes": ["64m", "64MiB", 1024, "lots"],
    "mirror": ["https://mirror.example.com", "http://10.0.0.1:5000/", "mirror.example.com", "https://a.example.com/path"],
    "list": ["a", ("a", "b")],
    "ip-and-port": ["127.0.0.1:10249", "127.0.0.1", "name:1", "127.0.0.1:65536"],
    "ip-urls": ["https://127.0.0.1:0", "http://localhost:0", "http://name:1", "127.0.0.1:1"],
    "urls": ["https://10.0.0.1:2379", ("http://10.0.0.1:1", "http://10.0.0.2:1"), "10.0.0.1:2379", "http://10.0.0.1",
             "ftp://10.0.0.1:1"],
}  # fmt: skip
# What a program looks at after it has read its flags; `test_limits` asks for these.
LATER = {
    ("kube-apiserver", "service-cluster-ip-range"), ("kube-controller-manager", "cluster-cidr"),
    ("kube-controller-manager", "service-cluster-ip-range"), ("kube-scheduler", "address"), ("kube-proxy", "cluster-cidr"),
    ("kube-proxy", "nodeport-addresses"), ("kubelet", "cluster-dns"), ("kubelet", "node-ip"),
    ("kubelet", "container-log-max-size"), ("kubelet", "reserved-cpus"),
    ("docker", "bip"), ("docker", "fixed-cidr"), ("docker", "fixed-cidr-v6"), ("docker", "node-generic-resource"),
    ("kube-proxy", "metrics-bind-address"), ("kube-proxy", "ipvs-exclude-cidrs"),
    ("kube-controller-manager", "volume-host-cidr-denylist"),
    *(("etcd", f"listen-{what}-urls") for what in ("peer", "client", "metrics")), ("etcd", "log-output"), ("etcd", "auth-token"), ("etcd", "auto-compaction-retention"),
}  # fmt: skip
# What it looks at when it runs, or ignores: these are known from its source and its help alone.
UNSEEN = {
    *((name, flag) for name in SERVERS[:3] for flag in ("tls-min-version", "tls-cipher-suites")),
    ("kube-apiserver", "runtime-config"), ("kube-apiserver", "oidc-signing-algs"),
    ("kube-apiserver", "identity-lease-duration-seconds"), ("kube-apiserver", "identity-lease-renew-interval-seconds"),
    ("kube-apiserver", "kubelet-preferred-address-types"), ("kube-apiserver", "audit-webhook-version"),
    ("kube-controller-manager", "cluster-cidr"), ("kube-controller-manager", "service-cluster-ip-range"),
    ("kube-scheduler", "algorithm-provider"),
    ("kube-scheduler", "secure-port"),  # which it opens at once
    *(("kubelet", flag) for flag in (
        "authorization-mode", "cgroup-driver", "cluster-dns", "node-ip", "container-runtime", "cpu-manager-policy",
        "kube-reserved", "system-reserved", "qos-reserved", "eviction-hard", "eviction-soft",
        "eviction-soft-grace-period", "eviction-minimum-reclaim", "container-log-max-size")),
    ("kube-proxy", "detect-local-mode"),
}  # fmt: skip
# Red Hat's docker, and what is gone since 1.13: the lab's docker is a 20.10.
NOT_HERE = {"add-registry", "block-registry", "enable-secrets", "signature-verification", "api-enable-cors",
            "cluster-advertise", "cluster-store", "cluster-store-opt", "disable-legacy-registry", "restart"}  # fmt: skip


def sample() -> Iterator[tuple[str, str, Flag]]:
    """Flags of every type: all, or one of each type of Kubernetes, and of each of etcd and of docker."""
    seen: set[tuple[str, ...]] = set()
    for name in PLACES:
        for flag, spec in PROFILE.known_flags[name].items():
            kind = (spec.type,) if name in SERVERS else (name, spec.type)
            if (
                limited(spec)
                or (name, flag) in LATER
                or spec.type not in VALUES
                or (name == "docker" and flag in NOT_HERE)
            ):
                continue
            if EVERY or kind not in seen:
                seen.add(kind)
                yield name, flag, spec


def test_a_value_is_accepted_where_the_program_accepts_it() -> None:
    cases = [(name, flag, value) for name, flag, spec in sample() for value in VALUES[spec.type]]
    assert {PROFILE.known_flags[name][flag].type for name, flag, _ in cases} >= VALUES.keys() - {
        "mapStringBool", "thresholds", "cidr", "ips", "ipNet", "ip-and-port", "ip-urls",  # see below
    }  # fmt: skip
    assert differing(cases, reads) == []


# What some flags need beside them to be looked at, or to be right.
BESIDE = {
    **dict.fromkeys(("audit-log-format", "audit-log-mode", "audit-log-version", "audit-log-maxage", "audit-log-maxbackup",
                     "audit-log-maxsize"), ("--audit-log-path=-",)),
    "audit-webhook-mode": ("--audit-webhook-config-file=/nonexistent",),
    **dict.fromkeys(("ipvs-exclude-cidrs", "ipvs-min-sync-period", "ipvs-scheduler", "ipvs-sync-period", "ipvs-tcp-timeout",
                     "ipvs-tcpfin-timeout", "ipvs-udp-timeout"), ("--proxy-mode=ipvs",)),
    "cpu-cfs-quota-period": ("--feature-gates=CustomCPUCFSQuotaPeriod=true",),
    "kubernetes-service-node-port": ("--service-node-port-range=1-65535",),
    "leader-elect-lease-duration": ("--leader-elect-renew-deadline=1ms",),
    "enforce-node-allocatable": ("--system-reserved-cgroup=/system", "--kube-reserved-cgroup=/kube"),
    "image-gc-high-threshold": ("--image-gc-low-threshold=0",),
    "image-gc-low-threshold": ("--image-gc-high-threshold=100",),
    "ipvs-scheduler": ("--proxy-mode=ipvs",),
}  # fmt: skip


def around(spec: Flag) -> Iterator[ArgValue]:
    """Values on both sides of what is known of a flag's."""
    if spec.one_of:
        yield from [*[word for word in spec.one_of if word][:3], "nonsense", "NONSENSE"]
        if spec.given == "split":
            yield from [spec.one_of[1:3], (spec.one_of[1], "nonsense")]
    for limit in [limit for limit in (spec.min, spec.max, spec.above) if limit is not None]:
        near = [int(limit) + step for step in (-1, 0, 1)]
        yield from [f"{number}s" for number in near] if spec.type == "duration" else near
    locked = [pair for pair in spec.keys.items() if pair[1]]
    for key, _ in [*list(spec.keys.items())[:2], *locked[:2], ("Nonsense", "")] if spec.keys else []:
        yield from [f"{key}=true", f"{key}=false", f"{key}=maybe"]
    yield from [] if limited(spec) else VALUES.get(spec.type, ())


def test_limits(tmp_path: Path) -> None:
    flags = [(name, flag, spec) for name in SERVERS for flag, spec in PROFILE.known_flags[name].items()]
    known = [one for one in flags if (limited(one[2]) or one[:2] in LATER) and one[:2] not in UNSEEN]
    chosen = known if EVERY else list({flag: (name, flag, spec) for name, flag, spec in reversed(known)}.values())
    cases = [(name, flag, value) for name, flag, spec in chosen for value in around(spec)]
    assert all(ends_well(name, tmp_path, ()) for name in SERVERS)

    def accepts(name: str, words: tuple[str, ...]) -> bool:
        flag = words[0].removeprefix("--").partition("=")[0]
        return ends_well(name, tmp_path, (*words, *BESIDE.get(flag, ())))

    assert differing(cases, accepts) == []
