"""Three masters: one restart at a time, nobody else notices, and a mistake stops at the first."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from k8s_installer.flows import resolve
from k8s_installer.model.resources import File
from k8s_installer.profiles.files import PROFILES
from tests.aging import age
from tests.fleet import objects
from tests.fleet.client import Client
from tests.fleet.conftest import EVERY, Cluster, installer, made_cluster, running_lab
from tests.fleet.crash import PHRASE
from tests.fleet.reaching import image
from tests.fleet.releases import COMMENT, MINOR, NEXT, OWN, RELEASES, offered, repository
from tests.fleet.snapshots import snapshot
from tests.fleet.test_chaos import FIRST_EVENT, TOO_MANY, killed_at
from tests.unit.guide import REPO, write

pytestmark = pytest.mark.fleet

MASTERS = ["m1", "m2", "m3"]
OUR_OWN = (
    "/var/lib/k8s-installer/",
    "/var/lib/etcd/",
    "/var/lib/kubelet/",
    "/root/.kube/cache",
)  # written all the time, the last by the tests' own kubectl
ROUNDS = 1500  # of a tenth of a second: the poller stops by itself
# reads may stall for seconds when the leader of etcd 3.3 changes
READY = "for i in $(seq 60); do kubectl get --raw /readyz && exit 0; sleep 1; done; exit 1"
QUORUM = """for i in $(seq 60); do
  curl -sf -m 2 --cacert /etc/etcd/pki/ca.crt --cert /etc/etcd/pki/healthcheck.crt --key /etc/etcd/pki/healthcheck.key \\
    https://127.0.0.1:2379/health && exit 0; sleep 1
done; exit 1"""
# an apiserver that has restarted is an endpoint again after some seconds, and a rule of kube-proxy
ALL_SERVE = """for i in $(seq 60); do
  [ "$(kubectl get endpoints kubernetes -o jsonpath='{.subsets[*].addresses[*].ip}' | wc -w)" -ne 3 ] || exit 0
  sleep 1
