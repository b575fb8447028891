from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.errors import InstallerError, InventoryError
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    Gate,
    Kind,
    Leaves,
    Missing,
    Package,
    Ref,
    Seen,
    SeenFile,
    SeenUnit,
    Unit,
)
from k8s_installer.planning.etcd.config import start
from k8s_installer.planning.etcd.facts import evidence, further
from k8s_installer.planning.etcd.members import require_members
from k8s_installer.planning.select import narrowed, of_components, on_members
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster, placeholder

CONF = "/etc/etcd/etcd.conf"
LOG = "/var/lib/etcd/default.etcd/member/wal"
ONE = "\n  m1: {address: 10.0.0.1, roles: [etcd, master]}"
THREE = ONE + "".join(f"\n  m{n}: {{address: 10.0.0.{n}, roles: [etcd, master]}}" for n in (2, 3))
IDLE = SeenUnit("loaded", "inactive", "dead", enabled=False, pid=0, started_at=0.0, needs_reload=False)


def wanted(
    hosts: str, version: str = "1.20.2", security: str = "tls", name: str = "lab", more: str = "", dns: str = "none"
) -> Desired:
    text = f'cluster: {{name: {name}, version: "{version}", security: {security}, network: none, dns: {dns}}}\n{more}\nhosts:{hosts}\n  n1: {{address: 10.0.0.99, roles: [node]}}\n'
    lab = inventory.parse(text, Path("/srv/inventory.yaml"))
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def conf(desired: Desired, host: str) -> bytes:
    file = desired[Ref(host, Kind.FILE, CONF)].resource
    assert isinstance(file, File)
    return file.content


def seen(
    desired: Desired, data: Mapping[str, bytes | None], *, used: bool = True, runs: frozenset[str] = frozenset()
) -> dict[Ref, Seen]:
    """Hosts that have data, each with the etcd.conf that it was started with; on the others nothing of etcd runs."""
    found = answers(desired)
    for ref in desired:
        if ref.kind is Kind.DATA and ref.host not in data:
            found[ref] = Missing.ABSENT
        if ref.kind is Kind.UNIT and ref.name != "etcd" and not used:
            found[ref] = IDLE
        if ref.kind is Kind.UNIT and ref.name == "etcd" and ref.host not in {*data, *runs}:
            found[ref] = IDLE
        if ref.name == CONF and ref.host in data:
            content = data[ref.host]
            found[ref] = (
                Missing.ABSENT if content is None else SeenFile(File(content).sha256, 0o644, "root", "root", 0, content)
            )
    return found


def refusal(desired: Desired, found: Mapping[Ref, Seen]) -> tuple[list[str], str]:
    with pytest.raises(InstallerError) as caught:
        require_members(desired, found)
    first, *lines = caught.value.message.splitlines()
    assert first == "etcd must not be started like this; nothing was changed:"
    return [line.strip() for line in lines], caught.value.hint


def test_bare_hosts_and_hosts_that_are_as_wanted_are_let_through() -> None:
    three = wanted(THREE)
    require_members(three, seen(three, {}, used=False))
    require_members(three, answers(three))
    require_members(three, dict.fromkeys(answers(three), Missing.ABSENT))


def test_an_edit_that_adds_members_is_refused_with_what_to_do() -> None:
    one, three = wanted(ONE), wanted(THREE)
    lines, hint = refusal(three, seen(three, {"m1": conf(one, "m1")}))
    adds = "m2=https://10.0.0.2:2380, m3=https://10.0.0.3:2380"
    assert lines == [
        f"m1 has etcd's data and was started with m1=https://10.0.0.1:2380; the inventory adds {adds}",
        f"m2 has no data of etcd in {LOG}: if started, it would form a second, empty cluster; m1 has data",
        f"m3 has no data of etcd in {LOG}: if started, it would form a second, empty cluster; m1 has data",
    ]
    assert hint.startswith("revert the members in the inventory")
    assert "docs/etcd.md" in hint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (THREE, ONE, "leaves out m2=https://10.0.0.2:2380, m3=https://10.0.0.3:2380"),
        (
            ONE,
            ONE.replace("10.0.0.1", "10.0.0.9"),
            "adds m1=https://10.0.0.9:2380, leaves out m1=https://10.0.0.1:2380",
        ),
        (ONE.replace("m1:", "old:"), ONE, "adds m1=https://10.0.0.1:2380, leaves out old=https://10.0.0.1:2380"),
    ],
    ids=["fewer members", "another address", "another name"],
)
def test_members_that_have_data_keep_their_names_and_addresses(old: str, new: str, words: str) -> None:
    before, after = wanted(old), wanted(new)
    (started,) = {conf(before, ref.host) for ref in before if ref.name == CONF and ref.host in ("m1", "old")}
    lines, _ = refusal(after, seen(after, {"m1": started}))
    assert lines[0].endswith(f"; the inventory {words}")


