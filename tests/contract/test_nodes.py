"""Labels, annotations and taints of nodes, through the real kubectl and API server of 1.20.2 on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.engine.remote import SshRemote
from k8s_installer.inventory.nodes import LARGEST_ANNOTATION, annotation
from k8s_installer.transport import connect
from tests.contract import remote_suite
from tests.contract.programs import ARTIFACTS, FOUND, needs_programs
from tests.contract.sshd import serve
from tests.fakes import FakeHost
from tests.unit.test_perform import program

pytestmark = pytest.mark.contract

TOKEN = "a-token"  # noqa: S105 - of a server that is gone in a minute
NODES = ("n1", "n2")


@dataclass
class Api:
    """An API server, and kubectl for it."""

    folder: Path
    port: int

    def kubectl(self, *words: str, text: str = "") -> str:
        argv = [str(next(ARTIFACTS.glob("programs-*/kubectl"))), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(argv, input=text, capture_output=True, text=True, check=True, timeout=60).stdout

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "root/root/.kube/config"

    def node(self, name: str) -> Any:  # noqa: ANN401 - JSON
        found = json.loads(self.kubectl("get", "node", name, "-o", "json"))
        return {"annotations": {}, **found["metadata"], **found["spec"]}


def free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    tmp_path = tmp_path_factory.mktemp("api")
    clients, peers, port = free_ports(3)
    (tmp_path / "tokens").write_text(f"{TOKEN},admin,0,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", tmp_path / "sa.key", "2048"], check=True, capture_output=True)
    client, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    commands = (
        [
            FOUND["etcd"], "--data-dir", tmp_path / "etcd", "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        ],
        [
            FOUND["kube-apiserver"], f"--etcd-servers={client}", "--bind-address=127.0.0.1", f"--secure-port={port}",
            f"--cert-dir={tmp_path / 'certs'}", f"--token-auth-file={tmp_path / 'tokens'}",
            "--authorization-mode=AlwaysAllow", "--service-account-issuer=https://localhost",
            f"--service-account-key-file={tmp_path / 'sa.key'}", "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-signing-key-file={tmp_path / 'sa.key'}",
        ],
    )  # fmt: skip
    found = Api(tmp_path, port)
    found.kubeconfig.parent.mkdir(parents=True)
    found.kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],"
        f" clusters: [{{name: a, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}],"
        f" users: [{{name: a, user: {{token: {TOKEN}}}}}]}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        running = [subprocess.Popen(list(map(str, argv)), stdout=log, stderr=log) for argv in commands]
    try:
        until = time.monotonic() + 120
        while True:
            try:
                found.kubectl("get", "--raw", "/readyz")
                break
            except subprocess.CalledProcessError:
                assert time.monotonic() < until, (tmp_path / "log").read_text()[-4000:]
                time.sleep(0.5)
        yield found
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


@pytest.fixture
def api(server: Api) -> Api:
    """The server with two new nodes."""
    server.kubectl("delete", "node", "--all")
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in NODES]
    server.kubectl("create", "-f", "-", text="\n".join(map(json.dumps, nodes)))
    return server


@pytest.fixture
def remote(api: Api, tmp_path: Path) -> Iterator[SshRemote]:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "sudo", 'shift 2; exec "$@"')
    (tmp_path / "bin/kubectl").symlink_to(next(ARTIFACTS.glob("programs-*/kubectl")))
    path = f"PATH={tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with serve(tmp_path / "sshd", env=[path, f"K8S_INSTALLER_ROOT={api.folder}/root"]) as server:
        transport = connect(server.host())
        try:
            yield SshRemote(transport)
        finally:
            transport.close()


def test_the_fake_keeps_the_contract_of_nodes() -> None:
    remote_suite.nodes(FakeHost("m1", settings=dict.fromkeys(remote_suite.OF_NODES, "none")))


@needs_programs
def test_the_real_api_keeps_the_contract_of_nodes(api: Api, remote: SshRemote) -> None:
    api.kubectl("label", "node", "n1", "theirs=stays")
    api.kubectl("taint", "node", "n1", "theirs=stays:PreferNoSchedule")
    remote_suite.nodes(remote)
    node = api.node("n1")
    assert node["labels"] == {"theirs": "stays"}
    assert "example.com/note" not in node["annotations"]
    keys = {taint["key"] for taint in node["taints"]}
    assert "theirs" in keys
    assert "dedicated" not in keys


@needs_programs
def test_an_annotation_arrives_as_it_is_whatever_is_in_it(api: Api, remote: SshRemote) -> None:
    texts = (
        "".join(map(chr, range(1, 0x180))) + "€𝄞 % %41 + $(id) `id` \\n '\" ; {{.}}",
        "x" * LARGEST_ANNOTATION,
        "\n" * (LARGEST_ANNOTATION // 6),
    )
    for text in texts:
        annotation(text)
        remote_suite.nodes_annotated(remote, text)
        assert api.node("n1")["annotations"]["example.com/note"] == text


@needs_programs
def test_a_node_that_is_not_registered_is_named(api: Api, remote: SshRemote) -> None:
    api.kubectl("delete", "node", "n2")
    words = remote_suite.nodes_missing(remote, "n2")
    assert words.startswith("node n2 is not registered; restart its kubelet")


@needs_programs
def test_taints_are_read_where_nodes_had_them_before_1_6(api: Api, remote: SshRemote) -> None:
    """As the kubectl of 1.5 writes them, and as somebody may."""
    written = (
        '[{"key":"example.com/a","value":"b","effect":"NoSchedule","timeAdded":null},{"key":"c","effect":"NoSchedule"}]'
    )
    annotation = "scheduler.alpha.kubernetes.io/taints"
    for text in (written, json.dumps(json.loads(written), indent=2)):
        api.kubectl("annotate", "--overwrite", "node", "n1", f"{annotation}={text}")
        names = ("n1 example.com/a:NoSchedule", "n1 c:NoSchedule", "n1 c:PreferNoSchedule", "n2 c:NoSchedule")
        found = remote_suite.values(remote, *(f"node-annotated-taint {name}" for name in names))
        assert found == ["=b", "=", "none", "none"]
