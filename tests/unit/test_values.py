"""Values of flags and keys of files: what is accepted, what is refused, and in what words. tests/contract asks the programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from k8s_installer import profiles
from k8s_installer.desired.check import check
from k8s_installer.desired.flags import variables
from k8s_installer.desired.keys import wrong_keys
from k8s_installer.desired.values import FORMS, FREE, wrong
from k8s_installer.inventory import ArgValue, Cluster
from k8s_installer.profiles.flags import Flag, merged
from tests.unit.clusters import cluster

V1_20 = profiles.load("1.20.2")


def said(flag: Flag, value: ArgValue) -> list[str]:
    return [f"{'.'.join(one.at)}: {one.message} ({one.suggestion})" for one in wrong(flag, value)]


@pytest.mark.parametrize(
    ("kind", "right", "refused"),
    [
        ("bool", [True, "T", 0, "FALSE"], ["yes", "off", "maybe", 2, ""]),
        ("int32", [5, -5, "0x10", "010", 2**31 - 1], [2**31, "5m", 5.0, True, "1_000", "9" * 5000, ""]),
        ("int64", [2**31, -(2**63)], [2**63]),
        ("uint", [0, 2**64 - 1], [-1, "+1", 2**64]),
        ("Level", [2, "+2", "010"], ["0x10", 2**31]),
        ("float32", [0.5, "1e3", "-.5", 3], ["1e39", "nan", "inf", "0x1p-2", "1,5"]),
        ("float64", ["1e39"], ["1e400"]),
        ("duration", ["1h30m", "300ms", "-5s", "0", "1.5h", "10\u00b5s"], [5, "5min", "1d", "s", "", "9999999h"]),
        ("ip", ["10.0.0.1", "::1"], ["10.0.0.300", "fe80::1%eth0", "localhost", ""]),
        ("ips", ["10.0.0.1,::1", ("10.0.0.1", "::1")], ["10.0.0.1,x", ("10.0.0.1", "x")]),
        (
            "ipport",
            ["10.0.0.1:80", "10.0.0.1", "[::1]:80", "::1"],
            ["localhost:1", "10.0.0.1:70000", ":80", "10.0.0.1:"],
        ),
        ("cidr", ["10.0.0.0/16", "fd00::/64"], ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0"]),
        ("portRange", ["1-2", "5", "5+3"], ["2-1", "1-70000", "-5"]),
        ("first-last", ["1-2"], ["5", "5+3"]),
        ("mapStringString", ["a=b", ("a=b", "c=")], ["a", ("a=b", "c")]),
        ("mapStringBool", ["a=true,b=0"], ["a=yes", "a"]),
        ("namedCertKey", ["c,k", "c,k:a,b", ("c,k", "d,l")], ["c", "c,k:", "a,b,c"]),
        ("[]api.Taint", ["a=b:NoSchedule", "x.io/a:NoExecute"], ["a=b", "a:Never", "-a:NoSchedule"]),
        ("severity", ["info", 2], ["loud"]),
        ("retention", [8, "30m"], ["8 hours", "eight"]),
        ("version", [False], [True, "raw"]),
        ("quantity", ["500m", "1Gi", 1, "1e3"], ["1GiB", "-1", "much"]),
        (
            "ulimit",
            ["nofile=1024:2048", "nproc=5", "core=-1", "nofile=1024:-1"],
            ["foo=1", "nofile=2:1", "nofile=-1:5"],
        ),
        ("https", ["https://a"], ["http://a", "a"]),
        ("token-lifetime", ["0s", "1h", "1193046h"], ["30m", "-1h", "1193047h", "1"]),
        ("cache-size", ["pods#100", "deployments.apps#0"], ["pods", "pods#-1"]),
        ("etcd-override", ["/events#http://10.0.0.1:1"], ["/events", "events#http://10.0.0.1:1"]),
        ("domain", ["example.com", ".", "a.b."], ["a..b", "10", "-a"]),
        ("registry", ["reg", "reg:5000", "10.0.0.0/8", "[::1]:5000", "fd00::/8"], ["10.0.0.0/99", "reg:99999", "a/b"]),
        ("ip-and-port", ["127.0.0.1:10249", "[::1]:1"], ["127.0.0.1", "::1", "name:1", "10.0.0.1:65536", "[::1]"]),
        (
            "ip-urls",
            ["https://10.0.0.11:2379", "http://localhost:2379", "unix://a:1", "http://[::1]:1"],
            ["http://name:2379", "http://10.0.0.1", "10.0.0.1:2379"],
        ),
        ("mirror", ["https://a/", "http://[::1]:80"], ["a", "https://a/b", "https://a:b:c", "ftp://a"]),
    ],
)
def test_each_type_has_its_grammar(kind: str, right: list[ArgValue], refused: list[ArgValue]) -> None:
    flag = Flag(type=kind)
    assert [value for value in right if said(flag, value)] == []
    assert [value for value in refused if not said(flag, value)] == []


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        (Flag(type="duration"), 10, ': "10" is not a duration (10s for seconds, 10ms for milliseconds)'),
        (Flag(type="duration"), "5min", ': "5min" is not a duration (such as 1h30m, 10s or 300ms)'),
        (Flag(type="bool"), "on", ': "on" is not true or false (write true)'),
        (Flag(type="bool"), "no", ': "no" is not true or false (write false)'),
        (Flag(type="bool"), "maybe", ': "maybe" is not true or false ()'),
        (Flag(type="int32"), 2**31, ": 2147483648 is out of range (a whole number from -2147483648 to 2147483647)"),
        (Flag(type="ip"), "", ': "" is not an IP address (null removes the flag)'),
        (Flag(type="int", min=1), 0, ": 0 is too small (at least 1)"),
        (Flag(type="int", max=65535), 70000, ": 70000 is too large (at most 65535)"),
        (Flag(type="duration", above=0), "0s", ": 0s is too small (more than 0s)"),
        (Flag(one_of=("", "iptables", "ipvs")), "ipvz", ': there is no "ipvz" here (did you mean ipvs?)'),
        (Flag(one_of=("", "iptables", "ipvs")), "x", ': there is no "x" here (one of iptables, ipvs)'),
        (Flag(one_of=tuple("abcdefghijklmn")), "xyz", ': there is no "xyz" here ()'),
        (Flag(), ("a", "b"), ": takes one value, not a list (one value, such as a)"),
        (Flag(type="stringSlice"), (), ": an empty list has no meaning here (null removes the flag)"),
        (
            Flag(type="stringSlice"),
            ("a", "b,c"),
            '1: "b,c" has a comma, where the program splits it (two items of the list)',
        ),
        (Flag(), 1.1, ": 1.1 was read as a number, which may differ from what you wrote (write it in quotes)"),
        (Flag(type="mapStringBool", keys={"Gate": ""}), "Gat=true", ': there is no "Gat" here (did you mean Gate?)'),
        (
            Flag(type="mapStringBool", keys={"Gate": "true"}),
            "Gate=false",
            ": Gate cannot be false in this version (Gate=true, or leave it out)",
        ),
        (Flag(type="thresholds", value="quantity"), "a<x", ': a: "x" is not a quantity (such as 500m or 1Gi)'),
    ],
)
def test_a_finding_says_what_would_be_right(flag: Flag, value: ArgValue, message: str) -> None:
    assert said(flag, value) == [message]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        (Flag(), None),
        (Flag(type="whatever a newer program calls it"), "x"),
        (Flag(type="stringSlice"), ""),
        (Flag(type="mapStringBool", keys={"Gate": "true", "Other": "false"}), ("Gate=1", "Other=f")),
        (Flag(type="configurationMap", keys={"cpu": ""}, value="quantity"), "cpu"),
        (Flag(one_of=("1.19",)), 1.19),
        (Flag(type="int", min=0, max=10, above=-1), 5),
    ],
)
def test_what_is_right_has_no_finding(flag: Flag, value: ArgValue) -> None:
    assert said(flag, value) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("api/all=true,batch/v2alpha1,v1=true", ""),
        ("extensions/v1beta1/deployments=true,rbac.authorization.k8s.io/v1alpha1=false", ""),
        ("settings.k8s.io/v1alpha1=true", 'there is no "settings.k8s.io/v1alpha1" here'),
        ("batch/v2alpha1=yes", 'batch/v2alpha1: "yes" is not true or false (write true)'),
        ("api/all=maybe", 'api/all: "maybe" is not true or false'),
    ],
)
def test_what_an_apiserver_serves(value: str, message: str) -> None:
    found = said(V1_20.known_flags["kube-apiserver"]["runtime-config"], value)
    assert [one.startswith(f": {message}") for one in found] == ([True] if message else [])


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("log-driver", "jounald", 'there is no "jounald" here (did you mean journald?)'),
        ("log-driver", "grafana/loki:latest", ""),
        ("log-opt", "max-size=fifty", 'max-size: "fifty" is not a size (such as 64m)'),
        ("log-opt", "max-file=0", 'max-file: "0" is not a whole number from 1 on (such as 3)'),
        ("log-opt", "mode=loose", 'mode: "loose" is not blocking or non-blocking ()'),
        ("log-opt", "max-sice=50m", 'there is no "max-sice" here (did you mean max-size?)'),
        ("log-opt", "foo=bar", 'there is no "foo" here ()'),
        ("log-opt", "loki-url=http://10.0.0.9/push", ""),
        ("storage-driver", "overlay3", 'there is no "overlay3" here (did you mean overlay?)'),
        ("storage-opt", "overlay2.sice=1G", 'there is no "overlay2.sice" here (did you mean overlay2.size?)'),
        ("storage-opt", "dm.mountopt=nodev,noatime", ""),
        ("max-concurrent-downloads", -1, "-1 is too small (at least 0)"),
        ("default-ulimit", "nofile=65536:1024", "nofile=65536:1024 is out of range (a limit whose first number is not above the second)"),
    ],
)  # fmt: skip
def test_values_of_docker(flag: str, value: ArgValue, message: str) -> None:
    assert said(V1_20.known_flags["docker"][flag], value) == ([f": {message}"] if message else [])


def test_every_type_of_every_version_is_known() -> None:
    for version in profiles.available():
        profile = profiles.load(version)
        types = {flag.type for flags in profile.known_flags.values() for flag in flags.values()}
        assert types <= {*FORMS, *FREE}, version


def test_what_is_known_beside_the_programs_is_of_flags_that_they_have() -> None:
    folder = Path(profiles.__file__).parent / "flags"
    for version in profiles.available():
        said = json.loads((folder / f"{version}.json").read_text(encoding="utf-8"))
        more = yaml.safe_load((folder / f"{version}.yaml").read_text(encoding="utf-8"))
        assert [(name, flag) for name, flags in more.items() for flag in flags if flag not in said[name]] == []


def test_every_default_of_every_profile_is_right() -> None:
    for version in profiles.available():
        profile = profiles.load(version)
        for name, component in profile.components.items():
            sets = component.flags
            for flag, value in {**sets.always, **sets.tls, **sets.insecure, **sets.routes}.items():
                if name in profile.known_flags and "{{" not in str(value) and "{%" not in str(value):
                    assert said(profile.known_flags[name][flag], value) == [], (version, name, flag)


def test_every_value_of_a_file_names_a_flag_that_there_is() -> None:
    schema = V1_20.config_schemas["kubelet"]
    assert schema.values["maxPods"] == V1_20.known_flags["kubelet"]["max-pods"]
    file = Path(profiles.__file__).parent / "schemas" / "kubelet-1.20.2.yaml"
    words = {word for word in yaml.safe_load(file.read_text(encoding="utf-8")).values() if isinstance(word, str)}
    assert words <= V1_20.known_flags["kubelet"].keys()
    for path in schema.values:
        here = schema.keys
        for part in path.split("."):
            here = here[part]


def test_a_list_is_split_or_repeated_as_the_program_wants_it() -> None:
    component, known = V1_20.components["kube-apiserver"], V1_20.known_flags["kube-apiserver"]
    flags = {
        "service-account-key-file": ("/sa.pub", "/sa-old.pub"),
        "tls-sni-cert-key": ("a.crt,a.key:a.example.com", "b.crt,b.key"),
        "oidc-required-claim": ("hd=example.com", "aud=kubernetes"),
        "authorization-mode": ("Node", "RBAC"),
        "runtime-config": ("api/all=true", "api/beta=false"),
    }
    assert [said(known[flag], value) for flag, value in flags.items()] == [[]] * len(flags)
    assert variables(component, flags, known)["KUBE_API_ARGS"] == [
        "--service-account-key-file=/sa.pub",
        "--service-account-key-file=/sa-old.pub",
        "--tls-sni-cert-key=a.crt,a.key:a.example.com",
        "--tls-sni-cert-key=b.crt,b.key",
        "--oidc-required-claim=hd=example.com",
        "--oidc-required-claim=aud=kubernetes",
        "--authorization-mode=Node,RBAC",
        "--runtime-config=api/all=true,api/beta=false",
    ]


def keys(key: str, value: object) -> list[str]:
    found = wrong_keys(V1_20.config_schemas["kubelet"], key, value)
    return [f"{'.'.join(one.at)}: {one.message} ({one.suggestion})" for one in found]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("maxPod", 5, ": unknown key (did you mean maxPods?)"),
        ("maxPods", "50", ': must be a whole number, not "50" ()'),
        ("maxPods", 50.0, ": must be a whole number, not 50.0 ()"),
        ("maxPods", True, ": must be a whole number, not true ()"),
        ("maxPods", 2**31, ": 2147483648 is out of range (a whole number from -2147483648 to 2147483647)"),
        ("maxPods", -1, ": -1 is too small (at least 0)"),
        ("failSwapOn", "false", ': must be true or false, not "false" ()'),
        ("nodeStatusUpdateFrequency", 10, ": must be a duration, not 10 (10s for seconds)"),
        ("nodeStatusUpdateFrequency", True, ": must be a duration, not true (such as 10s)"),
        ("nodeStatusUpdateFrequency", "10", ': "10" is not a duration (10s for seconds, 10ms for milliseconds)'),
        ("clusterDomain", 5, ': must be a string, not 5 (write "5")'),
        ("clusterDomain", ["a"], ": must be a string, not a list ()"),
        ("clusterDomain", {"a": 1}, ": must be a string, not a mapping ()"),
        ("clusterDNS", "10.0.0.10", ': must be a list, not "10.0.0.10" (["10.0.0.10"])'),
        ("clusterDNS", ["10.0.0.10", "x"], '1: "x" is not an IP address (such as 10.0.0.10)'),
        ("clusterDNS", [None], "0: must be a string, not null ()"),
        ("hairpinMode", "veth", ': there is no "veth" here (one of promiscuous-bridge, hairpin-veth, none)'),
        ("authentication", True, ": must be a mapping, not true (its keys are anonymous, webhook, x509)"),
        ("authentication", {"x509": {"clientCA": "a"}}, "x509.clientCA: authentication.x509.clientCA: unknown key (did you mean clientCAFile?)"),
        ("authorization", {"mode": "RBAC"}, 'mode: there is no "RBAC" here (one of AlwaysAllow, Webhook)'),
        ("evictionHard", "memory.available<100Mi", ': must be a mapping, not "memory.available<100Mi" (KEY: VALUE for each)'),
        ("evictionHard", {"memory.available": 5}, 'memory.available: must be a string, not 5 (write "5")'),
        ("evictionHard", {"memory.availabel": "5%"}, 'memory.availabel: there is no "memory.availabel" here (did you mean memory.available?)'),
        ("featureGates", {"VolumeSnapshotDataSource": False}, "VolumeSnapshotDataSource: VolumeSnapshotDataSource cannot be false in this version (VolumeSnapshotDataSource=true, or leave it out)"),
    ],
)  # fmt: skip
def test_the_keys_of_a_file_have_their_types(key: str, value: object, message: str) -> None:
    assert keys(key, value) == [message]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxPods", None),
        ("authentication", {"webhook": {"enabled": True, "cacheTTL": "2m"}, "x509": None}),
        ("evictionHard", {"memory.available": "100Mi", "nodefs.available": "10%"}),
        ("staticPodURLHeader", {"Any": ["a", "b"]}),
        ("tlsMinVersion", ""),
        ("kubeReserved", {"cpu": "500m"}),
    ],
)
def test_what_is_right_in_a_file_has_no_finding(key: str, value: object) -> None:
    assert keys(key, value) == []


def findings(lab: Cluster) -> list[str]:
    return [str(finding).removeprefix("/srv/lab/inventory.yaml:") for finding in check(lab, profiles.profile_of(lab))]


def test_values_are_found_where_the_file_says_them_all_at_once() -> None:
    lab = cluster(
        topology="""
  c1:
    address: 10.77.0.11
    roles: [etcd, master, node]
    components:
      kubelet: {config: {maxPods: many}}
      docker:
        args:
          dns:
            - 10.0.0.1
            - name
