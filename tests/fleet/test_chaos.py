"""The installer is killed at one step after the other, networks drop: the next `apply` finishes, and no file is torn.

Kill points are a sample, for time's sake; with TEST_ALL=1 in the environment it is every step (`make test-all`).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s_installer.engine.fleet import connecting, observe
from k8s_installer.flows.resolve import real_keys, resolve
from k8s_installer.model.resources import File, Ref, SeenFile
from k8s_installer.runs import journal
from tests.fleet.conftest import EVERY, Cluster, installer, made_cluster, running_lab

pytestmark = pytest.mark.fleet

# after the journal's first line and its plan comes one line for each begin and each end of a change
FIRST_EVENT = 3
TOO_MANY = 400
# What each change of nodes here does last: its gate cannot hold, so the node's turn is undone.
BROKEN = "  kubelet: {{args: {{v: {v}}}}}\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab("tchaos", "--nodes", "2") as lab:
        yield made_cluster(lab, tmp_path_factory.mktemp("chaos"))


def killed_at(cluster: Cluster, line: int, inventory: Path, *flow: str) -> subprocess.CompletedProcess[str]:
    """Apply, or do what `flow` says, and die at a line of the journal; the status is -9, or that of a run that ended."""
    argv = [sys.executable, "-m", "tests.fleet.crash", str(line), str(inventory), *flow]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL)


def sums(inventory: Path) -> dict[Ref, str]:
    """The sum of every wanted file on every host, as it is now."""
    wanted = resolve(inventory, None, real_keys)
    with connecting(wanted.cluster.hosts) as connections:
        seen = observe(connections, wanted.desired, lambda host: None)
        seen.require_all()
        return {
            ref: found.sha256 if isinstance(found := seen.seen[ref], SeenFile) else "absent"
            for ref, item in wanted.desired.items()
            if isinstance(item.resource, File)
        }


def wanted_sums(inventory: Path) -> dict[Ref, str]:
    wanted = resolve(inventory, None, real_keys).desired
    return {ref: item.resource.sha256 for ref, item in wanted.items() if isinstance(item.resource, File)}


def torn(before: dict[Ref, str], now: dict[Ref, str], wanted: dict[Ref, str], packaged: set[str]) -> list[Ref]:
    """Files that are neither what they were, nor what is wanted, nor as a package brings them."""
    return [ref for ref, found in now.items() if found not in (before[ref], wanted[ref]) and found not in packaged]


def packaged_sums(cluster: Cluster) -> set[str]:
    """The sums of all configuration files in the lab's packages."""
    ask = "rpm -qac --qf '[%{FILEDIGESTS}\\n]' 2>/dev/null; rpm -qa --qf '[%{FILEDIGESTS}\\n]'"
    return {line for host in cluster.addresses for line in cluster.on(host, ask).split()}


def test_a_bootstrap_that_is_killed_at_step_after_step_converges(bare: Cluster) -> None:
    """Each run dies when it has seen some changes begin and end; the next resumes."""
    lines = 1 if EVERY else 4
    wanted = wanted_sums(bare.inventory)
    before = sums(bare.inventory)
    kills = 0
    while (
        done := killed_at(bare, FIRST_EVENT + 1 + lines * (kills % 3), bare.inventory)
    ).returncode == -signal.SIGKILL:
        kills += 1
        assert kills < TOO_MANY
        now = sums(bare.inventory)
        strange = torn(before, now, wanted, set())
        assert not strange or torn(before, now, wanted, packaged_sums(bare)) == []
        before = now
    assert done.returncode == 0, done.stderr
    assert sums(bare.inventory) == wanted
    assert bare.run("verify").returncode == 0
    sys.stderr.write(f"\nbootstrap: {kills} kills, converged and verified, 0 torn files\n")
    assert kills > 4


def test_a_rolling_change_that_is_killed_at_lines_of_its_journal_converges(bare: Cluster) -> None:
    texts = [bare.text.replace("conntrack-max-per-core: 0", f"conntrack-max-per-core: 0, v: {v}") for v in (1, 2)]
    texts = [f"{text}  kubelet: {{args: {{v: {v}}}}}\n" for v, text in enumerate(texts, 1)]
    kills = 0
    for line in range(1, TOO_MANY, 1 if EVERY else 2):
        path = bare.folder / f"edit{kills % 2}.yaml"
        path.write_text(texts[kills % 2])
        wanted, before = wanted_sums(path), sums(path)
        died = killed_at(bare, line, path)
        assert torn(before, sums(path), wanted, set()) == []
        if died.returncode != -signal.SIGKILL:
            assert died.returncode == 0, died.stderr
            break
        kills += 1
        again = installer("apply", "--yes", "--no-verify", "-i", str(path))
        assert again.returncode == 0, again.stderr
        assert sums(path) == wanted
    sys.stderr.write(f"\nrolling change: {kills} kill points, {kills} converged, 0 torn files\n")
    assert kills > 8
    assert bare.run("apply", "--yes").returncode == 0