def test_another_scheme_or_token_is_another_cluster() -> None:
    insecure, tls = wanted(THREE, "1.5.2", "insecure"), wanted(THREE, "1.5.2")
    lines, _ = refusal(tls, seen(tls, {"m1": conf(insecure, "m1")}))
    assert "started with m1=http://10.0.0.1:2380, m2=" in lines[0]
    before, after = wanted(ONE), wanted(ONE, name="renamed")
    lines, _ = refusal(after, seen(after, {"m1": conf(before, "m1")}))
    assert lines[0].endswith("the inventory changes the token from lab to renamed")


@pytest.mark.parametrize(("old", "new"), [("insecure", "tls"), ("tls", "insecure")])
def test_the_only_member_may_get_tls_and_lose_it(old: str, new: str) -> None:
    before, after = wanted(ONE, "1.5.2", old), wanted(ONE, "1.5.2", new)
    require_members(after, seen(after, {"m1": conf(before, "m1")}))


@pytest.mark.parametrize(
    ("was", "now", "same"),
    [
        ({"NAME": "m1", "TOKEN": "lab"}, {"NAME": "m1"}, False),  # both without TLS
        ({}, {"CLUSTER": "m1=https://10.0.0.1:2380", "TOKEN": "lab"}, True),
        ({"CLUSTER": "m1=http://10.0.0.1:2380"}, {"CLUSTER": "m1=https://10.0.0.1:2380"}, True),
        ({"CLUSTER": "m1=http://10.0.0.1:2380"}, {"CLUSTER": "m2=https://10.0.0.1:2380"}, False),
        ({"TOKEN": "old"}, {"CLUSTER": "m1=https://10.0.0.1:2380", "TOKEN": "lab"}, False),
        ({}, {"CLUSTER": "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380"}, False),
    ],
)
def test_what_differs_is_tls_alone(was: dict[str, str], now: dict[str, str], *, same: bool) -> None:
    names = {"NAME": "ETCD_NAME", "TOKEN": "ETCD_INITIAL_CLUSTER_TOKEN", "CLUSTER": "ETCD_INITIAL_CLUSTER"}
    one, other = (
        start("".join(f'{names[key]}="{value}"\n' for key, value in said.items()).encode()) for said in (was, now)
    )
    assert one.only_tls_differs(other) is other.only_tls_differs(one) is same


def test_other_edits_of_etcd_are_none_of_its_members() -> None:
    before, after = wanted(THREE), wanted(THREE, more="components: {etcd: {args: {snapshot-count: 5000}}}")
    assert conf(before, "m1") != conf(after, "m1")
    require_members(after, seen(after, {name: conf(before, name) for name in ("m1", "m2", "m3")}))


def test_a_first_start_that_was_cut_off_resumes() -> None:
    three = wanted(THREE)
    for some in (["m1"], ["m1", "m2"], ["m3"]):
        require_members(three, seen(three, {name: conf(three, name) for name in some}, used=False))


def test_a_first_start_that_was_cut_off_does_not_resume_with_other_members() -> None:
    one, three = wanted(ONE), wanted(THREE)
    lines, _ = refusal(three, seen(three, {"m1": conf(one, "m1")}, used=False))
    assert len(lines) == 3
    lines, _ = refusal(three, seen(three, {"m1": None}, used=False))
    assert [line.split()[0] for line in lines] == ["m2", "m3"]


def test_a_member_that_lost_its_data_is_not_started_as_new() -> None:
    three = wanted(THREE)
    found = seen(three, {name: conf(three, name) for name in ("m1", "m2")})
    lines, hint = refusal(three, found)
    assert lines == [
        f"m3 has no data of etcd in {LOG}, and m1, m2 have data of a cluster that is in use: this member has lost its data"
    ]
    assert hint.startswith("mount its disk")
    # neither is one whose host was installed again, and has nothing at all
    bare = {ref: Missing.ABSENT if ref.host == "m3" else state for ref, state in found.items()}
    assert refusal(three, bare)[0] == lines


