from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from k8s_installer import acceptance
from k8s_installer.acceptance import Result, Results
from k8s_installer.engine.scheduler import apply
from k8s_installer.inventory import Cluster, parse
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    File,
    Kind,
    Leaves,
    Missing,
    Package,
    Ref,
    Seen,
    SeenFile,
    SeenPackage,
    SeenSetting,
    Setting,
    Unit,
)
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.report import data, ending, text, timing, verify
from k8s_installer.report import test as infra
from k8s_installer.report.diff import flags, unified
from k8s_installer.verify import CheckResult, Proof, Status
from tests.fakes import FakeHost
from tests.unit.example import CONFIG, desired, hosts
from tests.unit.test_placed import applied, want, wanted
from tests.unit.test_placed import planned as plan_of
from tests.unit.test_plan import converged, planned, with_setting

OLD = b'# the proxy\nKUBE_PROXY_ARGS="--v=0 --conntrack-max-per-core=0"\n'
NEW = b'# the proxy\nKUBE_PROXY_ARGS="--v=0 --conntrack-max-per-core=32768 --masquerade-all"\n'


def cluster() -> Cluster:
    inventory = """\
cluster: {name: lab, version: "1.20.2"}
hosts: {m1: {address: 10.0.0.1, roles: [etcd, master]}, n1: {address: 10.0.0.2, roles: [node]}}
"""
    return parse(inventory, Path("cluster.yaml"))


def edited() -> Plan:
    fleet = hosts()
    apply(planned(desired(config=File(OLD)), fleet), fleet, lambda event: None, threading.Event())
    return planned(desired(config=File(NEW)), fleet)