done; exit 1"""
LONG = pytest.mark.skipif(not EVERY, reason="takes minutes: make test-all")
FEW = 10  # kills
FLAG = "  kube-apiserver: {{args: {{{}}}}}\n"


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab("tmasters", "--masters", "3", "--nodes", "1") as lab:
        cluster = made_cluster(lab, tmp_path_factory.mktemp("masters"))
        age(cluster.inventory, dt.timedelta(days=400))  # what was issued today would not be renewed
        done = cluster.run("apply", "--yes")
        assert done.returncode == 0, done.stderr
        yield cluster


POLLER = """\
for master in {masters}; do
  ( name=${{master%=*}} i=0
    while [ -e /root/poll ] && [ $i -lt {rounds} ]; do
      i=$((i+1))
      echo $name $(date +%s.%N) $(curl -s -m 3 -o /dev/null -w '%{{http_code}}' --cacert {pki}/ca.crt \\
        --cert {pki}/kubelet.crt --key {pki}/kubelet.key https://${{master#*=}}:6443/api/v1/nodes/n1)
      sleep 0.1
    done >/root/poll.$name ) &
done
wait
"""


def poll(cluster: Cluster, stop: threading.Event) -> dict[str, list[tuple[float, bool]]]:
    """Ask every master's API every 100 ms from the node, with its own certificate, until `stop`."""
    where = " ".join(f"{name}={cluster.addresses[name]}" for name in MASTERS)
    script = POLLER.format(masters=where, rounds=ROUNDS, pki="/etc/kubernetes/pki")
    cluster.on(
        "n1", f"cat >/root/poll.sh <<'EOF'\n{script}EOF\ntouch /root/poll; nohup sh /root/poll.sh >/dev/null 2>&1 &"
    )
    stop.wait(300)
    cluster.on("n1", "rm -f /root/poll; sleep 4")
    lines = [line.split() for name in MASTERS for line in cluster.on("n1", f"cat /root/poll.{name}").splitlines()]
    answers: dict[str, list[tuple[float, bool]]] = {name: [] for name in MASTERS}
    for name, at, code in (line for line in lines if len(line) == len(("name", "at", "code"))):
        answers[name].append((float(at), code == "200"))
    return answers


def outages(answers: list[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Spans without a good answer: from the last good one before to the first good one behind."""
    spans: list[tuple[float, float]] = []
    for (_, was_good), (at, good) in pairwise([(0.0, True), *answers]):
        if was_good and not good:
            spans.append((at, float("inf")))
        if good and not was_good:
            spans[-1] = (spans[-1][0], at)
    return spans


def files_of(cluster: Cluster, host: str) -> str:
    """Every file that an apply may write on a host, with when its content or its inode changed last."""
    return cluster.on(
        host, "find /etc/kubernetes /etc/systemd/system /etc/sysconfig -type f -printf '%p %T@ %C@\\n' | sort"
    )


def test_one_master_restarts_at_a_time_and_the_others_answer_every_request(masters: Cluster) -> None:
    require_one_outage_each(masters, "apply", text=masters.text + FLAG.format("v: 1"))


def one_outage_each(masters: Cluster, what: str, change: Callable[[], None]) -> None:
    """Make a change; each master fails to answer once, and no two at the same time."""
    stop = threading.Event()
    found: dict[str, list[tuple[float, bool]]] = {}
    poller = threading.Thread(target=lambda: found.update(poll(masters, stop)))
    poller.start()
    try:
        change()
    finally:
        stop.set()
        poller.join()
    spans = {name: outages(found[name]) for name in MASTERS}
    assert all(len(found[name]) > 50 for name in MASTERS)
    assert {name: len(gone) for name, gone in spans.items()} == dict.fromkeys(MASTERS, 1), spans
    (first,), (second,), (third,) = (spans[name] for name in MASTERS)
    assert first[1] <= second[0]
    assert second[1] <= third[0]
    gaps = ", ".join(f"{name} {to - since:.1f} s" for name, ((since, to),) in spans.items())
    sys.stderr.write(f"\n{what}: away for {gaps}, one at a time\n")


def require_one_outage_each(masters: Cluster, command: str, text: str | None = None) -> None:
    """Carry out a command; see `one_outage_each`."""

    def change() -> None:
        done = masters.run(command, "--yes", "--no-verify", text=text)
        assert done.returncode == 0, done.stderr

    one_outage_each(masters, command, change)


def test_a_value_that_ends_the_apiserver_rolls_the_first_back_and_touches_no_other(masters: Cluster) -> None:
    """The edit changes the node, too, which comes after all masters: not one of its files is written."""
    masters.run("apply", "--yes", "--no-verify")
    before, files = masters.processes(), files_of(masters, "n1")
    assert "/etc/kubernetes/kubelet" in files
    text = masters.text + FLAG.format("audit-policy-file: /nonexistent.yaml") + "  kubelet: {args: {v: 1}}\n"
    done = masters.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 1
    assert "update /etc/kubernetes/kubelet" in done.stdout
    assert files_of(masters, "n1") == files
    assert "loading audit policy file: failed to read" in done.stderr
    assert "m1 was rolled back" in done.stderr
    after = masters.processes()
    assert {name for name in before if before[name] != after[name]} <= {
        f"m1 {unit}" for unit in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    assert masters.run("plan").returncode == 0
    assert masters.run("verify").returncode == 0


def test_masters_with_new_programs_that_were_never_restarted_converge(masters: Cluster) -> None:
    """The classic trap: a run died behind yum, and every master's new program is there under the old process."""
    for name in MASTERS:
        masters.on(name, "yum -y -q reinstall kubernetes-master >/dev/null 2>&1 && rm -f /etc/kubernetes/*.rpmnew")
    planned = masters.run("plan", "--full")
    assert planned.returncode == 3
    assert planned.stdout.count("restart kube-apiserver  (kubernetes-master changed after it started)") == len(MASTERS)
    done = masters.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert masters.run("plan").returncode == 0


def test_a_node_alone_follows_the_masters_record_where_ours_is_older(masters: Cluster) -> None:
    """Another machine has applied meanwhile: here another first master is known, and gates of nodes are asked there."""
    (record,) = masters.folder.glob(".k8s-installer/*/allocations")
    record.write_text(record.read_text().replace("first-master m1", "first-master m2"))
    text = masters.text + "  kubelet: {args: {v: 1}}\n"
    done = masters.run("apply", "--yes", "--limit", "n1", text=text)
    assert done.returncode == 0, done.stderr
    assert "first-master m1" in record.read_text()


def losses(cluster: Cluster) -> list[tuple[str, list[str]]]:
    """What `plan` and `status` report as lost, and on which hosts; both the same."""
    found = []
    for command, code in (("plan", 1), ("status", 3)):
        done = cluster.run(command, "-o", "json")
        assert done.returncode == code, done.stderr
        assert "components: {etcd: {args: {initial-cluster-state: existing}}}" in done.stderr
        found.append(json.loads(done.stdout)["losses"])
    assert found[0] == found[1]
    return [(loss["what"], loss["hosts"]) for loss in found[0]]


def test_a_lost_member_is_not_begun_again_whatever_part_of_the_cluster_is_applied(masters: Cluster) -> None:
    data = "/var/lib/etcd/default.etcd"
    masters.on("m3", f"systemctl stop etcd && mv {data} /var/lib/etcd/away")
    for part in (["--limit", "m3"], ["--only", "etcd"], ["--limit", "m3", "--only", "etcd"]):
        done = masters.run("apply", "--yes", *part)
        assert done.returncode == 1
        words = "m1, m2 have data of a cluster that is in use: this member has lost its data"
        assert words in " ".join(done.stderr.split()), done.stderr
    assert losses(masters) == [("member", ["m3"])]
    assert masters.on("m3", "ls /var/lib/etcd; systemctl is-active etcd || true").split() == ["away", "inactive"]
    masters.on("m3", f"mv /var/lib/etcd/away {data}")
    done = masters.run("apply", "--yes", "--limit", "m3", "--only", "etcd")
    assert done.returncode == 0, done.stderr
    assert masters.run("apply", "--yes").returncode == 0


def members_of(cluster: Cluster, *names: str) -> str:
    """The inventory with etcd on these masters alone."""
    return re.sub(
        r"(?m)^(  (m\d):.*roles: \[)[^]]*\]",
        lambda found: f"{found[1]}{'etcd, ' if found[2] in names else ''}master]",
        cluster.text,
    )


def listed_members(cluster: Cluster, host: str) -> set[str]:
    """The names in etcd's own list."""
    pki = "/etc/etcd/pki"
    answer = cluster.on(
        host,
        f"curl -s --cacert {pki}/ca.crt --cert {pki}/healthcheck.crt --key {pki}/healthcheck.key "
        "-d '{}' https://127.0.0.1:2379/v3beta/cluster/member/list",
    )
    return {str(member["name"]) for member in json.loads(answer)["members"]}


def converged(cluster: Cluster, text: str, *flow: str) -> int:
    """Apply an inventory, or do what `flow` says, in runs that are killed at some line of their journals; how many."""
    path, kills = cluster.folder / "killed.yaml", 0
    path.write_text(text)
    line = FIRST_EVENT + 1
    while (
        # each a line further: the first lines only say what a script will do that nobody has sent yet
        done := killed_at(cluster, line + (kills if EVERY else 12 * (1 + kills % 2)), path, *flow)
    ).returncode == -signal.SIGKILL:
        kills += 1
        assert kills < TOO_MANY
    assert done.returncode == 0, done.stderr
    assert cluster.run("plan", text=text).returncode == 0
    return kills


def test_etcd_shrinks_to_one_member_and_grows_to_three_in_runs_that_are_killed_while_a_client_writes(
    masters: Cluster,
) -> None:
    (state,) = masters.folder.glob(".k8s-installer/*")
    client, one = Client(state / "pki", {name: masters.addresses[name] for name in MASTERS}), members_of(masters, "m1")
    with client.working():
        shrunk = converged(masters, one)
        assert listed_members(masters, "m1") == {"m1"}
        for host in ("m2", "m3"):
            assert masters.on(host, "systemctl is-active etcd || true").strip() != "active"
        done = masters.run("plan", text=masters.text)
        assert done.returncode == 1
        assert "m2 has data of a member that is not in etcd's list any more" in " ".join(done.stderr.split())
        for host in ("m2", "m3"):
            masters.on(host, "rm -rf /var/lib/etcd/default.etcd")
        grown = converged(masters, masters.text)
    assert listed_members(masters, "m3") == {"m1", "m2", "m3"}
    sys.stderr.write(f"\n3 to 1 members: {shrunk} kills, 1 to 3: {grown} kills, converged; {client.words()}\n")
    assert min(shrunk, grown) > 1
    assert client.both_down() == []
    for name in MASTERS:
        assert set(client.written) <= client.there(name)
    verified = masters.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    client.clear("m1")


def test_a_node_goes_on_without_the_first_masters_api_by_a_component_of_the_users(masters: Cluster) -> None:
    """The load balancer of docs/adding-a-component.md, as it stands there; dropped again, it leaves no trace."""
    masters.on("m1", ALL_SERVE)
    before = {host: snapshot(masters, host, *OUR_OWN) for host in masters.addresses}
    write("adding-a-component.md", masters.folder, below=("components/", "templates/"))
    text = masters.text.replace("cluster:\n", 'cluster:\n  api_endpoint: "127.0.0.1:6444"\n', 1)
    done = masters.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 0, done.stderr
    assert masters.run("plan", text=text).returncode == 0
    assert "https://127.0.0.1:6444" in masters.on("n1", "cat /etc/kubernetes/kubelet.kubeconfig")
    renewed = "kubectl -n kube-node-lease get lease n1 -o jsonpath={.spec.renewTime}"
    masters.on("m1", "systemctl stop kube-apiserver")
    try:
        last = masters.on("m2", renewed)
        masters.on("m2", f"for i in $(seq 60); do [ $({renewed}) = {last} ] || exit 0; sleep 1; done; exit 1")
    finally:
        masters.on("m1", "systemctl start kube-apiserver")
    for folder in ("components", "templates"):
        shutil.rmtree(masters.folder / folder)
    done = masters.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert "stop api-gateway" in done.stdout
    assert masters.run("plan").returncode == 0
    after = {host: snapshot(masters, host, *OUR_OWN) for host in masters.addresses}
    assert {host: after[host] ^ before[host] for host in before} == {host: set() for host in before}


def shown(masters: Cluster, code: int) -> dict[tuple[str, str], dict[str, object]]:
    """The certificates that `certs status` shows, by host and file."""
    done = masters.run("certs status", "-o", "json")
    assert done.returncode == code, done.stderr
    return {(item["host"], item["file"]): item for item in json.loads(done.stdout)["certificates"]}


@LONG
def test_certificates_are_renewed_one_master_at_a_time_and_a_second_renewal_restarts_nothing(masters: Cluster) -> None:
    assert masters.run("apply", "--yes", "--no-verify").returncode == 0
    renew = "certs renew --component kube-apiserver"
    before = shown(masters, 0)
    require_one_outage_each(masters, renew)
    after = shown(masters, 0)
    renewed = {path for host, path in before if before[host, path]["serial"] != after[host, path]["serial"]}
    pki = "/etc/kubernetes/pki"
    names = ("apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-client")
    assert renewed == {f"{pki}/{name}.crt" for name in names}
    assert not [item for item in after.values() if item["restart_pending"] or item["differs_from_local"]]
    processes = masters.processes()
    again = masters.run(renew, "--yes", "--no-verify")
    assert again.returncode == 0, again.stderr
    assert "issued again, with their keys: 0 certificates" in again.stderr
    assert masters.processes() == processes
    assert masters.run("plan").returncode == 0


def test_a_cluster_is_rescued_after_all_its_certificates_have_expired(masters: Cluster) -> None:
    """Its programs have them and run until they end; then no member of etcd lets another one in."""
    masters.on("m1", "kubectl create configmap kept --from-literal=a=b")
    valid = 30  # seconds
    age(masters.inventory, dt.timedelta(seconds=valid))
    until = time.monotonic() + valid + 1
    place(masters)
    masters.on("m1", QUORUM)
    time.sleep(max(0.0, until - time.monotonic()))
    assert all(item["days"] == -1 for (_, path), item in shown(masters, 3).items() if not path.endswith("ca.crt"))
    masters.on("m1", "! kubectl get --raw /readyz")
    planned = masters.run("plan", "--full")
    assert "k8s-installer certs renew" in planned.stderr
    began = time.monotonic()
    done = masters.run("certs renew", "--yes")
    assert done.returncode == 0, done.stderr
    print(f"expired cluster rescued and verified in {time.monotonic() - began:.0f} s")  # noqa: T201
    assert masters.on("m1", "kubectl get configmap kept -o jsonpath={.data.a}") == "b"
    assert masters.run("plan").returncode == 0
    assert all(item["days"] != -1 for item in shown(masters, 0).values())
    processes = masters.processes()
    again = masters.run("certs renew", "--yes", "--no-verify")
    assert again.returncode == 0, again.stderr
    assert "issued again, with their keys: 0 certificates" in again.stderr
    assert masters.processes() == processes
    masters.on("m1", "kubectl delete configmap kept")


@LONG
def test_all_certificates_are_renewed_in_runs_that_are_killed(masters: Cluster) -> None:
    age(masters.inventory, dt.timedelta(days=400))
    assert masters.run("apply", "--yes", "--no-verify").returncode == 0
    kills = converged(masters, masters.text, "renew")
    sys.stderr.write(f"\nrenewal: {kills} kills, converged\n")
    assert kills > FEW
    found = shown(masters, 0)
    assert all(int(str(item["days"])) > 1800 for (_, path), item in found.items() if not path.endswith("ca.crt"))
    assert not [item for item in found.values() if item["restart_pending"] or item["differs_from_local"]]


@pytest.mark.parametrize("ca", ["etcd-peer-ca", *(["etcd-ca", "front-proxy-ca", "ca"] if EVERY else [])])
def test_a_ca_is_replaced_in_three_steps_and_nothing_is_lost(masters: Cluster, ca: str) -> None:
    """The members of etcd accept each other by it, so a step that came too early would cost the quorum."""
    base = {"ca": "kubernetes-ca"}.get(ca, ca)
    masters.on("m1", "kubectl create configmap kept --from-literal=a=b")
    refused = masters.run(f"certs rotate {ca} use", "--yes")
    assert refused.returncode == 2
    assert f"next: k8s-installer certs rotate {ca} add" in " ".join(refused.stderr.split())
    signed = {"add": {base}, "use": {f"{base}-2"}, "drop": {f"{base}-2"}}
    for step, issuers in signed.items():
        masters.on("m1", READY)
        done = masters.run(f"certs rotate {ca} {step}", "--yes", "--no-verify")
        assert done.returncode == 0, done.stderr
        found = {
            str(item["issuer"]).removeprefix("CN=")
            for item in shown(masters, 0).values()
            if item["name"] != f"{ca}.crt"
        }
        assert {name for name in found if name.removesuffix("-2") == base} == issuers
    assert masters.run("plan").returncode == 0
    assert masters.on("m3", "kubectl get configmap kept -o jsonpath={.data.a}") == "b"
    masters.on("m1", "kubectl delete configmap kept")


def pod(masters: Cluster) -> None:
    """Run one that has the token of its service account mounted."""
    masters.on("m1", f"kubectl run user --image={image(masters)} --restart=Never --image-pull-policy=IfNotPresent")
    masters.on("m1", "kubectl wait --for=condition=Ready --timeout=60s pod/user")


def answered(cluster: Cluster, *masters: str) -> list[str]:
    """What each master answers to the token of each pod on the node, as the pod reads it."""
    mounted = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret/*-token-*"
    where = " ".join(cluster.addresses[name] for name in masters)
    ask = (
        "curl -s -o /dev/null -w '%{http_code} ' --cacert $d/ca.crt "
        '-H "Authorization: Bearer $(cat $d/token)" https://$h:6443/api'
    )
    return cluster.on("n1", f"for d in {mounted}; do for h in {where}; do {ask}; done; done").split()


@LONG
def test_the_key_of_tokens_is_replaced_in_runs_that_are_killed_while_a_pod_uses_its_token(masters: Cluster) -> None:
    kills = 0
    pod(masters)
    try:
        for step in ("add", "use"):
            kills += converged(masters, masters.text, "rotate", "sa", step)
            assert answered(masters, *MASTERS) == ["200"] * len(MASTERS)
        stopped = masters.run("certs rotate sa drop", "--yes", "--no-verify")
        assert stopped.returncode == 1
        assert "these pods have tokens of the old key" in stopped.stderr
        assert "default/user" in stopped.stderr
        masters.on("m1", "kubectl delete pod user --now")
        pod(masters)
        kills += converged(masters, masters.text, "rotate", "sa", "drop")
        assert answered(masters, *MASTERS) == ["200"] * len(MASTERS)
    finally:
        masters.on("m1", "kubectl delete pod user --now")
    sys.stderr.write(f"\nkey of tokens: {kills} kills, converged\n")
    assert kills > FEW


def written_with(masters: Cluster) -> set[str]:
    """The keys with which Secrets are written in etcd."""
    pki = "/etc/etcd/pki"
    etcdctl = (
        f"ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert {pki}/ca.crt --cert {pki}/healthcheck.crt "
        f"--key {pki}/healthcheck.key get /registry/secrets/ --prefix --print-value-only"
    )
    return set(masters.on("m1", f"{etcdctl} | grep -ao 'k8s:enc:[a-z]*:v1:[^:]*:' | cut -d: -f5").split())


@LONG
def test_the_key_of_secrets_is_replaced_in_runs_that_are_killed(masters: Cluster) -> None:
    masters.on("m1", "kubectl create secret generic kept --from-literal=a=b")
    assert written_with(masters) == {"key1"}
    kills = sum(converged(masters, masters.text, "rotate", "encryption", step) for step in ("add", "use", "drop"))
    sys.stderr.write(f"\nkey of Secrets: {kills} kills, converged\n")
    assert kills > FEW
    assert written_with(masters) == {"key2"}
    for name in MASTERS:
        assert base64.b64decode(masters.on(name, "kubectl get secret kept -o jsonpath={.data.a}")) == b"b"
    masters.on("m1", "kubectl delete secret kept")


def place(masters: Cluster) -> None:
    """Put the local certificates on the hosts, by hand and on all at once, and restart what reads them."""
    wanted = resolve.resolve(masters.inventory, None, resolve.present_keys).desired
    units = "etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"
    for host in masters.addresses:
        files = {
            ref.name: base64.b64encode(item.resource.content).decode()
            for ref, item in wanted.items()
            if ref.host == host and isinstance(item.resource, File) and ref.name.endswith(".crt")
        }
        writes = " && ".join(f"echo {content} | base64 -d >{path}" for path, content in files.items())
        masters.on(host, f"{writes}; for u in {units}; do systemctl try-restart --no-block $u; done; true")


DATA = "/var/lib/etcd/default.etcd"
AMID = 25  # the line of a restore's journal at which some members have the new data, and nothing has started
# The same of members that run: they stop first, so none has it at that line; at the other all have it, and etcd runs.
STOPPING, STARTED = AMID, 45


def destroy(cluster: Cluster) -> None:
    for name in MASTERS:
        cluster.on(name, f"systemctl kill -s KILL etcd; systemctl stop etcd; rm -rf {DATA}")


def test_all_members_are_destroyed_and_a_backup_brings_every_object_back(masters: Cluster, tmp_path: Path) -> None:
    (name,) = re.findall(r'^  name: "(.+)"$', masters.text, re.MULTILINE)
    file, phrase = tmp_path / "lab.backup", tmp_path / "phrase"
    phrase.write_bytes(PHRASE)
    given = ["--passphrase-file", str(phrase)]
    objects.create(masters)
    began = time.monotonic()
    done = masters.run("backup", "-o", str(file), *given)
    assert done.returncode == 0, done.stderr
    took = time.monotonic() - began
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    objects.create_late(masters, 1)
    destroy(masters)
    lost = masters.run("apply", "--yes")
    assert lost.returncode == 1
    assert "k8s-installer restore FILE -i INVENTORY" in " ".join(lost.stderr.split())

    began = time.monotonic()
    assert killed_at(masters, AMID, masters.inventory, str(file)).returncode == -signal.SIGKILL
    refused = masters.run("apply", "--yes")
    assert refused.returncode == 1
    assert f"a restore from {file} did not finish; nothing was changed" in " ".join(refused.stderr.split())
    done = masters.run("restore", str(file), "--yes", "--name", name, "--no-verify", *given)
    assert done.returncode == 0, done.stderr
    sys.stderr.write(
        f"\nbackup of {objects.COUNT} objects: {file.stat().st_size / 1e6:.1f} MB in {took:.1f} s; restored on three "
        f"members in {time.monotonic() - began:.1f} s, killed once\n"
    )
    assert objects.kept(masters) == objects.EXPECTED
    assert masters.run("plan").returncode == 0
    assert masters.on("m2", f"ls {DATA}").split()[0].startswith(f"before-{name}-")


def test_members_back_up_on_a_schedule_and_the_file_is_one_that_restore_takes(masters: Cluster, tmp_path: Path) -> None:
    text = masters.text + "host_settings: {etcd_backups: {schedule: '02:30', keep: 2}}\n"
    done = masters.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 0, done.stderr
    assert masters.run("plan", text=text).returncode == 0
    for name in MASTERS:
        assert "02:30:00" in masters.on(name, "systemctl list-timers etcd-backup.timer --no-pager")
    masters.on("m2", "systemctl start etcd-backup")
    file = tmp_path / "lab.backup"
    file.write_bytes(base64.b64decode(masters.on("m2", "base64 /var/lib/etcd-backups/*.backup")))
    checked = installer("restore", str(file), "--check", "-o", "json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["member"] == "m2"
    assert masters.run("apply", "--yes", "--no-verify").returncode == 0
    assert (
        masters.on("m2", "ls /etc/systemd/system/etcd-backup.* 2>/dev/null; ls /var/lib/etcd-backups | wc -l") == "1\n"
    )


@pytest.mark.skipif(not EVERY, reason="takes twenty minutes: make test-all")
def test_a_restore_that_is_killed_is_resumed_when_typed_again(masters: Cluster, tmp_path: Path) -> None:
    """Onto members that run, at lines of its journal; what it restored has no object that was made after the backup."""
    file = tmp_path / "lab.backup"
    (name,) = re.findall(r'^  name: "(.+)"$', masters.text, re.MULTILINE)
    assert masters.run("backup", "-o", str(file)).returncode == 0
    kills = 0
    for line in range(3, TOO_MANY, 7):
        objects.create_late(masters, line)
        died = killed_at(masters, line, masters.inventory, str(file))
        if died.returncode != -signal.SIGKILL:
            assert died.returncode == 0, died.stderr
            break
        kills += 1
        done = masters.run("restore", str(file), "--yes", "--name", name, "--no-verify")
        assert done.returncode == 0, done.stderr
        assert objects.kept(masters) == objects.EXPECTED, line
    sys.stderr.write(f"\nrestore: {kills} kill points, {kills} converged\n")
    assert masters.run("plan").returncode == 0
    assert masters.run("verify").returncode == 0


def token_of(cluster: Cluster) -> str:
    """That of the restore which did not finish."""
    (begun,) = cluster.folder.glob(".k8s-installer/*/restoring/begun")
    return str(json.loads(begun.read_text())["token"])


def by_hand(cluster: Cluster) -> None:
    """What docs/backup.md says of a return to the data from before, on all members and then on nodes."""
    page = (REPO / "docs/backup.md").read_text()
    members, here, nodes = re.findall(r"(?ms)^```sh\n(.*?)^```$", page.partition("### To give up on it")[2])[:3]
    for name in MASTERS:
        cluster.on(name, f"set -e; {members.replace('TOKEN', token_of(cluster))}")
    assert here.startswith("rm -r .k8s-installer/CLUSTER/restoring\n")
    (begun,) = cluster.folder.glob(".k8s-installer/*/restoring")
    shutil.rmtree(begun)
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stdout + done.stderr
    cluster.on("n1", nodes)


def require_whole(masters: Cluster, late: int) -> None:
    """Every object is there, and that which was made late; the cluster works, and there is nothing to change."""
    name = f"kept-{objects.COUNT + late}"
    assert objects.kept(masters) == {**objects.EXPECTED, name: "late"}
    assert masters.run("plan").returncode == 0
    verified = masters.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    masters.on("m1", f"kubectl -n kept delete configmap {name}")


@LONG
@pytest.mark.parametrize("line", [STOPPING, STARTED])
def test_a_restore_that_did_not_finish_is_given_up_by_hand(masters: Cluster, tmp_path: Path, line: int) -> None:
    """Members stop, or have the backup's data and run: everybody has the data from before again."""
    file = tmp_path / "lab.backup"
    objects.create(masters)
    assert masters.run("backup", "-o", str(file)).returncode == 0
    objects.create_late(masters, line)
    assert killed_at(masters, line, masters.inventory, str(file)).returncode == -signal.SIGKILL
    has_data = f"before-{token_of(masters)}" in "".join(masters.on(name, f"ls {DATA}") for name in MASTERS)
    assert has_data == (line == STARTED)
    began = time.monotonic()
    by_hand(masters)
    sys.stderr.write(f"\nthe data from before is back, by hand, in {time.monotonic() - began:.0f} s\n")
    require_whole(masters, line)


@LONG
def test_another_backup_replaces_a_restore_that_did_not_finish(masters: Cluster, tmp_path: Path) -> None:
    (name,) = re.findall(r'^  name: "(.+)"$', masters.text, re.MULTILINE)
    first, second = tmp_path / "first.backup", tmp_path / "second.backup"
    objects.create(masters)
    assert masters.run("backup", "-o", str(first)).returncode == 0
    objects.create_late(masters, 1)
    assert masters.run("backup", "-o", str(second)).returncode == 0
    objects.create_late(masters, 2)
    assert killed_at(masters, STOPPING, masters.inventory, str(first)).returncode == -signal.SIGKILL
    began = time.monotonic()
    done = masters.run("restore", str(second), "--yes", "--name", name, "--no-verify")
    assert done.returncode == 0, done.stdout + done.stderr
    sys.stderr.write(f"\nanother backup in the place of one, in {time.monotonic() - began:.0f} s\n")
    require_whole(masters, 1)


PACKAGES = ("kubernetes-master", "kubernetes-node", "kubernetes-client")
STEPS = (6, 12)  # lines of the journal at which a run is killed


def of_version(cluster: Cluster, version: str) -> str:
    text = cluster.text.replace(OWN, version)
    assert text != cluster.text
    return text


def own_profile(cluster: Cluster, version: str, **keys: object) -> str:
    """An inventory of another minor version, whose profile is beside it."""
    text = (PROFILES / "1.20.2.yaml").read_text().replace('version: "1.20.2"', f'version: "{version}"')
    for key, value in keys.items():
        lines = text.splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith(f"{key}:"))
        last = next(
            number for number, line in enumerate([*lines[first + 1 :], "end"], first + 1) if line[:1] not in (" ", "#")
        )
        text = "\n".join([*lines[:first], f"{key}: {json.dumps(value)}", *lines[last:]])
    folder = cluster.folder / "profiles"
    (folder / "flags").mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.yaml").write_text(text)
    for kind in ("json", "yaml"):
        shutil.copy(PROFILES / f"flags/1.20.2.{kind}", folder / f"flags/{version}.{kind}")
    return of_version(cluster, version)


OLD_ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1beta1
kind: ClusterRole
metadata: {name: of-an-old-manifest}
"""


def test_versions_that_cannot_be_reached_and_apis_in_use_stop_a_plan(masters: Cluster) -> None:
    try:
        older = masters.run("plan", text=own_profile(masters, "1.19.0"))
        assert older.returncode == 1
        assert "version 1.19.0 is older than what runs: m1 (1.20.2), m2 (1.20.2), m3 (1.20.2)" in older.stderr
        skips = masters.run("plan", text=own_profile(masters, "1.22.0", upgrades_from=["1.21"]))
        assert skips.returncode == 1
        assert "version 1.22.0 cannot be reached from what runs: m1 (1.20.2), m2 (1.20.2), m3 (1.20.2)" in skips.stderr
        removed = [{"api": "rbac.authorization.k8s.io/v1beta1", "kinds": {"clusterroles": "ClusterRole"}, "moved_to": "rbac.authorization.k8s.io/v1"}]  # fmt: skip
        following = own_profile(masters, "1.21.0", upgrades_from=["1.20"], removed_apis=removed)
        masters.on("m1", f"cat <<'END' | kubectl apply -f -\n{OLD_ROLE}END")
        in_use = masters.run("plan", text=following)
        assert in_use.returncode == 1
        words = (
            "ClusterRole of rbac.authorization.k8s.io/v1beta1: of-an-old-manifest (use rbac.authorization.k8s.io/v1)"
        )
        assert words in in_use.stderr
        masters.on("m1", "kubectl delete clusterrole of-an-old-manifest")
        alone = masters.run("apply", "--yes", "--limit", "n1", text=following)
        assert alone.returncode == 1
        assert "kubelets of Kubernetes 1.21.0 on n1 would be newer than the API server of m1 (1.20.2)" in alone.stderr
        planned = masters.run("plan", "--full", text=following)
        assert planned.returncode == 3, planned.stderr
        assert "n1  ^ upgrade package kubernetes-node 1.21.0" in planned.stdout
    finally:
        shutil.rmtree(masters.folder / "profiles")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the next version of Kubernetes, and another release of docker and of etcd."""
    return repository(
        tmp_path_factory.mktemp("newer"), NEXT, dict.fromkeys(("kubernetes", "docker", "etcd"), RELEASES[1:])
    )


def release_of(cluster: Cluster, host: str, package: str) -> str:
    """VERSION-RELEASE of a package, as a host has it."""
    return cluster.on(host, f"rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' {package}")


def restarted(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@LONG
def test_another_release_of_docker_is_named_in_the_inventory_and_so_is_the_way_back(
    masters: Cluster, newer: Path
) -> None:
    version, _, own = release_of(masters, "n1", "docker").partition("-")
    assert own == RELEASES[0]
    with offered(masters, newer):
        for word, release in (("^ upgrade", RELEASES[1]), ("v downgrade", RELEASES[0])):
            text = masters.text + f"packages: {{docker: {version}-{release}}}\n"
            planned = masters.run("plan", "--full", text=text)
            assert planned.returncode == 3, planned.stderr
            (other,) = set(RELEASES) - {release}
            words = f"version {version}-{other} is installed, should be {version}-{release}"
            assert f"n1  {word} package docker {version}-{release}  ({words})" in planned.stdout
            before, began = masters.processes(), time.monotonic()
            done = masters.run("apply", "--yes", text=text)
            assert done.returncode == 0, done.stdout + done.stderr
            sys.stderr.write(f"\ndocker {release}: {time.monotonic() - began:.0f} s, with verify\n")
            assert release_of(masters, "n1", "docker") == f"{version}-{release}"
            assert restarted(before, masters.processes()) == {"n1 docker", "n1 kubelet"}  # which depends on it
            assert masters.run("plan", text=text).returncode == 0
    assert masters.run("plan").returncode == 0


@LONG
def test_what_yum_update_brought_is_in_the_plan_and_apply_puts_it_right(masters: Cluster, newer: Path) -> None:
    """Kubernetes goes back to the inventory's version; docker and etcd, of which it says none, restart in the new one."""
    others = {"n1": "docker", "m2": "etcd"}
    own = {package: release_of(masters, host, package) for host, package in others.items()}
    with offered(masters, newer):
        for host in others:
            masters.on(host, "yum -y -q update >/dev/null 2>&1")
        planned = masters.run("plan", "--full")
        assert planned.returncode == 3, planned.stderr
        status = masters.run("status")
        assert status.returncode == 3
        assert f"{NEXT}, not {OWN}" in status.stdout
        for host, package in (("m2", "kubernetes-master"), ("n1", "kubernetes-node")):
            assert release_of(masters, host, package) == f"{NEXT}-{RELEASES[1]}"
            assert f"{host}  v downgrade package {package} {OWN}" in planned.stdout
        for package in others.values():
            assert f"restart {package}  ({package} changed after it started)" in planned.stdout
        before, began = masters.processes(), time.monotonic()
        done = masters.run("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        sys.stderr.write(f"\nafter yum update: {time.monotonic() - began:.0f} s, with verify\n")
        assert restarted(before, masters.processes()) == {
            *(f"m2 {unit}" for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")),
            *(f"n1 {unit}" for unit in ("docker", "kubelet", "kube-proxy")),
        }
        assert masters.run("plan").returncode == 0
        for host, package in (("m2", "kubernetes-master"), ("n1", "kubernetes-node")):
            assert release_of(masters, host, package).startswith(f"{OWN}-")
        for host, package in others.items():
            assert release_of(masters, host, package).endswith(RELEASES[1])
    text = masters.text + f"packages: {json.dumps(own)}\n"
    assert masters.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    assert masters.run("plan").returncode == 0


def test_an_edit_of_the_version_upgrades_masters_one_by_one_and_then_nodes(masters: Cluster, tmp_path: Path) -> None:
    """Killed twice, typed again: each API server is away once, no two at a time, and the node comes last."""
    first_release = dict.fromkeys(PACKAGES, f"{NEXT}-{RELEASES[0]}")
    text = of_version(masters, NEXT) + f"packages: {json.dumps(first_release)}\n"
    with offered(masters, repository(tmp_path, NEXT, {"kubernetes": RELEASES})):
        planned = masters.run("plan", "--full", text=text)
        assert planned.returncode == 3, planned.stderr
        assert planned.stdout.count("  cannot be rolled back\n") == len([*MASTERS, "n1"]) * 2

        def change() -> None:
            path = masters.folder / "killed.yaml"
            path.write_text(text)
            died = [killed_at(masters, line, path).returncode for line in STEPS]
            assert died == [-signal.SIGKILL] * len(STEPS)
            assert f"kubernetes-node-{OWN}" in masters.on("n1", "rpm -q kubernetes-node")
            done = masters.run("apply", "--yes", "--no-verify", text=text)
            assert done.returncode == 0, done.stderr

        one_outage_each(masters, f"upgrade to {NEXT}, killed {len(STEPS)} times", change)
        assert masters.run("plan", text=text).returncode == 0
        release = masters.run("apply", "--yes", "--limit", "n1", text=text.replace(*RELEASES))
        assert release.returncode == 0, release.stderr
        assert f"n1  ^ upgrade package kubernetes-node {NEXT}-{RELEASES[1]}" in release.stdout
        assert f"kubernetes-node-{NEXT}-{RELEASES[1]}" in masters.on("n1", "rpm -q kubernetes-node")
    assert "v1.20.3" in masters.on("m1", "kubectl get node n1 -o jsonpath={.status.nodeInfo.kubeletVersion}")
    for name in masters.addresses:
        assert masters.on(name, "find /etc -name '*.rpmnew' -o -name '*.rpmsave'") == ""
        originals = masters.on(name, "cat /var/lib/k8s-installer/originals/*")
        assert originals.count(COMMENT) >= 1, originals


@LONG
def test_the_next_minor_version_is_an_edit_like_any_other(masters: Cluster, tmp_path: Path) -> None:
    """Of a version that only a profile beside the inventory knows."""
    release = dict.fromkeys(PACKAGES, f"{MINOR}-{RELEASES[0]}")
    text = own_profile(masters, MINOR, upgrades_from=["1.20"]) + f"packages: {json.dumps(release)}\n"

    def change() -> None:
        done = masters.run("apply", "--yes", text=text)
        assert done.returncode == 0, done.stderr

    try:
        with offered(masters, repository(tmp_path, MINOR, {"kubernetes": RELEASES[:1]})):
            one_outage_each(masters, f"upgrade to {MINOR}", change)
            assert masters.run("plan", text=text).returncode == 0
        back = masters.run("plan", text=of_version(masters, NEXT))
        assert back.returncode == 1
        assert f"version {NEXT} is older than what runs" in back.stderr
    finally:
        shutil.rmtree(masters.folder / "profiles")
    versions = masters.on("m1", "kubectl get nodes -o jsonpath='{.items[*].status.nodeInfo.kubeletVersion}'")
    assert versions.split() == [f"v{MINOR}"]
