from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from k8s_installer import pki, profiles, recovery
from k8s_installer.desired import desire
from k8s_installer.errors import InstallerError
from k8s_installer.pki import issuing
from k8s_installer.pki.certificates import private_pem, public_pem
from k8s_installer.pki.leaves import leaves, names
from k8s_installer.render import Renderer
from k8s_installer.resources import File
from tests.unit.clusters import cluster

LAB = cluster(topology="etcd-apart")
LEAVES = leaves(LAB)
PLACES = recovery.places(desire(LAB, profiles.profile_of(LAB), pki.placeholder(LAB), Renderer()))
NOT_ON_HOSTS = {"etcd-ca.key", "etcd-peer-ca.key", "front-proxy-ca.key"}
Answers = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.ensure(tmp_path_factory.mktemp("pki"), LEAVES)


@pytest.fixture(scope="module")
def hosts(real: pki.Pki) -> Answers:
    """What each host answers, from the files that it was given."""
    wanted = desire(LAB, profiles.profile_of(LAB), real, Renderer())
    answers: Answers = {}
    for host, paths in PLACES.items():
        lines = []
        for ref, item in wanted.items():
            if ref.host == host and ref.name in paths and isinstance(item.resource, File):
                lines.append(f"key {ref.name} {base64.b64encode(item.resource.content).decode()}")
        found = recovery.parse("\n".join([*lines, recovery.END]), paths)
        assert found is not None
        answers[host] = found
    return answers


def test_hosts_have_all_but_the_keys_of_three_cas(real: pki.Pki, hosts: Answers) -> None:
    found = recovery.fitting(hosts, LEAVES)
    assert set(names(LEAVES)) - found.files.keys() == NOT_ON_HOSTS
    assert {name: real[name] for name in found.files} == found.files
    assert found.notes == ()
    assert found.hosts["ca.key"] == ("m1", "m2")
    assert found.hosts["proxy.key"] == ("n1",)
    assert "BEGIN" not in repr(found)


def test_the_script_gives_the_bytes_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a key").write_bytes(b"\x00secret\n")
    paths = {str(tmp_path / "a key"): "sa.key", str(tmp_path / "none"): "ca.key", str(tmp_path): "ca.crt"}
    done = subprocess.run(["sh", "-c", recovery.script(paths)], capture_output=True, text=True, check=True)
    assert recovery.parse(done.stdout, paths) == {"sa.key": b"\x00secret\n"}


@pytest.mark.parametrize(
    "lines",
    [
        "key /k not-base64!",
        "key /k ",
        "key /other c2VjcmV0",
        "word /k c2VjcmV0",
        "key /e " + base64.b64encode(b"kind: EncryptionConfiguration\n").decode(),
        "key /e " + base64.b64encode(b"resources: []\n").decode(),
        "key /e " + base64.b64encode(b"resources: [{providers: [{identity: {}}]}]\n").decode(),
        "key /e " + base64.b64encode(b"{").decode(),
        "key /e " + base64.b64encode(b"\xff").decode(),
        "",
    ],
)
def test_an_answer_to_what_was_not_asked_gives_nothing(lines: str) -> None:
    assert recovery.parse(f"{lines}\n{recovery.END}\n", {"/k": "sa.key", "/e": "encryption.key"}) == {}


def test_an_answer_that_was_cut_off_is_none() -> None:
    assert recovery.parse("key /k c2VjcmV0\n", {"/k": "sa.key"}) is None
    assert recovery.parse("", {}) is None


def refused(answers: Answers, *words: str) -> None:
    with pytest.raises(InstallerError) as caught:
        recovery.fitting(answers, LEAVES)
    for expected in words:
        assert expected in caught.value.message
    assert "BEGIN" not in caught.value.message


def changed(hosts: Answers, host: str, **files: bytes | None) -> Answers:
    new = {name.replace("__", "-").replace("_", "."): content for name, content in files.items()}
    own = {name: content for name, content in {**hosts[host], **new}.items() if content is not None}
    return {**hosts, host: own}


def test_hosts_that_disagree_are_named(hosts: Answers) -> None:
    refused(
        changed(hosts, "m2", encryption_key=b"A" * 43 + b"=\n"),
        "hosts disagree about encryption.key: sha256 ", " on m1; sha256 ", " on m2",
    )  # fmt: skip


def test_hosts_without_keys_have_nothing(hosts: Answers) -> None:
    refused({host: {} for host in hosts}, "no host has keys of this cluster")


def test_what_does_not_belong_together_is_not_taken(hosts: Answers) -> None:
    other = issuing.new_authority("kubernetes-ca")
    rsa = issuing.new_rsa_key()
    both = {"m1", "m2"}

    def on_masters(**files: bytes | None) -> Answers:
        answers = hosts
        for host in both:
            answers = changed(answers, host, **files)
        return answers

    refused(on_masters(ca_key=other.key), "the hosts' ca.crt does not belong to the key beside it")
    refused(on_masters(sa_pub=public_pem(rsa)), "sa.key and sa.pub do not belong together")
    refused(on_masters(sa_key=b"rubbish"), "sa.key is not a private key in PEM")
    assert recovery.fitting(on_masters(sa_pub=None), LEAVES).files["sa.key"] == hosts["m1"]["sa.key"]
    assert "sa.key" not in recovery.fitting(on_masters(sa_key=None), LEAVES).files
    assert private_pem(rsa) not in recovery.fitting(hosts, LEAVES).files.values()


def test_a_leaf_that_does_not_fit_is_left_out_with_the_reason(hosts: Answers) -> None:
    moved = {**LEAVES, "n1/kubelet": leaves(cluster())["n2/kubelet"]}
    found = recovery.fitting(hosts, moved)
    assert "n1/kubelet.crt" not in found.files
    (note,) = found.notes
    assert note.startswith("n1/kubelet.crt of n1 is left out: it is for O=system:nodes") or "instead of" in note
    answers = changed(hosts, "n1", proxy_key=b"")
    assert recovery.fitting(answers, LEAVES).notes == (
        "proxy.crt of n1 is left out: it has a key beside it that is empty",
    )
    without = {
        host: {name: pem for name, pem in files.items() if name != "etcd-ca.crt"} for host, files in hosts.items()
    }
    assert (
        "apiserver-etcd-client.crt of m1 is left out: no host has etcd-ca.crt"
        in recovery.fitting(without, LEAVES).notes
    )


def test_a_host_that_did_not_answer_leaves_its_own_out(hosts: Answers) -> None:
    found = recovery.fitting({host: files for host, files in hosts.items() if host != "n1"}, LEAVES)
    assert "n1/kubelet.key" not in found.files
    assert found.notes == ()
