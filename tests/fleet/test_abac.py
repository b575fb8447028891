"""The policy of 1.5.2 in a real kube-apiserver (the lab's 1.20.2 reads the same file), asked with the cluster's own certificates."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from k8s_installer import pki
from k8s_installer.lab import programs, rpms, state
from k8s_installer.pki import Pki
from tests.contract.sshd import free_port
from tests.fleet.conftest import PROGRAMS
from tests.unit.clusters import cluster, leaves
from tests.unit.test_abac import REQUESTS, policy

pytestmark = pytest.mark.fleet

LAB = cluster("1.5.2")
CERTIFICATES = {
    "kubelet": "n1/kubelet",
    "kube-proxy": "proxy",
    "kube-scheduler": "scheduler",
    "kube-controller-manager": "controller-manager",
    "administrator": "admin",
}
CACHE = state.default_cache()


@pytest.fixture(scope="module")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Where the PKI lies and on which port of the loopback an apiserver answers that goes by the policy."""
    folder = tmp_path_factory.mktemp("abac")
    keys: Pki = pki.ensure(folder, leaves(LAB))
    assert keys["m1/apiserver.crt"]
    (folder / "abac.jsonl").write_bytes(policy())
    made, _ = programs.programs(CACHE, programs.BUILT_VERSION, Path(PROGRAMS) if PROGRAMS else None, lambda _: None)
    etcd = rpms.payload(CACHE, lambda _: None) / "etcd-server/usr/bin/etcd"
    clients, peers, port = free_port(), free_port(), free_port()
    commands = (
        [
            *(str(etcd), f"--data-dir={folder}/etcd", f"--listen-peer-urls=http://127.0.0.1:{peers}"),
            *(f"--{flag}-client-urls=http://127.0.0.1:{clients}" for flag in ("listen", "advertise")),
        ],
        [
            *(
                str(made["kube-apiserver"]),
                "--authorization-mode=ABAC",
                f"--authorization-policy-file={folder}/abac.jsonl",
            ),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--etcd-servers=http://127.0.0.1:{clients}"),
            *(f"--client-ca-file={folder}/ca.crt", f"--tls-cert-file={folder}/m1/apiserver.crt"),
            *(f"--tls-private-key-file={folder}/m1/apiserver.key", "--anonymous-auth=false", f"--cert-dir={folder}"),
            *("--service-account-issuer=https://lab", f"--service-account-key-file={folder}/sa.pub"),
            *(f"--service-account-signing-key-file={folder}/sa.key", "--service-cluster-ip-range=10.254.0.0/16"),
            "--disable-admission-plugins=ServiceAccount",  # it says "forbidden", too
        ],
    )
    running: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        try:
            running = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
            await_ready(folder, port)
            yield folder, port
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait(30)


def await_ready(folder: Path, port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if ask(folder, port, "administrator", "GET /readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError((folder / "log").read_text(errors="replace")[-3000:])


def ask(folder: Path, port: int, who: str, request: str) -> tuple[int, str]:
    """The status of an answer, and the message in it; a service account asks through the administrator."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    certificate = folder / CERTIFICATES.get(who, "admin")
    context.load_cert_chain(certificate.with_suffix(".crt"), certificate.with_suffix(".key"))
    method, path = request.split()
    headers = {"Content-Type": "application/json" if method != "PATCH" else "application/merge-patch+json"}
    if who not in CERTIFICATES:
        headers["Impersonate-User"] = REQUESTS[who]["user"]
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    try:
        connection.request(method, path, None if method == "GET" else b"{}", headers)
        answer = connection.getresponse()
        if answer.status != 403:
            return answer.status, ""
        return answer.status, json.loads(answer.read())["message"]
    finally:
        connection.close()


@pytest.mark.parametrize("who", REQUESTS)
def test_a_real_apiserver_lets_a_program_do_what_it_needs_and_nothing_else(
    apiserver: tuple[Path, int], who: str
) -> None:
    expected = {text: kind != "refused" for kind in ("needs", "beyond", "refused") for text in REQUESTS[who][kind]}
    answers = {text: ask(*apiserver, who, text) for text in expected}
    allowed = {text: not (status == 403 and " cannot " in message) for text, (status, message) in answers.items()}
    assert allowed == expected, answers
    assert 401 not in {status for status, _ in answers.values()}