""",
        more="""
components:
  kube-apiserver: {args: {max-requests-inflight: 4k, enable-admission-plugins: [NodeRestricton]}}
  kubernetes: {args: {v: loud}}
  etcd: {args: {HEARTBEAT_INTERVAL: 100ms, auto-compaction-retention: 1h}}
  kubelet:
    config:
      evictionHard:
        memory.available: 100Mi
        nodefs.avail: 10%
""",
    )
    assert findings(lab) == [
        '7: kubelet: maxPods: must be a whole number, not "many"',
        '12: docker: dns: "name" is not an IP address (such as 10.0.0.10)',
        '15: kube-apiserver: enable-admission-plugins: there is no "NodeRestricton" here (did you mean NodeRestriction?)',
        '15: kube-apiserver: max-requests-inflight: "4k" is not a whole number (such as 50)',
        '16: kubernetes: v: "loud" is not a whole number (such as 2)',
        "17: etcd has no flag HEARTBEAT_INTERVAL (did you mean heartbeat-interval?)",
        '22: kubelet: evictionHard: there is no "nodefs.avail" here (did you mean nodefs.available?)',
    ]


def test_what_is_known_beside_a_program_goes_over_what_it_says() -> None:
    program: dict[str, object] = {"kubelet": {"v": {"type": "Level"}, "x": {"type": "string", "default": "a"}}}
    more: dict[str, object] = {"kubelet": {"x": {"one_of": ["a"]}, "y": "int"}, "etcd": {"z": {}}, "broken": 5}
    assert merged(program, more) == {
        "kubelet": {
            "v": {"type": "Level"},
            "x": {"type": "string", "default": "a", "one_of": ["a"]},
            "y": {"type": "int"},
        },
        "etcd": {"z": {}},
        "broken": 5,
    }