def test_a_member_that_was_let_in_may_start() -> None:
    joining = wanted(
        THREE.replace(
            "0.3, roles: [etcd, master]",
            "0.3, roles: [etcd, master], components: {etcd: {args: {initial-cluster-state: existing}}}",
        )
    )
    plain = wanted(THREE)
    require_members(joining, seen(joining, {name: conf(plain, name) for name in ("m1", "m2")}))


def test_a_process_without_its_data_is_not_restarted() -> None:
    """`data-dir` was changed: the restart would be a first start."""
    moved = wanted(ONE, more="components: {etcd: {args: {data-dir: /data/etcd}}}")
    lines, hint = refusal(moved, seen(moved, {}, runs=frozenset({"m1"})))
    assert lines == [
        "m1 has no data of etcd in /data/etcd/member/wal, but etcd runs there: its data is elsewhere, or was deleted"
    ]
    assert "set data-dir and wal-dir back" in hint


def test_a_log_of_its_own_is_where_the_data_is() -> None:
    apart = wanted(ONE, more="components: {etcd: {args: {wal-dir: /wal/etcd/}}}")
    assert [ref.name for ref in apart if ref.kind is Kind.DATA] == ["/wal/etcd"]
    with pytest.raises(InventoryError, match="data-dir must be set"):
        wanted(ONE, more="components: {etcd: {args: {data-dir: null}}}")


def test_a_cluster_in_use_whose_data_is_nowhere_is_not_begun_again() -> None:
    three = wanted(THREE)
    lines, hint = refusal(three, seen(three, {}))
    assert lines[0] == (
        f"m1 has no data of etcd in {LOG}, and neither has any other member, but m1: unit kube-apiserver was started before"
    )
    assert "stop and disable kube-apiserver, kube-proxy, kubelet on all hosts first" in hint


def evidence_of(desired: Desired, part: Desired, found: Mapping[Ref, Seen]) -> dict[Ref, Seen]:
    """What a run about a part of the cluster sees: its own, and what is looked at beside it."""
    return {ref: state for ref, state in found.items() if ref in {**evidence(desired, part), **part}}


@pytest.mark.parametrize("part", [{"limit": "m2"}, {"only": "etcd"}, {"limit": "m2", "only": "etcd"}], ids=str)
def test_a_part_of_the_cluster_is_judged_by_all_of_it(part: Mapping[str, str]) -> None:
    one, three = wanted(ONE), wanted(THREE)
    narrow = on_members(three, {part["limit"]}) if "limit" in part else three
    narrow = of_components(narrow, {part["only"]}) if "only" in part else narrow

    def told(found: Mapping[Ref, Seen]) -> str:
        with pytest.raises(InstallerError) as caught:
            require_members(three, evidence_of(three, narrow, found), narrow)
        return caught.value.message

    assert "neither has any other member, but m1: unit kube-apiserver was started before" in told(seen(three, {}))
    assert "has lost its data" in told(seen(three, {name: conf(three, name) for name in ("m1", "m3")}))
    assert "a second, empty cluster; m1 has data" in told(seen(three, {"m1": conf(one, "m1")}))
    for some in ([], ["m1"], ["m1", "m3"]):  # a first start that was cut off
        found = seen(three, {name: conf(three, name) for name in some}, used=False)
        require_members(three, evidence_of(three, narrow, found), narrow)


def test_a_run_that_starts_no_member_is_not_judged_and_looks_at_nothing_more() -> None:
    three = wanted(THREE)
    for part in (of_components(three, {"kube-apiserver"}), on_members(three, {"n1"})):
        assert evidence(three, part) == {}
        require_members(three, seen(three, {}), part)


def test_what_is_looked_at_beside_a_part_is_the_members_and_what_needs_them() -> None:
    three = wanted(THREE)
    looked = evidence(three, on_members(three, {"m2"}))
    assert {(ref.host, ref.name) for ref in looked} == {
        (host, name) for host in ("m1", "m2", "m3") for name in (LOG, CONF, "etcd", "kube-apiserver")
    }