def ended(cluster: Cluster) -> bool:
    """Whether the newest run says that it did all that it was to do."""
    last = journal.last(next(cluster.folder.glob(".k8s-installer/*")) / "journal")
    return last is not None and last.result == "done"


def running_flags(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """What the nodes' processes were really started with, by the kernel's word."""
    ask = "for u in kubelet kube-proxy; do tr '\\0' ' ' </proc/$(systemctl show -p MainPID $u | cut -d= -f2)/cmdline; echo; done"
    return {host: tuple(cluster.on(host, ask).splitlines()) for host in ("n1", "n2")}


def converges(cluster: Cluster, flags: dict[str, tuple[str, ...]]) -> bool:
    """Whether the inventory's own state comes back, and no process runs with anything else unseen by a plan.

    What is there already is so before the plan says that there is nothing to do.
    """
    seen = cluster.run("plan")
    if seen.returncode == 3:
        again = cluster.run("apply", "--yes", "--no-verify")
        assert again.returncode == 0, again.stderr
        assert cluster.run("plan").returncode == 0
    return running_flags(cluster) == flags


def test_a_change_that_is_undone_and_killed_at_lines_of_its_journal_leaves_nothing_stale(bare: Cluster) -> None:
    """kubelet restarts with a new flag, kube-proxy cannot: the node's turn is undone, and every step of both is cut."""
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0
    flags, kills, undoing = running_flags(bare), 0, 0
    proxy = "kube-proxy: {deadline: 3, args: {"
    assert "kube-proxy: {args: {" in bare.text
    for line in range(1, TOO_MANY, 1 if EVERY else 7):
        path = bare.folder / "broken.yaml"
        text = bare.text.replace("kube-proxy: {args: {", f"{proxy}write-config-to: /nonexistent/config, ")
        path.write_text(text + BROKEN.format(v=2 + line % 2))
        died = killed_at(bare, line, path)
        undoing += "rolling back nodes n1" in died.stderr
        if died.returncode != -signal.SIGKILL:
            assert died.returncode == 1, died.stderr
            assert "n1 was rolled back" in died.stderr
            break
        kills += 1
        assert converges(bare, flags), f"killed at line {line}"
    sys.stderr.write(f"\nundone change: {kills} kill points, {undoing} of them on the way back, all converged\n")
    assert converges(bare, flags)
    assert undoing > (2 if EVERY else 0)


def test_a_rollback_that_is_killed_at_lines_of_its_journal_is_resumed_when_typed_again(bare: Cluster) -> None:
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0
    flags, before, kills = running_flags(bare), sums(bare.inventory), 0
    path = bare.folder / "edit.yaml"
    path.write_text(bare.text + BROKEN.format(v=3))
    for line in range(1, TOO_MANY, 1 if EVERY else 6):
        done = installer("apply", "--yes", "--no-verify", "-i", str(path))
        assert done.returncode == 0, done.stderr
        assert running_flags(bare) != flags
        died = killed_at(bare, line, path, "rollback")
        if died.returncode == -signal.SIGKILL and not ended(bare):
            kills += 1
            again = installer("rollback", "--yes", "-i", str(path))
            assert again.returncode == 0, again.stderr
            assert "resuming rollback" in again.stderr
        else:
            assert died.returncode in (0, -signal.SIGKILL), died.stderr
        assert (running_flags(bare), sums(bare.inventory)) == (flags, before), f"killed at line {line}"
        assert bare.run("plan").returncode == 0
        if died.returncode == 0:
            break
    sys.stderr.write(f"\nrollback: {kills} kill points, {kills} resumed\n")
    assert kills > 2


def test_a_network_that_drops_in_the_middle_is_told_and_the_next_run_finishes(bare: Cluster) -> None:
    """The master's address goes for a while, as a pulled cable does: the state of begun work is unknown, and is read again."""
    text = f"{bare.text}  kube-apiserver: {{args: {{v: 1}}}}\n"
    cut = "ip link set eth0 down; sleep 20; ip link set eth0 up; ip route add default via $gw"
    bare.on(
        "m1",
        f"gw=$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); nohup sh -c 'gw='$gw'; sleep 3; {cut}' >/dev/null 2>&1 &",
    )
    done = bare.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "m1: " in done.stderr
    again = bare.run("apply", "--yes", "--no-verify", text=text)
    for _ in range(20):
        if again.returncode == 0:
            break
        again = bare.run("apply", "--yes", "--no-verify", text=text)
    assert again.returncode == 0, again.stderr
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0


def test_two_at_once_are_one_and_a_word_about_who_has_the_lock(bare: Cluster) -> None:
    text = f"{bare.text}  kube-apiserver: {{args: {{v: 2}}}}\n"
    path = bare.folder / "both.yaml"
    path.write_text(text)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: installer("apply", "--yes", "--no-verify", "-i", str(path)), range(2)))
    assert sorted(run.returncode for run in runs) == [0, 1]
    loser = next(run for run in runs if run.returncode == 1)
    assert "holds the lock since" in loser.stderr
    assert "--break-lock" in loser.stderr
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0


