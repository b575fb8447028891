"""Items of the CIS benchmark: what is judged of files and flags, and what is said of each version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.pure import answers
from k8s_installer import profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.render import Renderer
from k8s_installer.status.benchmark import FILES, FLAGS, FlagRule, Must
from k8s_installer.status.hardening import Judged, Verdict, _holds, judge
from tests.unit.clusters import MODES, cluster, placeholder

# what upstream's kube-bench finds too, with its profile cis-1.20
KNOWN = ["1.1.19", "1.2.9", "1.2.11", "1.2.12", "1.2.15", "1.2.20", "1.2.21", "1.2.22", "1.2.23", "1.2.24", "1.2.34",
         "1.3.1", "1.3.2", "1.4.1", "3.2.1", "4.2.6", "4.2.8", "4.2.9", "4.2.13"]  # fmt: skip


def wants(lab: Cluster) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def judged(lab: Cluster, seen: dict[Ref, Seen] | None = None) -> tuple[Judged, ...]:
    roles = {host.name: frozenset(map(str, host.roles)) for host in lab.hosts}
    return judge(wants(lab), profiles.profile_of(lab).fitting(lab), roles, seen)


def of(found: tuple[Judged, ...], item: str, host: str) -> tuple[str, str]:
    (one,) = (one for one in found if (one.id, one.host) == (item, host))
    return str(one.verdict), one.evidence


def test_what_this_version_does_not_do_yet_is_known() -> None:
    found = judged(cluster())
    assert list(dict.fromkeys(one.id for one in found if one.verdict is Verdict.FAIL)) == KNOWN
    assert not [one for one in found if one.verdict is Verdict.UNKNOWN]
    assert len(found) == len({(one.id, one.host) for one in found})


@pytest.mark.parametrize(("version", "security"), MODES)
def test_hosts_that_have_what_is_wanted_are_judged_as_the_inventory(version: str, security: str) -> None:
    lab = cluster(version, security)
    assert judged(lab, answers(wants(lab))) == judged(lab)


def test_only_hosts_of_a_role_are_judged_for_it() -> None:
    found = judged(cluster(topology="etcd-apart"))
    assert {one.host for one in found if one.id.startswith("1.2.")} == {"m1", "m2"}
    assert {one.host for one in found if one.id.startswith("2.")} == {"e1", "e2", "e3"}
    assert {one.host for one in found if one.id.startswith("4.")} == {"n1"}


def test_what_a_host_has_counts_and_not_what_is_wanted() -> None:
    lab = cluster()
    seen = answers(wants(lab))
    key, flags = (Ref("m1", Kind.FILE, path) for path in ("/etc/kubernetes/pki/sa.key", "/etc/kubernetes/apiserver"))
    yaml, unit = (Ref("n1", Kind.FILE, path) for path in ("/etc/kubernetes/kubelet.yaml", "/etc/kubernetes/kubelet"))
    other = File(b'KUBE_API_ARGS="--anonymous-auth --audit-log-maxage=7 --profiling=false"\n#--audit-log-path=/x\n')
    for ref, file in (
        (key, replace_mode(wants(lab)[key].resource)),
        (flags, other),
        (yaml, File(b"readOnlyPort: 10255\n")),
    ):
        was = seen[ref]
        assert isinstance(was, SeenFile)
        seen[ref] = replace(was, sha256=file.sha256, content=None if ref is key else file.content, mode=file.mode)
    found = judged(lab, seen)
    assert of(found, "1.1.21", "m1") == ("fail", "/etc/kubernetes/pki/sa.key is 0644")
    assert of(found, "1.2.1", "m1") == ("fail", "--anonymous-auth=true")
    assert of(found, "1.2.20", "m1") == ("pass", "--profiling=false")
    assert of(found, "1.2.21", "m1") == ("fail", "--audit-log-path is not set")
    assert of(found, "1.2.22", "m1") == ("fail", "--audit-log-maxage=7")
    assert of(found, "1.2.4", "m1") == ("fail", "--kubelet-client-certificate is not set")
    assert of(found, "4.2.4", "n1") == ("fail", "readOnlyPort: 10255")
    assert of(found, "4.2.4", "n2") == ("pass", "readOnlyPort: 0")
    assert of(found, "4.2.1", "n1") == ("fail", "--anonymous-auth is not set")
    config = seen[yaml]
    assert isinstance(config, SeenFile)
    for broken in (b"- a list\n", b"{"):
        seen[yaml] = replace(config, content=broken)
        assert of(judged(lab, seen), "4.2.10", "n1") == ("fail", "--tls-cert-file is not set")
    seen[unit] = Missing.ABSENT
    assert of(judged(lab, seen), "4.2.8", "n1") == ("unknown", "not all files of kubelet were seen")


def replace_mode(resource: object) -> File:
    assert isinstance(resource, File)
    return replace(resource, mode=0o644)


def test_what_a_host_did_not_show_is_unknown() -> None:
    lab = cluster()
    found = judged(lab, {})
    assert {one.verdict for one in found} == {Verdict.UNKNOWN}
    assert of(found, "1.1.1", "m1") == ("unknown", "not seen: /etc/kubernetes/apiserver")
    assert "and 12 more" in of(found, "1.1.20", "m1")[1] or "more" in of(found, "1.1.20", "m1")[1]


def test_a_file_that_differs_and_was_not_shown_makes_its_flags_unknown() -> None:
    lab = cluster()
    seen = answers(wants(lab))
    ref = Ref("m1", Kind.FILE, "/etc/kubernetes/apiserver")
    was = seen[ref]
    assert isinstance(was, SeenFile)
    seen[ref] = replace(was, sha256="0" * 64, content=None, owner="kube")
    assert of(judged(lab, seen), "1.2.1", "m1")[0] == "unknown"
    assert of(judged(lab, seen), "1.1.2", "m1") == ("fail", "/etc/kubernetes/apiserver is kube:root")


def test_versions_are_judged_by_the_flags_that_they_have() -> None:
    old = judged(cluster("1.5.2", "insecure"))
    assert of(old, "1.2.12", "m1")[0] == "pass"  # SecurityContextDeny, in admission-control
    assert of(old, "1.2.18", "m1") == ("fail", "--insecure-port is not set; its default is 8080")
    assert of(old, "2.2", "m1") == ("fail", "--client-cert-auth is not set")
    assert not [one for one in old if one.id == "3.2.1"]  # there is no such flag
    newer = judged(cluster("1.9.4"))
    assert of(newer, "1.2.16", "m1")[0] == "pass"
    assert of(newer, "1.2.32", "m1")[1].startswith("--experimental-encryption-provider-config=")
    assert of(newer, "1.3.7", "m1") == ("pass", "--address=127.0.0.1")
    assert of(judged(cluster("1.5.2")), "1.2.2", "m1") == ("pass", "--token-auth-file is not set")


@pytest.mark.parametrize(
    ("must", "value", "found", "right"),
    [
        ("be", "false", "false", True), ("be", "false", "true", False), ("be", "0", None, False),
        ("not be", "0", "6443", True), ("not be", "0", "0", False),
        ("be set", "", "/x", True), ("be set", "", "", False), ("not be set", "", None, True), ("not be set", "", "x", False),
        ("have", "A|B", "C,B", True), ("have", "A", "AB", False), ("not have", "A", "B,A", False), ("not have", "A", None, True),
        ("at least", "30", "30", True), ("at least", "30", "9", False), ("at least", "30", "many", False), ("at least", "30", None, False),
    ],
)  # fmt: skip
def test_values_are_compared(must: Must, value: str, found: str | None, *, right: bool) -> None:
    assert _holds(FlagRule("1", "", "", "x", must, value), found) is right


def test_every_item_says_what_it_asks_for_and_has_an_id_of_the_benchmark() -> None:
    for item, what in [(rule.id, rule.what) for rule in FILES] + [(rule.id, rule.what) for rule in FLAGS]:
        assert what
        assert all(part.isdecimal() for part in item.split("."))
    names = [rule.flag.split("|")[0] for rule in FLAGS if rule.component == "kube-apiserver"]
    known = profiles.load("1.20.2").known_flags["kube-apiserver"]
    assert set(names) <= known.keys()