def test_hosts_that_did_not_answer_may_have_the_data() -> None:
    three = wanted(THREE)
    part = on_members(three, {"m2"})

    def told(found: dict[Ref, Seen], away: str) -> tuple[str, str]:
        there = {ref: state for ref, state in found.items() if ref.host != away}
        with pytest.raises(InstallerError) as caught:
            require_members(three, there, part)
        return caught.value.message.splitlines()[1].strip(), caught.value.hint

    nothing = f"m2 has no data of etcd in {LOG}"
    hint = "make these hosts reachable, then run the same command again"
    assert told(seen(three, {}, used=False), "m1") == (f"{nothing}, and m1, which may have it, did not answer", hint)
    some = seen(three, {"m3": conf(three, "m3")}, used=False)
    assert told(some, "m1") == (f"{nothing}, and m1 did not answer whether the cluster is in use", hint)
    # a member that has its data needs nobody's answer
    own = seen(three, {name: conf(three, name) for name in ("m1", "m2", "m3")})
    require_members(three, {ref: state for ref, state in own.items() if ref.host == "m2"}, part)


FLANNEL_CONF, FLANNEL_LOG = "/etc/etcd/flannel.conf", "/var/lib/etcd/flannel.etcd/member/wal"
# files of its clients that name the etcd that they ask
FLANNEL_NAMES = ("/etc/kubernetes/network/flannel.sh", "/etc/sysconfig/flanneld", "/etc/flannel/pki/ca.crt")
VERSIONS = ("1.5.2", "1.9.4", "1.20.2")


def flannel(hosts: str, version: str = "1.20.2", network: str = "flannel") -> Desired:
    lab = cluster(version, topology=f"{hosts}\n  n1: {{address: 10.0.0.99, roles: [node]}}\n", network=network)
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def before_flannels_etcd(desired: Desired) -> dict[Ref, Seen]:
    """A cluster that runs, from before flannel had an etcd of its own: of that nothing is there."""
    found = answers(desired)
    for ref in desired:
        if ref.name in ("flannel-etcd", FLANNEL_CONF, FLANNEL_LOG):
            found[ref] = Missing.ABSENT
        if ref.name in FLANNEL_NAMES:
            found[ref] = SeenFile("0" * 64, 0o755, "root", "root", 0, b"https://127.0.0.1:2379\n")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_flannels_etcd_is_judged_by_its_own_members(version: str) -> None:
    """The cluster's etcd was grown by hand, and that of flannel was not; and a member of it alone lost its disk."""
    one, three = flannel(ONE, version), flannel(THREE, version)
    require_members(three, answers(three))
    file = one[Ref("m1", Kind.FILE, FLANNEL_CONF)].resource
    assert isinstance(file, File)
    grown = answers(three)
    grown[Ref("m1", Kind.FILE, FLANNEL_CONF)] = SeenFile(file.sha256, 0o644, "root", "root", 0, file.content)
    for name in ("m2", "m3"):
        for ref in three:
            if ref.host == name and ref.name in ("flannel-etcd", FLANNEL_CONF, FLANNEL_LOG):
                grown[ref] = Missing.ABSENT
    adds = "m2=https://10.0.0.2:2390, m3=https://10.0.0.3:2390"
    empty = f"has no data of flannel-etcd in {FLANNEL_LOG}: if started, it would form a second, empty cluster"
    assert refusal(three, grown)[0] == [
        f"m1 has flannel-etcd's data and was started with m1=https://10.0.0.1:2390; the inventory adds {adds}",
        f"m2 {empty}; m1 has data",
        f"m3 {empty}; m1 has data",
    ]
    lost = answers(three) | {
        Ref("m3", Kind.DATA, FLANNEL_LOG): Missing.ABSENT,
        Ref("m3", Kind.UNIT, "flannel-etcd"): IDLE,
    }
    (line,), _ = refusal(three, lost)
    assert line.startswith("m3 has no data of flannel-etcd")
    assert line.endswith("m1, m2 have data of a cluster that is in use: this member has lost its data")


def test_a_host_that_joins_the_clusters_etcd_joins_flannels() -> None:
    existing = ", components: {etcd: {args: {initial-cluster-state: existing}}}}"
    joining = flannel(THREE.replace("0.3, roles: [etcd, master]}", f"0.3, roles: [etcd, master]{existing}"))
    found = answers(joining)
    for ref in joining:
        if ref.host == "m3" and ref.name in ("etcd", "flannel-etcd", CONF, FLANNEL_CONF, LOG, FLANNEL_LOG):
            found[ref] = Missing.ABSENT
    require_members(joining, found)


