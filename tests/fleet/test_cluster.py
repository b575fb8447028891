"""The whole path on real hosts: bootstrap, a second run, edits, hand edits, verify. In order: each finds what was left."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from k8s_installer.desired.agreements import may_label_itself
from k8s_installer.verify import running
from tests.fleet import reaching
from tests.fleet.conftest import Cluster, installer
from tests.shown import Shown, command_of, typed

pytestmark = pytest.mark.fleet

LOOKING = ("certs status", "graph plan", "plan", "preflight", "report", "status", "test", "verify")
PROXY = "  kube-proxy: {args: {conntrack-max-per-core: 0"


def edited(cluster: Cluster, old: str, new: str) -> str:
    assert cluster.text.count(old) == 1
    return cluster.text.replace(old, new)


def changes(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    assert done.returncode == 3, done.stderr
    return list(json.loads(done.stdout)["changes"])


def diff_lines(change: dict[str, str]) -> list[str]:
    return [line for line in change["diff"] if line[0] in "+-" and not line.startswith(("+++", "---"))]


@pytest.mark.runs(version="1.20.2", source="packages", network="routes", security="tls")
def test_one_command_bootstraps_a_cluster_that_is_proven_with_pods(cluster: Cluster) -> None:
    done = cluster.bootstrap
    assert done is not None
    assert done.returncode == 0, done.stderr
    assert "Done in" in done.stderr
    assert "✗" not in done.stderr
    nodes = json.loads(cluster.on("m1", "kubectl get nodes -o json"))
    ready = {
        node["metadata"]["name"]: condition["status"]
        for node in nodes["items"]
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == {"n1": "True", "n2": "True"}


def test_a_second_run_changes_nothing_and_no_process_is_new(cluster: Cluster) -> None:
    before = cluster.processes()
    done = cluster.run("apply", "--yes")
    assert (done.returncode, done.stdout) == (0, "No changes: every host matches the inventory.\n"), done.stderr
    assert cluster.processes() == before
    assert cluster.run("plan").returncode == 0


@pytest.mark.parametrize("one", [one for one in typed().values() if command_of(one.words[1:])[0] in LOOKING], ids=str)
def test_commands_of_the_pages_that_only_look_run_as_they_are_shown(cluster: Cluster, one: Shown) -> None:
    done = installer(*one.words[1:], folder=cluster.folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_clone_with_its_hosts_in_another_order_is_the_same_cluster(cluster: Cluster, tmp_path: Path) -> None:
    data = yaml.safe_load(cluster.text)
    name = data["cluster"]["name"]
    shutil.copytree(cluster.folder / ".k8s-installer" / name / "pki", tmp_path / ".k8s-installer" / name / "pki")
    data["hosts"] = dict(reversed(data["hosts"].items()))
    clone = replace(cluster, folder=tmp_path, text=yaml.safe_dump(data, sort_keys=False))
    assert (done := clone.run("status", text=clone.text)).returncode == 0, done.stdout
    assert (done := clone.run("plan", text=clone.text)).returncode == 0, done.stdout
    assert not list(tmp_path.rglob("allocations"))
    del data["hosts"]["n1"]
    planned = changes(clone.run("plan", "-o", "json", text=yaml.safe_dump(data, sort_keys=False)))
    assert {change["name"] for change in planned} == {"/etc/kubernetes/network/routes", "kubernetes-network"}


def test_a_kubelet_refuses_the_labels_that_an_inventory_is_refused_for(cluster: Cluster) -> None:
    labels = [
        "node-role.kubernetes.io/worker", "kubernetes.io/a", "a.k8s.io/b", "kubernetes.io/os", "a.node.kubernetes.io/b",
        "kubelet.kubernetes.io/a", "topology.kubernetes.io/zone", "xkubernetes.io/a", "example.com/a", "a",
    ]  # fmt: skip
    each = "kubelet --node-labels=$label=x --kubeconfig=/nonexistent --root-dir=$(mktemp -d) 2>&1"
    refused = f'{each} | grep -q "labels specified with --node-labels" && echo $label'
    printed = cluster.on("n2", f"for label in {' '.join(labels)}; do {refused}; done; true")
    assert printed.split() == [label for label in labels if not may_label_itself(label)]


def test_services_started_in_the_order_that_works(cluster: Cluster) -> None:
    started = {name: int(line.rsplit("=", 1)[1]) for name, line in cluster.processes().items()}
    masters = [f"m1 {unit}" for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")]
    for node in ("n1", "n2"):
        order = [*masters, *(f"{node} {unit}" for unit in ("docker", "kubelet", "kube-proxy"))]
        assert sorted(order, key=started.__getitem__) == order


def test_one_flag_is_one_line_of_one_file_and_one_restart_on_each_node(cluster: Cluster) -> None:
    text = edited(cluster, PROXY, f"{PROXY}, v: 2, log-file: /run/100%n.log")  # a % is systemd's in unit files alone
    planned = changes(cluster.run("plan", "-o", "json", text=text))
    assert sorted((change["host"], change["action"], change["name"]) for change in planned) == [
        (node, action, name)
        for node in ("n1", "n2")
        for action, name in (
            ("restart", "kube-proxy"), ("update", "/etc/kubernetes/proxy"), ("wait", "kube-proxy is healthy"),
        )
    ]  # fmt: skip
    for change in planned:
        assert [line[0] for line in diff_lines(change)] == (["-", "+"] if change["action"] == "update" else [])
    why = json.loads(cluster.run("explain", "why", "n2", "proxy", "-o", "json", text=text).stdout)
    line = 1 + text[: text.index(PROXY)].count("\n")
    decided = [(one["name"], one["value"], one["place"].rpartition(":")[2]) for one in why["decided_by"]]
    assert decided == [("v", "2", f"{line}"), ("log-file", "/run/100%n.log", f"{line}")]
    assert (why["interrupted"], why["turn"]["before"]) == (True, ["n1"])
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 0, done.stderr
    after = cluster.processes()
    assert {name for name in before if before[name] != after[name]} == {"n1 kube-proxy", "n2 kube-proxy"}
    running = cluster.on("n1", "tr '\\0' '\\n' </proc/$(pidof kube-proxy)/cmdline").splitlines()
    assert {"--v=2", "--log-file=/run/100%n.log"} <= set(running)
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0


def tally(cluster: Cluster) -> dict[str, tuple[int, int]]:
    """How many logins and how many commands the sshd of each host has counted; this question adds one of each."""
    # journald reads what sshd says a moment later than the command begins
    ask = "journalctl --sync && journalctl -o cat -t sshd"
    logs = {host: cluster.on(host, ask) for host in cluster.addresses}
    return {host: (log.count("Accepted publickey"), log.count("Starting session")) for host, log in logs.items()}


def test_sshd_counts_one_login_and_one_command_for_a_plan_and_few_more_for_a_change(cluster: Cluster) -> None:
    for host in cluster.addresses:
        cluster.on(host, "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/verbose.conf; systemctl reload ssh")
    before = tally(cluster)
    assert cluster.run("plan").returncode == 0
    planned = tally(cluster)
    text = edited(cluster, PROXY, f"{PROXY}, v: 4")
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    applied = tally(cluster)

    def spent(first: dict[str, tuple[int, int]], last: dict[str, tuple[int, int]], host: str) -> tuple[int, int]:
        return last[host][0] - first[host][0] - 1, last[host][1] - first[host][1] - 1

    assert {host: spent(before, planned, host) for host in before} == dict.fromkeys(before, (1, 1))
    for node in ("n1", "n2"):  # look, change, and ask the gate; a slow start is asked after once more
        logins, commands = spent(planned, applied, node)
        assert logins == 1
        assert 3 <= commands <= 4
    # nothing changes on the master, which is looked at; it holds the lock by a connection of its own
    logins, commands = spent(planned, applied, "m1")
    assert logins == 2
    assert commands <= 4
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0


def test_an_edit_by_hand_shows_in_the_plan_and_is_put_right(cluster: Cluster) -> None:
    cluster.on("m1", "sed -i 's/--leader-elect=true/--leader-elect=false/' /etc/kubernetes/scheduler")
    planned = changes(cluster.run("plan", "-o", "json"))
    assert [(change["host"], change["action"], change["name"]) for change in planned] == [
        ("m1", "update", "/etc/kubernetes/scheduler"),
        ("m1", "restart", "kube-scheduler"),
        ("m1", "wait", "kube-scheduler is healthy"),
        ("m1", "wait", "kube-scheduler has a leader"),
    ]
    removed, added = diff_lines(planned[0])
    assert "--leader-elect=false" in removed
    assert "--leader-elect=true" in added
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0
    assert cluster.run("plan").returncode == 0


def test_a_report_says_what_plan_and_status_say_and_a_picture_shows_it(cluster: Cluster) -> None:
    cluster.on("n1", "chmod 666 /etc/kubernetes/pki/proxy.key && echo '# <b>by hand</b>' >>/etc/kubernetes/proxy")
    planned, state = (json.loads(cluster.run(command, "-o", "json").stdout) for command in ("plan", "status"))
    found = json.loads(cluster.run("report", "-o", "json").stdout)
    assert found["plan"] == planned
    assert found["status"]["differs"]
    assert [host["name"] for host in found["status"]["hosts"]] == [host["name"] for host in state["hosts"]]
    assert found["last_run"]["result"] == "done"
    assert min(one["days"] for one in found["certificates"]["certificates"]) > 1000
    keys = {item["host"]: item["verdict"] for item in found["hardening"] if item["id"] == "1.1.21"}
    assert keys == {"m1": "pass"}  # the benchmark looks at keys of masters alone
    page, picture = cluster.folder / "report.html", cluster.folder / "plan.svg"
    assert (done := cluster.run("report", "-o", str(page))).returncode == 0, done.stderr
    assert "&lt;b&gt;by hand&lt;/b&gt;" in page.read_text()
    assert "PRIVATE KEY" not in page.read_text()
    assert cluster.run("graph plan", "-o", str(picture)).returncode == 0
    assert "restart kube-proxy" in picture.read_text()
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0


def test_a_run_that_died_between_a_write_and_its_restart_is_continued(cluster: Cluster) -> None:
    """What such a run leaves behind: the new bytes, under a process that read the old ones."""
    text = edited(cluster, PROXY, f"{PROXY}, v: 3")
    rendered = cluster.folder / "rendered"
    assert cluster.run("render", "--host", "n2", "-o", str(rendered), text=text).returncode == 0
    new = (rendered / "n2/etc/kubernetes/proxy").read_text()
    cluster.on("n2", f"cat >/etc/kubernetes/proxy <<'EOF'\n{new}EOF\n")
    planned = changes(cluster.run("plan", "-o", "json", text=text))
    on_n2 = [(change["action"], change["reason"]) for change in planned if change["host"] == "n2"]
    assert on_n2[0] == ("restart", "/etc/kubernetes/proxy changed after it started")
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    assert "--v=3" in cluster.on("n2", "tr '\\0' ' ' </proc/$(pidof kube-proxy)/cmdline")
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0


def test_a_stopped_service_is_started_again(cluster: Cluster) -> None:
    cluster.on("n1", "systemctl stop kube-proxy && systemctl disable kube-proxy")
    planned = changes(cluster.run("plan", "-o", "json"))
    assert (planned[0]["action"], planned[0]["name"]) == ("start", "kube-proxy")
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0
    assert cluster.on("n1", "systemctl is-enabled kube-proxy") == "enabled\n"


def node(cluster: Cluster, name: str) -> dict[str, dict[str, str]]:
    """Labels and annotations of a node, and its taints by key, but for those that Kubernetes itself sets for a while."""
    found = json.loads(cluster.on("m1", f"kubectl get node {name} -o json"))
    taints = {
        taint["key"]: f"{taint.get('value', '')}:{taint['effect']}"
        for taint in found["spec"].get("taints", ())
        if not taint["key"].startswith("node.kubernetes.io/")
    }
    return {**{key: found["metadata"][key] for key in ("labels", "annotations")}, "taints": taints}


def test_what_a_node_is_to_have_is_kept_and_what_others_set_stays(cluster: Cluster) -> None:
    data = yaml.safe_load(cluster.text)
    note = 'two words, "quoted"\nin two lines'
    data["hosts"]["n1"] |= {
        "labels": {"disk": "ssd", "node-role.kubernetes.io/db": ""},
        "taints": ["dedicated=db:PreferNoSchedule"],
        "annotations": {"example.com/note": note},
    }
    text = yaml.safe_dump(data, sort_keys=False)
    planned = changes(cluster.run("plan", "-o", "json", text=text))
    ours = [
        "node-taint n1 dedicated:PreferNoSchedule", "node-label n1 disk", "node-label n1 node-role.kubernetes.io/db",
        "node-annotation n1 example.com/note",
    ]  # fmt: skip
    assert sorted((change["host"], change["action"], change["name"]) for change in planned) == sorted(
        [*(("m1", "set", name) for name in ours), ("n1", "rewrite", "/etc/kubernetes/kubelet")]
    )
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 0, done.stderr
    assert "n1: set label disk=ssd" in done.stderr
    assert cluster.processes() == before
    found = node(cluster, "n1")
    assert (found["labels"]["disk"], found["labels"]["node-role.kubernetes.io/db"]) == ("ssd", "")
    assert found["annotations"]["example.com/note"] == note
    assert found["taints"] == {"dedicated": "db:PreferNoSchedule"}
    assert cluster.run("plan", text=text).returncode == 0

    cluster.on("m1", "kubectl label --overwrite node n1 disk=hdd theirs=x && kubectl taint node n1 dedicated-")
    planned = changes(cluster.run("plan", "-o", "json", text=text))
    assert sorted(change["name"] for change in planned) == sorted(ours[:2])
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    # a node that registers again has its taints before anything else
    cluster.on("m1", "kubectl delete node n1")
    cluster.on("n1", "systemctl restart kubelet")
    cluster.on("m1", "until kubectl get node n1; do sleep 0.2; done")
    assert node(cluster, "n1")["taints"]["dedicated"] == "db:PreferNoSchedule"
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    cluster.on("m1", "kubectl label node n1 theirs=x")

    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0
    found = node(cluster, "n1")
    assert found["labels"]["theirs"] == "x"
    assert not {"disk", "node-role.kubernetes.io/db"} & found["labels"].keys()
    assert "example.com/note" not in found["annotations"]
    assert found["taints"] == {}
    assert cluster.run("rollback", "--yes").returncode == 0
    assert node(cluster, "n1")["labels"]["disk"] == "ssd"
    assert cluster.run("plan", text=text).returncode == 0
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0
    cluster.on("m1", "kubectl label node n1 theirs-")


def test_a_user_with_sudo_does_as_well_as_root(cluster: Cluster) -> None:
    done = cluster.run("apply", "--yes", text=edited(cluster, "user: root", "user: ops"))
    assert (done.returncode, done.stdout) == (0, "No changes: every host matches the inventory.\n"), done.stderr


SELF_SIGNED = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=other -days 1"
# By name: on which host a fault is made, how, and the first line, what was expected and what was found in the report.
# The last ones are no business of `apply`: what puts them right is beside them.
FAULTS = {
    "a package is removed": (
        "n2", "rpm -e --nodeps kubernetes-client", "package kubernetes-client: is installed", "True", "False",
    ),
    "a file is edited": ("n1", "echo '# mine' >>/etc/kubernetes/proxy", "file /etc/kubernetes/proxy: content (SHA-256)", "", ""),
    "a key is readable by everybody": (
        "n2", "chmod 644 /etc/kubernetes/pki/kubelet.key",
        "file /etc/kubernetes/pki/kubelet.key: owner and mode", "root:root 0600", "root:root 0644",
    ),
    "a service is stopped": ("m1", "systemctl stop kube-scheduler", "unit kube-scheduler: state", "active", "inactive"),
    "a service is disabled": ("n2", "systemctl disable kube-proxy", "unit kube-proxy: at boot", "enabled", "disabled"),
    "a certificate is replaced": (
        "n1", f"{SELF_SIGNED} -out /etc/kubernetes/pki/kubelet.crt",
        "certificate /etc/kubernetes/pki/kubelet.crt: subject", "CN=system:node:n1,O=system:nodes", "CN=other",
    ),
    "another process has a port": (
        "n1", "systemctl stop kube-proxy && /usr/sbin/sshd -p 10256 -o PidFile=/run/thief && systemctl start kube-proxy",
        "port 10256: who listens", "kube-proxy", "ssh",
    ),
    "a user may log in": ("m1", "usermod -s /bin/sh etcd", "user etcd: login shell", "/sbin/nologin", "/bin/sh"),
    "packets are not forwarded": ("n2", "sysctl -w net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward: value", "1", "0"),
    "a node is cordoned": ("m1", "kubectl cordon n2", "node n2: scheduling", "enabled", "disabled (cordoned)"),
    "a route is lost": (
        "n1", "ip route del $(ip route show proto 75 | awk '/ via / { print $1; exit }')",
        "pods 10.244.1.0/24: route to pods of n2", "10.77.", "no route",
    ),
}  # fmt: skip
REPAIRS = {
    "m1": "usermod -s /sbin/nologin etcd && kubectl uncordon n2",
    "n1": "kill $(cat /run/thief) && systemctl restart kubernetes-network kube-proxy",
    "n2": "sysctl -w net.ipv4.ip_forward=1",
}


def reported(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """What failed: hosts and messages."""
    checks = json.loads(done.stdout)["checks"]
    return [(check["host"], check["message"]) for check in checks if check["status"] in ("failed", "error")]


def names(message: str, what: str, expected: str, seen: str) -> bool:
    """Whether a message says what is wrong, what was expected, and what was found (the beginnings of both)."""
    begins = (what, f"  expected  {expected}", f"  found     {seen}")
    lines = message.partition(": ")[2].splitlines()
    return len(lines) == len(begins) and all(map(str.startswith, lines, begins))


def test_each_fault_made_by_hand_is_a_message_that_names_it(cluster: Cluster) -> None:
    own = cluster.folder / "tests" / "test_own.py"
    own.parent.mkdir()
    own.write_text("testinfra_hosts = ['n1']\n\n\ndef test_motd(host):\n    assert host.file('/etc/motd').exists\n")
    try:
        cluster.on("n1", "touch /etc/motd")
        done = cluster.run("test", "-o", "json")
        assert done.returncode == 0, reported(done)
        assert json.loads(done.stdout)["counts"]["passed"] > 400

        for host, command, *_ in FAULTS.values():
            cluster.on(host, command)
        cluster.on("n1", "rm /etc/motd")
        done = cluster.run("test", "-o", "json")
        assert done.returncode == 1
        found = reported(done)
        missed = [
            name
            for name, (host, _, what, expected, seen) in FAULTS.items()
            if sum(at == host and names(message, what, expected, seen) for at, message in found) != 1
        ]
        assert missed == [], found
        assert [host for host, message in found if "/etc/motd" in message] == ["n1"]

        for host, command in REPAIRS.items():
            cluster.on(host, command)
        cluster.on("n1", "touch /etc/motd")
        done = cluster.run("apply", "--yes", "--no-verify")
        assert done.returncode == 0, done.stderr
        done = cluster.run("test", "-o", "json")
        assert done.returncode == 0, reported(done)
    finally:
        own.unlink()
        own.parent.rmdir()


# What makes the scheduler prefer n1 by more than one pod: n2 has less to give.
BUSY = """\
apiVersion: v1
kind: Pod
metadata: {{name: busy}}
spec:
  nodeName: n2
  terminationGracePeriodSeconds: 0
  containers: [{{name: busy, image: "{image}", resources: {{requests: {{cpu: 500m}}}}}}]