def printed(*lines: object, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    for line in lines:
        console.print(line)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_changed_flag_is_one_line_of_diff_and_one_line_of_words() -> None:
    diff = unified(edited().changes[0])
    assert diff[:2] == [f"--- m1:{CONFIG}", f"+++ m1:{CONFIG}"]
    assert [line for line in diff if line[0] in "+-" and line[:3] not in ("---", "+++")] == [
        '-KUBE_PROXY_ARGS="--v=0 --conntrack-max-per-core=0"',
        '+KUBE_PROXY_ARGS="--v=0 --conntrack-max-per-core=32768 --masquerade-all"',
    ]
    assert flags(diff) == ["--conntrack-max-per-core: 0 → 32768", "--masquerade-all: (not set) → "]


def test_flags_are_read_within_either_quote() -> None:
    diff = ["-OPTIONS='--a=1 --b=x'", "+OPTIONS='--a=1 --b=x --c=h:5000'"]
    assert flags(diff) == ["--c: (not set) → h:5000"]
    assert flags(['-A="--v=0"', "+A=--v=1"]) == ["--v: 0 → 1"]


def test_only_words_that_are_flags_are_told_one_by_one() -> None:
    assert flags(['-A="x --v=0"', '+A="y --v=0"', "+# no variable"]) == []
    assert flags(['-A="--key=a --key=c"', '+A="--key=b --key=c"']) == ["--key: a, c → b, c"]


def test_a_secret_is_a_sum_in_every_form() -> None:
    wanted = desired(key=File(b"new secret\n", 0o600, "kube", "kube", secret=True))
    for plan in (planned(wanted, hosts()), planned(wanted, converged())):
        shown = json.dumps(data.plan_data(cluster(), plan)) + printed(
            *text.plan_lines(cluster(), plan, desired(), text.View(details=True))
        )
        assert "new secret" not in shown
        assert "(secret)" in shown


def test_a_plan_reads_by_component_with_reasons() -> None:
    shown = printed(*text.plan_lines(cluster(), edited(), desired()))
    assert "Plan for lab: Kubernetes 1.20.2 on 2 hosts" in shown
    assert f"m1  ~ update {CONFIG}  (the content differs)" in shown
    assert f"m1  ↻ restart kube-apiserver  ({CONFIG} changes)" in shown
    assert shown.rstrip().endswith("Plan: 1 file to update, 1 restart, 1 health gate.")


def test_names_of_hosts_are_shown_as_the_lines_that_they_are() -> None:
    def change(name: str, before: Seen, value: str) -> Change:
        return Change(Ref("m1", Kind.SETTING, name), Action.SET, "host", before, Setting(value), "a test")

    grown = change("hosts-file", SeenSetting("10.0.0.1=m1"), "10.0.0.1=m1,10.0.0.2=n1")
    assert unified(grown) == ["--- m1:/etc/hosts", "+++ m1:/etc/hosts", "@@ -1,0 +2 @@", "+10.0.0.2 n1"]
    assert unified(change("hosts-file", Missing.ABSENT, "10.0.0.1=m1"))[2:] == ["@@ -0,0 +1 @@", "+10.0.0.1 m1"]
    assert unified(change("swap", SeenSetting("on"), "off")) == []
    shown = printed(*text.plan_lines(cluster(), Plan((grown,), ((),)), desired()))
    assert "m1  ~ set hosts-file to 2 names  (a test)\n      --- /etc/hosts" in shown


def test_new_files_are_counted_and_shown_in_full_when_asked() -> None:
    plan = planned(desired(), hosts())
    brief = printed(*text.plan_lines(cluster(), plan, desired()))
    assert f"+ create {CONFIG}  0644 root:root, 1 line" in brief
    assert "0600 kube:kube, secret" in brief
    assert "+ install package kubernetes-master 1.20.2  (not installed)" in brief
    assert "+ install package kubernetes-node  (not installed)" in brief
    assert "daemon-reload for kubelet" in brief
    assert "+KUBE_LOG_LEVEL=0" not in brief
    assert "# it is an example" not in brief
    assert "# it is an example" in printed(*text.plan_lines(cluster(), plan, desired(), text.View(details=True)))
    assert "+KUBE_LOG_LEVEL=0" in printed(*text.plan_lines(cluster(), plan, desired(), text.View(details=True)))


def test_what_cannot_be_undone_is_said_in_the_plan() -> None:
    plan = planned(desired(master=Package("kubernetes-master", "1.20.3")), converged())
    assert "cannot be rolled back" in printed(*text.plan_lines(cluster(), plan, desired()))


def test_attributes_are_named() -> None:
    plan = planned(desired(config=File(b"KUBE_LOG_LEVEL=0\n", 0o600)), converged())
    assert text.change_words(plan.changes[0]) == f"set mode and owner of {CONFIG}"
    assert unified(plan.changes[0]) == []


def test_no_changes_says_so() -> None:
    assert text.totals(Plan((), ())) == "No changes: every host matches the inventory."


def test_json_has_before_and_wanted_of_every_kind() -> None:
    plan = planned(desired(config=File(NEW), master=Package("kubernetes-master", "1.20.3")), converged())
    shown = data.plan_data(cluster(), plan)
    changes = shown["changes"]
    assert isinstance(changes, list)
    assert [change["before"] is not None for change in changes] == [True, True, True, False]
    assert [change["wanted"] is not None for change in changes] == [False, True, False, True]
    assert shown["summary"] == {"upgrade": 1, "update": 1, "restart": 1, "wait": 1}


def events() -> tuple[Plan, Run]:
    """A run by hand: a file (ours), its unit 2 s, a gate 3 s that overlaps nothing."""
    plan = edited()
    run = [(0, State.RUNNING, 10.0), (0, State.DONE, 10.5), (1, State.RUNNING, 10.5), (1, State.DONE, 12.5),
           (2, State.RUNNING, 13.0), (2, State.DONE, 16.0)]  # fmt: skip
    return plan, Run(tuple(Event(index, state, at) for index, state, at in run), interrupted=False)


def test_time_is_told_by_phase_and_by_whose_it_was() -> None:
    plan, run = events()
    assert timing.phases(plan, run) == {CONFIG: 0.5, "kube-apiserver": 2.0, "kube-apiserver is ready": 3.0}
    assert timing.waiting(plan, run) == 5.0
    around = {"preflight": 0.5, "verify": 1.5}
    shown = printed(ending.applied(plan, run, around, total=8.0, inventory=Path("c.yaml")), width=300)
    assert "Sent" not in shown
    went = printed(
        ending.applied(plan, replace(run, sent={"n1": 1_500_000, "m1": 2_000_000}), around, 8.0, Path("c.yaml"))
    )
    assert "Sent 3.5 MB of files: m1 2.0, n1 1.5" in went
    assert "Done in 8.0 s: 7.0 s waiting for hosts (yum," in shown
    assert "1.0 s in this tool." in shown
    phases = [line.split()[0] for line in shown.splitlines()[1:-2]]
    assert (phases[0], phases[-1]) == ("preflight", "verify")
    nothing = printed(ending.applied(plan, run, dict.fromkeys(around, 0.0), total=8.0, inventory=Path("c.yaml")))
    assert "preflight" not in nothing
    assert "verify" not in nothing


def test_work_at_the_same_time_on_two_hosts_counts_once() -> None:
    plan = planned(desired(), hosts())
    packages = [index for index, change in enumerate(plan.changes) if isinstance(change.after, Package)]
    first, second = packages
    run = Run(
        (Event(first, State.RUNNING, 1.0), Event(second, State.RUNNING, 2.0), Event(first, State.DONE, 3.0),
         Event(second, State.DONE, 5.0), Event(1, State.SKIPPED, 6.0), Event(3, State.FAILED, 7.0)),
        interrupted=False,
    )  # fmt: skip
    assert timing.waiting(plan, run) == 4.0
    assert timing.phases(plan, run) == {"kubernetes-master": 2.0, "kubernetes-node": 3.0}


def test_a_failure_shows_the_evidence_the_diff_and_the_next_command() -> None:
    plan = edited()
    run = Run(
        (Event(0, State.DONE, 1.0), Event(1, State.FAILED, 2.0, "Job failed\n--- journal\nunknown flag"),
         Event(2, State.SKIPPED, 3.0, "it depends on m1")),
        interrupted=True,
    )  # fmt: skip
    went = printed(ending.failed(plan, replace(run, sent={"n1": 1_500_000}), [], Path("c.yaml"), Path("t.trace")))
    assert "Sent 1.5 MB of files: n1 1.5; finished parts are not sent again." in went
    shown = printed(ending.failed(plan, run, [], Path("c.yaml"), Path("t.trace")))
    assert "m1: could not restart kube-apiserver" in shown
    assert "  unknown flag" in shown
    assert '  -KUBE_PROXY_ARGS="--v=0 --conntrack-max-per-core=0"' in shown
    assert "Stopped on request" in shown
    assert "1 change was not started because of this." in shown
    assert "k8s-installer apply -i c.yaml" in shown


def ended(plan: Plan, *failures: tuple[int, str]) -> list[str]:
    run = Run(tuple(Event(index, State.FAILED, 1.0, detail) for index, detail in failures), interrupted=False)
    return printed(ending.failed(plan, run, [], Path("c.yaml"), Path("t.trace")), width=200).splitlines()


def test_a_failure_begins_with_what_why_and_what_to_do() -> None:
    journal = "Job failed\n--- errors in its journal\nNov 26 02:31:30 m1 kube[1]: E1126 02:31:30.2 1 x.go:2] bad flag"
    assert ended(edited(), (1, journal))[:6] == [
        "error: m1: could not restart kube-apiserver",
        "  why: kube: bad flag",
        "  next: fix the cause, then k8s-installer apply -i c.yaml",
        "  evidence from m1:",
        "    Job failed",
        "    --- errors in its journal",
    ]
    assert ended(edited(), (2, "m1: lost the connection\nhint: check the cable"))[:3] == [
        "error: m1: gave up waiting until kube-apiserver is ready",
        "  why: lost the connection",
        "  next: check the cable",
    ]


def test_the_same_failure_of_many_hosts_is_one_with_the_evidence_of_the_first() -> None:
    changes = tuple(
        Change(Ref(f"n{n}", Kind.UNIT, "kubelet"), Action.START, "kubelet", Missing.ABSENT, Unit("kubelet"), "new")
        for n in (1, 2, 3, 4)
    )
    plan = Plan(changes, ((),) * 4)
    shown = ended(plan, *((index, f"no n{index + 1}\nits words") for index in range(3)), (3, "another"))
    assert shown[:8] == [
        "error: n1 to n3: could not start kubelet",
        "  why: no n1",
        "  next: fix the cause, then k8s-installer apply -i c.yaml",
        "  evidence from n1, the trace has the rest:",
        "    no n1",
        "    its words",
        "error: n4: could not start kubelet",
        "  why: another",
    ]


@pytest.mark.parametrize(("index", "led_here"), [(0, False), (2, True)])
def test_only_units_and_gates_have_diffs_that_led_to_them(index: int, *, led_here: bool) -> None:
    plan = edited()
    shown = printed(
        ending.failed(plan, Run((Event(index, State.FAILED, 1.0, "x"),), interrupted=False), [], Path("c"), Path("t"))
    )
    assert ("KUBE_PROXY_ARGS" in shown) is led_here


def failed_and_undone(*, well: bool) -> str:
    fleet = converged()
    plan = planned(desired(config=File(NEW)), fleet)
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    run = apply(plan, fleet, lambda event: None, threading.Event())
    back = undo(plan, run, failed_turns(plan, run)[0])
    if well:
        fleet["m1"].refuses.clear()
    way = apply(back, fleet, lambda event: None, threading.Event())
    return printed(ending.failed(plan, run, [(back, way)], Path("c.yaml"), Path("run.trace")))


def test_packages_that_a_failed_turn_leaves_in_a_new_version_are_named() -> None:
    fleet = converged()
    fleet["m1"].packages["kubernetes-master"] = SeenPackage("1.4.0", "1", 1.0)
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    plan = planned(desired(), fleet)
    run = apply(plan, fleet, lambda event: None, threading.Event())
    shown = printed(ending.failed(plan, run, [], Path("c.yaml"), Path("run.trace")))
    assert "m1 keeps the new version of kubernetes-master: packages are not rolled back." in shown
    assert "keeps the new version" not in failed_and_undone(well=True)


def test_the_way_back_is_told_with_both_failures_if_it_fails_too() -> None:
    assert "was rolled back: 3 changes undone, healthy again." in failed_and_undone(well=True)
    shown = failed_and_undone(well=False)
    assert "m1: could not restart kube-apiserver" in shown
    assert "m1: the rollback also failed: could not restart kube-apiserver" in shown
    assert "Full trace: run.trace" in shown


def test_a_setting_reads_as_what_it_was_and_will_be() -> None:
    fleet, wanted = converged(), with_setting("selinux", "permissive")
    fleet["m1"].settings["selinux"] = "enforcing"
    plan = planned(wanted, fleet)
    shown = printed(*text.plan_lines(cluster(), plan, wanted))
    assert "m1  ~ set selinux to permissive  (enforcing instead of permissive)" in shown
    assert shown.rstrip().endswith("Plan: 1 setting to change.")
    changes = data.plan_data(cluster(), plan)["changes"]
    assert isinstance(changes, list)
    assert (changes[0]["before"], changes[0]["wanted"]) == ({"value": "enforcing"}, {"value": "permissive"})


def test_a_check_is_a_line_and_a_failed_one_has_what_to_read() -> None:
    passed = CheckResult(Status.PASSED, "health gates", "all 7 hold", 0.5)
    failed = CheckResult(Status.FAILED, "pods run", "1 of 2 [after 60 s]", 61.25, ("n1: ErrImagePull",))
    shown = printed(verify.lines(passed), verify.lines(failed))
    assert shown == (
        "✓ health gates  all 7 hold  0.5\u00a0s\n✗ pods run  1 of 2 [after 60 s]  61.2\u00a0s\n    n1: ErrImagePull\n"
    )
    proof = Proof((passed, failed), 61.75)
    found = json.loads(json.dumps(verify.data(proof)))
    assert (found["passed"], found["seconds"], proof.passed) == (False, 61.75, False)
    assert [(check["name"], check["status"]) for check in found["checks"]] == [
        ("health gates", "passed"),
        ("pods run", "failed"),
    ]
    assert found["checks"][1]["evidence"] == ["n1: ErrImagePull"]


def about(plan: Plan) -> Desired:
    return {change.ref: want(change.ref.kind, change.ref.name, change.after) for change in plan.changes}


def test_what_leaves_reads_as_what_it_is_and_secrets_stay_sums() -> None:
    host = FakeHost("n1", brings={"kubelet": ["kubelet"]})
    for path, content in (("/etc/motd", b"theirs\n"), ("/etc/key", b"their secret\n")):
        host.files[path], host.contents[path] = SeenFile(File(content).sha256, 0o644, "root", "root", 1.0), content
    leaves = Leaves("kubelet", ("/var/lib/kubelet",), data=("/var/lib/kubelet/volumes",))
    package = want(Kind.PACKAGE, "kubelet", Package("kubelet", leaves=leaves))
    unit = want(Kind.UNIT, "kubelet", Unit("kubelet"), package.ref)
    files = [want(Kind.FILE, "/etc/motd", File(b"ours\n")), want(Kind.FILE, "/etc/new", File(b"new\n"))]
    keys = [want(Kind.FILE, path, File(b"our secret\n", secret=True)) for path in ("/etc/key", "/etc/newkey")]
    applied(wanted(package, unit, *files, *keys), host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    plan = plan_of(wanted(), {"n1": host})
    shown = printed(*text.plan_lines(cluster(), plan, about(plan), text.View(details=True)))
    for words in (
        "■ stop kubelet", "restore /etc/motd", "remove /etc/new", "clean up after kubelet", "/var/lib/kubelet)",
        "uninstall package kubelet", "-ours", "+theirs", "-new",
    ):  # fmt: skip
        assert words in shown
    told = json.dumps(data.plan_data(cluster(), plan))
    assert "secret" not in (shown + told).replace('"secret": ', "")
    changes = {change["name"]: change for change in json.loads(told)["changes"] if change["kind"] != "unit"}
    assert changes["/etc/key"]["diff"] == [
        f"-sha256 {File(b'our secret' + bytes([10])).sha256[:16]}", f"+sha256 {File(b'their secret' + bytes([10])).sha256[:16]}",
    ]  # fmt: skip
    assert changes["/etc/newkey"]["diff"] == [f"-sha256 {File(b'our secret' + bytes([10])).sha256[:16]}"]
    assert (changes["/etc/motd"]["action"], changes["/etc/new"]["diff"][1]) == ("restore", "+++ /dev/null")
    assert [change["before"] for change in json.loads(told)["changes"] if change["action"] == "clean up"] == [
        {"names": ["/var/lib/kubelet"]}
    ]
    host.data_stays["kubelet"] = ("/var/lib/kubelet/volumes",)
    keeping = plan_of({}, {"n1": host})
    said = "(no longer wanted on n1: /var/lib/kubelet; the data in /var/lib/kubelet/volumes stays)"
    assert said in " ".join(printed(*text.plan_lines(cluster(), keeping, {})).split())
    assert '"stays": ["/var/lib/kubelet/volumes"]' in json.dumps(data.plan_data(cluster(), keeping))
    adopted = FakeHost("n1", files=dict(host.files), contents=dict(host.contents))
    assert "adopt the host" in printed(*text.plan_lines(cluster(), plan_of(wanted(*files), {"n1": adopted}), {}))


def test_failed_checks_are_below_their_host_with_what_was_expected_and_found() -> None:
    message = "n1: file /etc/a: owner and mode\n  expected  root:root 0644\n  found     root:root 0600"
    unreachable = "m1 cannot be reached: no route"
    found = Results(
        (
            Result("m1", "files", "content[m1 /a]", acceptance.Status.ERROR, 0.1, unreachable),
            Result("m1", "files", "content[m1 /b]", acceptance.Status.ERROR, 0.1, unreachable),
            Result("n1", "files", "owner_and_mode[n1 /etc/a]", acceptance.Status.FAILED, 0.1, message),
            Result(
                "n1", "own", "motd[ssh://n1]", acceptance.Status.FAILED, 0.1, "AssertionError: assert 1 == 2\n +  where"
            ),
            Result("n1", "settings", "value[n1 swap]", acceptance.Status.SKIPPED, 0.1, "a container"),
            Result("n2", "files", "content[n2 /a]", acceptance.Status.PASSED, 0.1, ""),
        ),
        2.5,
    )
    assert printed(infra.lines(found, Path("cluster.yaml"))).splitlines() == [
        "✗ m1  2 of 2 checks failed",
        "    m1 cannot be reached: no route (and 1 more)",
        "✗ n1  2 of 2 checks failed, 1 skipped",
        "    file /etc/a: owner and mode",
        "      expected  root:root 0644",
        "      found     root:root 0600",
        "    own: motd[ssh://n1]",
        "      AssertionError: assert 1 == 2",
        "       +  where",
        "✓ n2  1 check passed",
        "6 checks on 3 hosts: 4 failed, 1 passed, 1 skipped, in 2.5 s",
        "Next: k8s-installer plan -i cluster.yaml says why a host cannot be reached",
    ]
    verbose = printed(infra.lines(found, Path("cluster.yaml"), why_skipped=True))
    assert [line for line in verbose.splitlines() if "skipped " in line and line.startswith("    ")] == [
        "    skipped settings: value[n1 swap]: a container"
    ]
    said = infra.data(found)
    assert (said["passed"], said["counts"]) == (False, {"passed": 1, "failed": 2, "error": 2, "skipped": 1})
    assert json.loads(json.dumps(said))["checks"][2]["message"] == message


def test_where_all_checks_pass_nothing_is_left_to_do() -> None:
    found = Results((Result("", "here", "it", acceptance.Status.PASSED, 0.1, ""),), 0.1)
    assert printed(infra.lines(found, Path("cluster.yaml"))).splitlines() == [
        "✓ no host  1 check passed",
        "1 check on 0 hosts: 1 passed, in 0.1 s",
    ]