def test_the_first_start_of_flannels_etcd_in_a_cluster_from_before_it_begins_and_resumes() -> None:
    three = flannel(THREE)
    found = before_flannels_etcd(three)
    require_members(three, found)
    begun = answers(three)
    for name in ("m1", "m2"):
        begun[Ref(name, Kind.UNIT, "flannel-etcd")] = replace(IDLE, enabled=True)  # it failed, or was not begun
        begun[Ref(name, Kind.DATA, FLANNEL_LOG)] = Missing.ABSENT
    for ref, state in begun.items():
        if ref.name in ("flannel-network", "flanneld"):  # their files are there, and they run by those of before
            assert isinstance(state, SeenUnit)
            begun[ref] = replace(state, started_at=500.0)
    require_members(three, begun)
    for name in ("flannel-network", "flanneld"):
        running = {ref: answers(three)[ref] if ref.name == name else state for ref, state in begun.items()}
        lines, _ = refusal(three, running)
        assert all("has lost its data" in line for line in lines)
        assert len(lines) == 2
    part = on_members(three, {"m2"})
    require_members(three, evidence_of(three, part, begun), part)
    with pytest.raises(InstallerError, match="has lost its data"):
        require_members(three, evidence_of(three, part, running), part)


def test_going_back_to_an_older_file_is_judged_by_the_data_alone() -> None:
    three = wanted(THREE)
    ref = Ref("m1", Kind.FILE, CONF)
    for old in (Backup("0" * 64, 0o644, "root", "root"), Absent()):
        back = {**three, ref: replace(three[ref], resource=old)}
        found = seen(three, {name: conf(three, name) for name in ("m1", "m2", "m3")})
        require_members(back, found)
        lines, _ = refusal(
            back, {**found, Ref("m1", Kind.DATA, LOG): Missing.ABSENT, Ref("m1", Kind.UNIT, "etcd"): IDLE}
        )
        assert len(lines) == 1


def test_what_the_file_does_not_say_has_etcds_default() -> None:
    bare = start(b"# nothing\n")
    assert (set(bare.members), bare.token, bare.joins) == ({"default=http://localhost:2380"}, "etcd-cluster", False)
    said = start(b'ETCD_INITIAL_CLUSTER="a=http://1:2380, b=http://2:2380"\nETCD_INITIAL_CLUSTER_STATE=existing\n')
    assert (set(said.members), said.joins) == ({"a=http://1:2380", "b=http://2:2380"}, True)


def test_a_rollback_is_judged_by_the_members_that_it_would_start() -> None:
    """It leaves etcd.conf as it is, whatever the inventory says by now; but what is down comes up."""
    one, three = wanted(ONE), wanted(THREE)
    back = narrowed(three, lambda item: isinstance(item.resource, Unit | Gate))
    require_members(
        three, evidence_of(three, back, seen(three, {"m1": conf(one, "m1")}, runs=frozenset({"m2", "m3"}))), back
    )
    lost = seen(three, {name: conf(three, name) for name in ("m1", "m2")})
    with pytest.raises(InstallerError, match=r"m3 has no data .* this member has lost its data"):
        require_members(three, evidence_of(three, back, lost), back)
    older = {**back, Ref("m1", Kind.FILE, CONF): replace(three[Ref("m1", Kind.FILE, CONF)], resource=Absent())}
    whole = seen(three, {name: conf(three, name) for name in ("m1", "m2", "m3")})
    require_members(three, evidence_of(three, older, whole), older)
    with pytest.raises(InstallerError, match="m1 has no data"):
        require_members(three, {**whole, Ref("m1", Kind.DATA, LOG): Missing.ABSENT}, older)


def test_a_rollback_does_not_take_etcd_to_a_folder_with_older_data() -> None:
    one, moved = wanted(ONE), wanted(ONE, more="components: {etcd: {args: {data-dir: /data/etcd}}}")
    ref = Ref("m1", Kind.FILE, CONF)
    old, new = conf(one, "m1"), conf(moved, "m1")
    back = {**moved, ref: replace(moved[ref], resource=Backup(File(old).sha256, 0o644, "root", "root"))}
    found = answers(moved)
    state = SeenFile(File(new).sha256, 0o644, "root", "root", 0, new, kept=old)
    with pytest.raises(InstallerError) as caught:
        require_members(moved, found | {ref: state}, back)
    assert caught.value.message.splitlines()[1].strip() == (
        "etcd runs on m1 with its data in /data/etcd; it would restart with /var/lib/etcd/default.etcd"
    )
    assert "stop etcd there, move the data to the new folder by hand" in caught.value.hint
    for same in (replace(state, kept=new + b"# a comment\n"), replace(state, kept=None), Missing.ABSENT):
        require_members(moved, found | {ref: same}, back)