"""


def test_verify_proves_every_object_and_skips_nothing(cluster: Cluster) -> None:
    """Also where the scheduler, left to itself, would put its pods on one node."""
    pod = BUSY.format(image=reaching.image(cluster))
    cluster.on("m1", f"kubectl apply -f - <<'EOF'\n{pod}EOF\n")
    try:
        done = cluster.run("verify", "-o", "json")
    finally:
        cluster.on("m1", "kubectl delete pod busy --wait=false")
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"passed"}, done.stderr
    assert "verify" not in cluster.on("m1", "kubectl get namespaces -o name")


def without_image(cluster: Cluster) -> str:
    return "\n".join(line for line in cluster.text.splitlines() if not line.strip().startswith("verify:"))


# busybox's httpd puts itself into the background, as servers do
ENDED = """\
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: Pod, metadata: {{name: daemon}}, spec: {{nodeName: n1, containers: [
    {{name: web, image: "{image}", command: [httpd, -p, "8080"]}}]}}}}
- {{apiVersion: v1, kind: Pod, metadata: {{name: broken}}, spec: {{nodeName: n1, containers: [
    {{name: web, image: "{image}", command: [sh, -c, "exit 3"]}}]}}}}
"""
# both have ended, and neither is just being started again
WAITED = """\
for i in $(seq 60); do
  [ "$(kubectl get pods daemon broken -o jsonpath='{.items[*].status.containerStatuses[*].state.waiting.reason}')" \\
    = 'CrashLoopBackOff CrashLoopBackOff' ] && break
  sleep 0.3