def test_a_saved_plan_is_refused_after_a_hand_edit_and_carried_out_without_one(bare: Cluster) -> None:
    text = f"{bare.text}  kube-scheduler: {{args: {{v: 5}}}}\n"
    saved = bare.folder / "plan.json"
    assert bare.run("plan", "-o", str(saved), text=text).returncode == 3
    bare.on(
        "m1",
        "cp -p /etc/kubernetes/scheduler /root/scheduler; sed -i 's/--v=0/--v=9/' /etc/kubernetes/config; echo '#x' >>/etc/kubernetes/scheduler",
    )
    stale = bare.run("apply", str(saved), "--no-verify", text=text)
    assert stale.returncode == 1
    assert "the plan is stale; nothing was changed" in stale.stderr
    bare.on("m1", "cp -p /root/scheduler /etc/kubernetes/scheduler")
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0
    assert bare.run("plan", "-o", str(saved), text=text).returncode == 3
    assert "BEGIN" not in saved.read_text()
    done = bare.run("apply", str(saved), "--no-verify", text=text)
    assert done.returncode == 0, done.stderr


def test_rollback_undoes_the_last_run(bare: Cluster) -> None:
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0
    before = sums(bare.inventory)
    text = f"{bare.text}  kube-scheduler: {{args: {{v: 6}}}}\n"
    assert bare.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    assert sums(bare.inventory) != before
    done = bare.run("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert sums(bare.inventory) == before
    assert bare.run("plan").returncode == 0


def test_a_node_that_is_gone_is_left_out_and_a_master_that_is_gone_stops_everything(bare: Cluster) -> None:
    text = bare.text.replace("conntrack-max-per-core: 0", "conntrack-max-per-core: 0, v: 4")
    node = text.replace("n2: {", "n2: {ssh: {port: 2299}, ")
    done = bare.run("apply", "--yes", text=node)
    assert done.returncode == 1
    assert "left out: n2: " in done.stderr
    assert "--v=4" in bare.on("n1", "cat /etc/kubernetes/proxy")
    assert "--v=4" not in bare.on("n2", "cat /etc/kubernetes/proxy")
    master = bare.run("apply", "--yes", text=bare.text.replace("m1: {", "m1: {ssh: {port: 2299}, "))
    assert master.returncode == 1
    assert "--v=4" in bare.on("n1", "cat /etc/kubernetes/proxy")
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0


def test_a_part_is_planned_and_says_what_it_leaves_out(bare: Cluster) -> None:
    text = bare.text.replace("conntrack-max-per-core: 0", "conntrack-max-per-core: 0, v: 3")
    done = bare.run("apply", "--yes", "--limit", "n1", text=text)
    assert done.returncode == 0, done.stderr
    assert "--limit leaves out m1, n2" in done.stderr
    only = bare.run("apply", "--yes", "--only", "kubelet", text=text)
    assert only.returncode == 0, only.stderr
    assert "--v=3" not in bare.on("n2", "cat /etc/kubernetes/proxy")
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0


def test_status_shows_a_hand_edit_with_its_evidence(bare: Cluster) -> None:
    assert bare.run("status").returncode == 0
    bare.on("n1", "sed -i 's/--v=0/--v=7/' /etc/kubernetes/config")
    found = bare.run("status", "-o", "json")
    assert found.returncode == 3
    assert "/etc/kubernetes/config" in json.dumps(json.loads(found.stdout))
    assert bare.run("apply", "--yes", "--no-verify").returncode == 0