def as_before(before: Desired, after: Desired) -> dict[Ref, Seen]:
    """Hosts that run as `before` says, looked at for `after`; every folder of `after` has a log."""
    found = answers(after)
    for ref, item in after.items():
        old = before[ref].resource if ref in before else None
        if isinstance(item.resource, File) and isinstance(old, File) and old.sha256 != item.resource.sha256:
            found[ref] = SeenFile(old.sha256, old.mode, old.owner, old.group, 1000.0, old.content)
    return found


def stopped(found: Mapping[Ref, Seen], host: str, unit: str = "etcd") -> dict[Ref, Seen]:
    """The same, but for this unit, which has failed; it stays enabled."""
    ref = Ref(host, Kind.UNIT, unit)
    return {**found, ref: replace(IDLE, active="failed", sub="failed", enabled=True)}


@pytest.mark.parametrize(
    ("flag", "folders"),
    [
        ("data-dir: /srv/etcd", "/srv/etcd"),
        ("wal-dir: /wal/etcd", "/var/lib/etcd/default.etcd and /wal/etcd"),
        ("data-dir: /srv/etcd, wal-dir: /var/lib/etcd/default.etcd/member/wal", None),
    ],
)
def test_a_running_etcd_keeps_its_folders_also_where_another_has_a_log(flag: str, folders: str | None) -> None:
    """A copy that an earlier move left there: the API would serve old data."""
    one, moved = wanted(ONE), wanted(ONE, more=f"components: {{etcd: {{args: {{{flag}}}}}}}")
    lines, hint = refusal(moved, as_before(one, moved))
    assert lines == [
        "etcd runs on m1 with its data in /var/lib/etcd/default.etcd; it would restart with "
        + (folders or "/srv/etcd and /var/lib/etcd/default.etcd/member/wal")
    ]
    assert "stop etcd there, move the data" in hint


def edited_by_hand(found: Mapping[Ref, Seen], log: Ref, content: bytes, written: float) -> dict[Ref, Seen]:
    """The etcd that runs was started before somebody edited its file; its log was last written at that time."""
    unit = found[Ref("m1", Kind.UNIT, "etcd")]
    assert isinstance(unit, SeenUnit)
    file = SeenFile(File(content).sha256, 0o644, "root", "root", unit.started_at + 60, content)
    state = SeenFile("", 0o600, "etcd", "etcd", unit.started_at + written)
    return {**found, Ref("m1", Kind.FILE, CONF): file, log: state}


def test_the_folder_of_what_runs_counts_where_its_file_was_edited_by_hand() -> None:
    """An edit to another folder can be taken back; one that the inventory follows would restart etcd on old data."""
    one, moved = wanted(ONE), wanted(ONE, more="components: {etcd: {args: {data-dir: /srv/etcd}}}")
    log, copy = Ref("m1", Kind.DATA, LOG), Ref("m1", Kind.DATA, "/srv/etcd/member/wal")
    elsewhere = conf(moved, "m1")
    require_members(one, edited_by_hand(answers(one), log, elsewhere, written=90))
    lines, _ = refusal(one, edited_by_hand(answers(one), log, elsewhere, written=-90))
    assert lines == ["etcd runs on m1 with its data in /srv/etcd; it would restart with /var/lib/etcd/default.etcd"]
    lines, hint = refusal(moved, edited_by_hand(answers(moved), copy, elsewhere, written=-90))
    words = "etcd on m1 was started before its file changed, and does not write to /srv/etcd/member/wal"
    assert lines == [f"{words}: its data is elsewhere"]
    assert "systemctl show -p MainPID etcd" in hint
    # a run that was cut off before its restart
    require_members(moved, edited_by_hand(answers(moved), copy, elsewhere, written=0.1))