done
"""


def test_a_pod_that_leaves_the_foreground_is_told_from_one_that_fails(cluster: Cluster) -> None:
    cluster.on("m1", f"kubectl apply -f - <<'EOF'\n{ENDED.format(image=reaching.image(cluster))}EOF\n")
    try:
        cluster.on("m1", WAITED)
        done = cluster.run("verify", "-o", "json", text=without_image(cluster))
    finally:
        cluster.on("m1", "kubectl delete pod daemon broken --grace-period=0 --force")
    assert done.returncode == 0, done.stderr
    (check,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == running.NAME)
    assert check["status"] == "warned"
    broken, read, daemon, change = check["evidence"]
    assert broken.startswith("default/broken on n1: container web ended with exit code 3 at once")
    assert broken.endswith(": its program failed")
    assert "kubectl logs --previous" in read
    assert daemon.startswith("default/daemon on n1: container web ended with exit code 0 at once")
    assert daemon.endswith(": its first process left the foreground, or had nothing to do")
    assert change.endswith("run it in the foreground: httpd -DFOREGROUND (busybox: httpd -f)")


def test_without_an_image_what_needs_pods_is_skipped_not_passed(cluster: Cluster) -> None:
    done = cluster.run("verify", "-o", "json", text=without_image(cluster))
    assert done.returncode == 0, done.stderr
    states = [check["status"] for check in json.loads(done.stdout)["checks"]]
    assert "skipped" in states
    assert "failed" not in states
