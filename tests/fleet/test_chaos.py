"""The installer is killed at one step after the other, networks drop: the next `apply` finishes, and no file is torn.

Kill points are a sample, for time's sake; with CHAOS=every in the environment it is every step (six minutes more).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s_installer.fleet import connecting, observe
from k8s_installer.intent import real_keys, resolve
from k8s_installer.resources import File, Ref, SeenFile
from tests.fleet.conftest import Cluster, installer, made_cluster, running_lab

pytestmark = pytest.mark.fleet

# behind the journal's first line and its plan comes one line for each begin and each end of a change
FIRST_EVENT = 3
TOO_MANY = 400
EVERY = os.environ.get("CHAOS") == "every"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab("tchaos", "--nodes", "2") as lab:
        yield made_cluster(lab, tmp_path_factory.mktemp("chaos"))


def killed_at(cluster: Cluster, line: int, inventory: Path) -> subprocess.CompletedProcess[str]:
    """Apply and die at a line of the journal; the exit status is -9, or that of a run that ended before."""
    argv = [sys.executable, "-m", "tests.fleet.crash", str(line), str(inventory)]
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
    """Each run dies when it has seen some changes begin and end; the next goes on from what is there."""
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
    assert kills > 8


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


def test_a_network_that_drops_in_the_middle_is_told_and_the_next_run_finishes(bare: Cluster) -> None:
    """The master's address goes for a while, as a pulled cable does: begun work is not known, and is looked at anew."""
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
    assert "the plan is stale, nothing was changed" in stale.stderr
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