def test_folders_that_the_file_does_not_name_are_etcds_own() -> None:
    one = wanted(ONE)
    ref = Ref("m1", Kind.FILE, CONF)
    for lines, same in (
        (b'ETCD_DATA_DIR="/var/lib/etcd/default.etcd/"\n', True),
        (b"ETCD_NAME=default\n", True),
        (b"", True),
        (b"ETCD_NAME=m1\n", False),
        (b"ETCD_DATA_DIR=/srv/etcd\nETCD_WAL_DIR=/srv/etcd/member/wal/\n", False),
    ):
        plain = b"".join(line + b"\n" for line in conf(one, "m1").split(b"\n") if b"_DIR" not in line)
        content = plain.replace(b'ETCD_NAME="m1"\n', b"") + lines
        found = answers(one) | {ref: SeenFile(File(content).sha256, 0o644, "root", "root", 0, content)}
        if same:
            require_members(one, found)
        else:
            assert refusal(one, found)[0][0].startswith("etcd runs on m1 with its data in /")


def test_a_stopped_etcd_is_started_in_another_folder_only_where_its_log_was_moved_away() -> None:
    one, moved = wanted(ONE), wanted(ONE, more="components: {etcd: {args: {data-dir: /srv/etcd}}}")
    found = stopped(as_before(one, moved), "m1")
    old = Ref("m1", Kind.DATA, LOG)
    asked = further(moved, found, moved)
    assert [(ref, item.ref) for ref, item in asked.items()] == [(old, old)]
    there = found | {old: SeenFile("", 0o600, "etcd", "etcd", 0)}
    lines, hint = refusal(moved, there)
    assert lines == [f"m1 still has etcd's log in {LOG}; it would start with /srv/etcd"]
    assert "no log is left in the old one" in hint
    # nor where the new folder has none, or where nobody could look
    assert refusal(moved, there | {Ref("m1", Kind.DATA, "/srv/etcd/member/wal"): Missing.ABSENT})[0] == lines
    assert refusal(moved, found)[0] == [line.replace("still has", "may still have") for line in lines]
    require_members(moved, found | {old: Missing.ABSENT})


def test_a_stopped_etcd_whose_log_stays_where_it_is_may_start() -> None:
    before = wanted(ONE, more="components: {etcd: {args: {wal-dir: /wal/etcd}}}")
    after = wanted(ONE, more="components: {etcd: {args: {wal-dir: /wal/etcd, data-dir: /srv/etcd}}}")
    found = stopped(as_before(before, after), "m1")
    assert further(after, found, after) == {}
    require_members(after, found)


JOINING = THREE.replace(
    "0.3, roles: [etcd, master]",
    "0.3, roles: [etcd, master], components: {etcd: {args: {initial-cluster-state: existing}}}",
)


def test_a_member_that_joined_before_and_lost_its_data_is_not_let_in_by_what_is_left_of_that() -> None:
    joining = wanted(JOINING)
    lost = stopped(answers(joining), "m3") | {Ref("m3", Kind.DATA, LOG): Missing.ABSENT}
    lines, hint = refusal(joining, lost)
    before = "was started with initial-cluster-state existing before"
    assert lines == [f"m3 has no data of etcd in {LOG}, but {before}: it has lost its data"]
    assert "remove the member and add it again, then systemctl disable etcd on m3" in hint
    # that was done; or a run was cut off before its first start; or the host was installed again
    require_members(joining, lost | {Ref("m3", Kind.UNIT, "etcd"): IDLE})
    require_members(joining, lost | {Ref("m3", Kind.FILE, CONF): Missing.ABSENT})


def test_a_member_that_joined_and_runs_is_judged_like_the_others() -> None:
    joining = wanted(JOINING)
    runs = answers(joining) | {Ref("m3", Kind.DATA, LOG): Missing.ABSENT}
    assert refusal(joining, runs)[0][0].endswith("but etcd runs there: its data is elsewhere, or was deleted")
    moved = wanted(JOINING.replace("state: existing", "state: existing, data-dir: /srv/etcd"))
    found = as_before(joining, moved) | {Ref("m3", Kind.DATA, "/srv/etcd/member/wal"): Missing.ABSENT}
    assert refusal(moved, found)[0][0].startswith("etcd runs on m3 with its data in /var/lib/etcd/default.etcd; it")


def test_nodes_show_that_a_cluster_is_in_use_where_all_its_masters_are_new() -> None:
    one = wanted(ONE)
    new = {ref: Missing.ABSENT if ref.host == "m1" else state for ref, state in answers(one).items()}
    lines, _ = refusal(one, new)
    assert lines == [
        f"m1 has no data of etcd in {LOG}, and neither has any other member, but n1: unit kubelet was started before"
    ]
    # docker may be older than the cluster
    for ref in one:
        if ref.host == "n1" and ref.kind is Kind.UNIT and ref.name != "docker":
            new[ref] = IDLE
    require_members(one, new)


def test_nodes_are_asked_about_a_part_only_where_it_would_begin_an_empty_etcd() -> None:
    one = wanted(ONE)
    part = on_members(one, {"m1"})
    new = {ref: Missing.ABSENT if ref.host == "m1" else state for ref, state in answers(one).items()}
    seen_first = evidence_of(one, part, new)
    asked = further(one, seen_first, part)
    assert {(ref.host, ref.name) for ref in asked} == {("n1", "kubelet"), ("n1", "kube-proxy")}
    with pytest.raises(InstallerError, match="n1: unit kubelet was started before"):
        require_members(one, {ref: new[ref] for ref in {**evidence(one, part), **part, **asked} if ref in new}, part)
    assert further(one, evidence_of(one, part, answers(one)), part) == {}
    assert further(one, new, one) == {}


@pytest.mark.parametrize("lost", [["m3"], ["m1", "m2", "m3"]], ids=str)
@pytest.mark.parametrize("version", VERSIONS)
def test_another_edit_of_flannel_does_not_make_its_lost_etcd_a_first_start(version: str, lost: list[str]) -> None:
    before = flannel(THREE, version)
    after = flannel(THREE, version, network="flannel, flannel: {backend: host-gw}")
    found = as_before(before, after)
    for host in lost:
        found = stopped(found, host, "flannel-etcd") | {Ref(host, Kind.DATA, FLANNEL_LOG): Missing.ABSENT}
    for ref, state in found.items():  # and none of its clients has restarted since an edit of before
        if ref.name in FLANNEL_NAMES[:2]:
            assert isinstance(state, SeenFile)
            lines, _ = refusal(after, found)
            assert [line.split()[0] for line in lines] == lost
            found = {**found, ref: replace(state, modified_at=3000.0)}
    lines, _ = refusal(after, found)
    assert [line.split()[0] for line in lines] == lost
    assert all("flanneld was started before" in line or "has lost its data" in line for line in lines)


def left(desired: Desired, host: str, name: str) -> Leaves:
    """What programs leave there, by the name of their unit and of their package."""
    unit, package = (desired[Ref(host, kind, name)].resource for kind in (Kind.UNIT, Kind.PACKAGE))
    assert isinstance(unit, Unit)
    assert isinstance(package, Package)
    assert unit.leaves is not None
    assert unit.leaves == package.leaves
    return unit.leaves


def test_data_in_folders_that_the_inventory_chooses_is_data_too() -> None:
    found = left(
        wanted(ONE, more="components: {etcd: {args: {data-dir: /srv/etcd/, wal-dir: /wal/etcd}}}"), "m1", "etcd"
    )
    assert set(found.data) == set(found.folders) == {"/var/lib/etcd", "/srv/etcd", "/wal/etcd"}
    usual = left(wanted(ONE), "m1", "etcd")
    assert usual.data == usual.folders == ("/var/lib/etcd",)


def test_a_folder_directly_below_the_root_is_never_removed() -> None:
    found = left(wanted(ONE, more="components: {etcd: {args: {data-dir: /data}}}"), "m1", "etcd")
    assert found.data == ("/var/lib/etcd", "/data")
    assert found.folders == ("/var/lib/etcd",)


@pytest.mark.parametrize(("version", "flag"), [("1.20.2", "data-root"), ("1.5.2", "graph")])
def test_volumes_are_data_wherever_docker_keeps_them(version: str, flag: str) -> None:
    usual = left(wanted(ONE, version), "n1", "docker")
    assert usual.data == ("/var/lib/docker/volumes", "/var/lib/docker/*.*/volumes")
    assert set(usual.data) < set(usual.folders)
    moved = left(
        wanted(ONE, version, more=f"components: {{docker: {{args: {{{flag}: /data/docker}}}}}}"), "n1", "docker"
    )
    assert moved.data == (*usual.data, "/data/docker/volumes", "/data/docker/*.*/volumes")
    assert set(moved.folders) == {*usual.folders, "/data/docker", *moved.data}


def test_a_folder_that_no_shell_could_name_is_nobodys() -> None:
    usual, odd = (
        left(wanted(ONE, more=f"components: {{docker: {{args: {{{args}}}}}}}"), "n1", "docker")
        for args in ("debug: false", "data-root: relative")
    )
    assert odd == usual
