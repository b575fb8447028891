from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from k8s_installer import pki, profiles
from k8s_installer.cli import keys
from k8s_installer.cli.console import Exit, Output
from k8s_installer.desired import desire
from k8s_installer.engine import fleet
from k8s_installer.errors import InstallerError, TransportError
from k8s_installer.model.resources import File
from k8s_installer.pki import certificates, issuing, recovery
from k8s_installer.pki.certificates import Pair, private_pem, public_pem, read_key
from k8s_installer.pki.leaves import Leaf, names
from k8s_installer.render import Renderer
from tests.unit.clusters import TOPOLOGIES, cluster, leaves, placeholder
from tests.unit.test_pki_kept import DAY, NOW, ODD, Ca, pkcs8, signed

LAB = cluster(topology="etcd-apart")
LEAVES = leaves(LAB)
PLACES = recovery.places(desire(LAB, profiles.profile_of(LAB), placeholder(LAB), Renderer()))
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
    found = fitted(hosts)
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
        "key /k ünicode",
        "key /other c2VjcmV0",
        "word /k c2VjcmV0",
        "",
    ],
)
def test_an_answer_to_what_was_not_asked_gives_nothing(lines: str) -> None:
    assert recovery.parse(f"{lines}\n{recovery.END}\n", {"/k": "sa.key"}) == {}


def test_of_two_copies_on_a_host_the_one_that_can_be_read_counts(real: pki.Pki) -> None:
    good, odd = (base64.b64encode(content).decode() for content in (real["etcd-ca.crt"], b"odd"))
    paths = {"/etc/etcd/pki/ca.crt": "etcd-ca.crt", "/etc/kubernetes/pki/etcd-ca.crt": "etcd-ca.crt"}
    for first, second in ((good, odd), (odd, good)):
        lines = [f"key {path} {text}" for path, text in zip(paths, (first, second), strict=True)]
        assert recovery.parse("\n".join([*lines, recovery.END]), paths) == {"etcd-ca.crt": real["etcd-ca.crt"]}


def test_an_empty_file_is_one() -> None:
    assert recovery.parse(f"key /k \n{recovery.END}\n", {"/k": "sa.key"}) == {"sa.key": b""}


def test_an_answer_that_was_cut_off_is_none() -> None:
    assert recovery.parse("key /k c2VjcmV0\n", {"/k": "sa.key"}) is None
    assert recovery.parse("", {}) is None


def fitted(answers: Answers, wanted: Mapping[str, Leaf] = LEAVES) -> recovery.Recovered:
    return recovery.fitting(answers, wanted, PLACES, ["m1", "m2"])


def refused(answers: Answers, *words: str) -> None:
    with pytest.raises(InstallerError) as caught:
        fitted(answers)
    for expected in words:
        assert expected in caught.value.message
    assert "BEGIN" not in caught.value.message


def changed(hosts: Answers, host: str, **files: bytes | None) -> Answers:
    new = {name.replace("__", "-").replace("_", "."): content for name, content in files.items()}
    own = {name: content for name, content in {**hosts[host], **new}.items() if content is not None}
    return {**hosts, host: own}


def on_masters(hosts: Answers, **files: bytes | None) -> Answers:
    return changed(changed(hosts, "m1", **files), "m2", **files)


def encryption(text: bytes | str) -> bytes:
    shown = text if isinstance(text, str) else text.decode()
    return f"resources: [{{providers: [{{aescbc: {{keys: [{{name: a, secret: {shown}}}]}}}}]}}]\n".encode()


def test_masters_that_disagree_about_the_ca_are_named(hosts: Answers) -> None:
    refused(
        changed(hosts, "m2", ca_crt=issuing.new_authority("kubernetes-ca").certificate),
        "hosts disagree about ca.crt: sha256 ", " on m1, n1; sha256 ", " on m2",
    )  # fmt: skip


def test_another_root_that_masters_disagree_about_is_left_out_and_nothing_else(hosts: Answers) -> None:
    found = fitted(changed(hosts, "m2", encryption_key=encryption(base64.b64encode(b"B" * 32))))
    assert fitted(hosts).files.keys() - found.files.keys() == {"encryption.key"}
    assert found.notes[0].startswith("encryption.key is left out: hosts disagree about it: sha256 ")
    assert found.notes[1:] == ("no host that answered has a usable encryption.key",)


def test_a_node_with_a_ca_of_another_cluster_costs_itself_alone(hosts: Answers) -> None:
    pair = issuing.new_authority("kubernetes-ca")
    kubelet = issuing.issue(certificates.read_authority(pair.certificate, pair.key), LEAVES["n1/kubelet"])
    found = fitted(
        {
            **hosts,
            "n1": {
                **hosts["n1"],
                "ca.crt": pair.certificate,
                "n1/kubelet.crt": kubelet.certificate,
                "n1/kubelet.key": kubelet.key,
            },
        }
    )
    assert fitted(hosts).files.keys() - found.files.keys() == {"n1/kubelet.crt", "n1/kubelet.key"}
    assert found.files["ca.crt"] == hosts["m1"]["ca.crt"]
    assert found.notes == (
        "ca.crt of n1 is left out: it differs from the masters'",
        "n1/kubelet.crt of n1 is left out: ca.crt did not issue it",
    )


def test_hosts_without_keys_have_nothing(hosts: Answers) -> None:
    refused({host: {} for host in hosts}, "no host has keys of this cluster")
    refused({host: {"ca.crt": b"rubbish"} for host in hosts}, "no host has keys of this cluster")


def test_hosts_that_did_not_answer_may_have_them(hosts: Answers) -> None:
    refused({"n1": {}}, "no host that answered has keys of this cluster; nothing was written")
    refused({}, "no host that answered has keys of this cluster; nothing was written")
    refused({"n1": {"sa.key": hosts["m1"]["sa.key"]}}, "no master that answered has a usable ca.crt")


def test_without_a_master_nothing_is_taken(hosts: Answers) -> None:
    """Else the keys that masters alone have would count as lost, and be made again."""
    nodes = {host: files for host, files in hosts.items() if host not in ("m1", "m2")}
    refused(nodes, "no master that answered has a usable ca.crt: nothing was written")
    refused(on_masters(hosts, ca_crt=b"rubbish"), "no master that answered has a usable ca.crt")


def test_what_does_not_belong_together_is_left_out(hosts: Answers) -> None:
    other, rsa = issuing.new_authority("kubernetes-ca"), issuing.new_rsa_key()
    whole = fitted(hosts).files.keys()
    for answers, lost, *notes in (
        (
            on_masters(hosts, ca_key=other.key), {"ca.key"},
            "ca.key of m1, m2 is left out: it does not belong to ca.crt", "no host that answered has a usable ca.key",
        ),
        (
            on_masters(hosts, sa_pub=public_pem(rsa)), {"sa.pub"},
            "sa.pub of m1, m2 is left out: it does not belong to sa.key", "no host that answered has a usable sa.pub",
        ),
        (
            on_masters(hosts, sa_key=b"rubbish"), {"sa.key"},
            "sa.key of m1 is left out: it is not a PEM private key, or is damaged or truncated",
            "sa.key of m2 is left out: it is not a PEM private key, or is damaged or truncated",
            "no host that answered has a usable sa.key",
        ),
        (on_masters(hosts, sa_pub=None), {"sa.pub"}, "no host that answered has a usable sa.pub"),
        (on_masters(hosts, sa_key=None), {"sa.key"}, "no host that answered has a usable sa.key"),
    ):  # fmt: skip
        found = fitted(answers)
        assert whole - found.files.keys() == lost
        assert found.notes == tuple(notes)
    assert private_pem(rsa) not in fitted(hosts).files.values()


DEEP, WIDE = (
    b"[" * 100_000,
    b"a: &a [" + b"x," * 1000 + b"]\nb: &b [" + b"*a," * 1000 + b"]\nc: [" + b"*b," * 1000 + b"]\n",
)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"kind: EncryptionConfiguration\n", "is missing from its configuration, or the configuration cannot be read"),
        (b"resources: []\n", "is missing from its configuration, or the configuration cannot be read"),
        (b"resources: [{providers: [{identity: {}}]}]\n", "is missing from its configuration, or the configuration cannot be read"),
        (b"resources: {a: b}\n", "is missing from its configuration, or the configuration cannot be read"),
        (b"{", "is missing from its configuration, or the configuration cannot be read"),
        (b"\xff", "is missing from its configuration, or the configuration cannot be read"),
        (DEEP, "is missing from its configuration, or the configuration cannot be read"),
        (WIDE, "is missing from its configuration, or the configuration cannot be read"),
        (encryption("[1, 2]"), "is missing from its configuration, or the configuration cannot be read"),
        (encryption("AAAA"), "is not 32 bytes in base64"),
        (encryption("'schlüssel'"), "is not 32 bytes in base64"),
        (encryption("''"), "is empty"),
        (b"#" * ((1 << 20) + 1), "has more than 1 MiB"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)  # fmt: skip
def test_a_configuration_without_a_key_costs_its_host_alone(hosts: Answers, config: bytes, words: str) -> None:
    found = fitted(changed(hosts, "m2", encryption_key=config))
    assert found.files == fitted(hosts).files
    assert found.notes == (f"encryption.key of m2 is left out: it {words}",)


def test_a_certificate_for_another_address_is_taken_with_a_word(hosts: Answers) -> None:
    moved = {**LEAVES, "n1/kubelet": replace(LEAVES["n1/kubelet"], names=("n1", "10.77.0.99"))}
    found = fitted(hosts, moved)
    assert found.files["n1/kubelet.crt"] == hosts["n1"]["n1/kubelet.crt"]
    (note,) = found.notes
    assert note == (
        "n1/kubelet.crt of n1 is recovered, but does not match the inventory: its names differ: IP:10.77.0.99 instead of "
        "DNS:localhost, IP:10.77.0.21, IP:127.0.0.1"
    )


def test_a_leaf_that_cannot_be_used_is_left_out_with_the_reason(hosts: Answers) -> None:
    answers = changed(hosts, "n1", proxy_key=b"")
    assert fitted(answers).notes == ("proxy.key of n1 is left out: it is empty",)
    other = private_pem(issuing.new_leaf_key(LEAVES["proxy"]))
    assert fitted(changed(hosts, "n1", proxy_key=other)).notes == (
        "proxy.crt of n1 is left out: it does not belong to the key beside it",
    )
    without = {
        host: {name: pem for name, pem in files.items() if name != "etcd-ca.crt"} for host, files in hosts.items()
    }
    assert "apiserver-etcd-client.crt of m1 is left out: no host has etcd-ca.crt" in fitted(without).notes


def test_a_host_that_did_not_answer_leaves_its_own_out(hosts: Answers) -> None:
    found = fitted({host: files for host, files in hosts.items() if host != "n1"})
    assert "n1/kubelet.key" not in found.files
    assert found.notes == ()


def supplied(real: pki.Pki, leaf: Leaf, **options: object) -> Pair:
    """A certificate that somebody's own tools made, with the CA of this cluster."""
    key = issuing.new_leaf_key(leaf)
    ca = Ca(x509.load_pem_x509_certificate(real["ca.crt"]), read_key(real["ca.key"]))
    certificate = signed(leaf.user, key, ca, group=leaf.group, sans=leaf.names, **options)  # type: ignore[arg-type]
    return Pair(certificate.public_bytes(Encoding.PEM), private_pem(key))


def with_pair(hosts: Answers, host: str, name: str, pair: Pair) -> Answers:
    return {**hosts, host: {**hosts[host], f"{name}.crt": pair.certificate, f"{name}.key": pair.key}}


def test_a_certificate_of_somebody_s_own_is_recovered_as_such(real: pki.Pki, hosts: Answers, tmp_path: Path) -> None:
    """It has other uses than one of ours, and must not be issued again when its names change."""
    own = supplied(real, LEAVES["n1/kubelet"])
    found = fitted(with_pair(hosts, "n1", "n1/kubelet", own))
    assert found.files["n1/kubelet.crt"] == own.certificate
    assert found.notes == ()
    assert pki.fill(tmp_path, LEAVES, found.files).problems == ()
    assert not pki.look(tmp_path, LEAVES).pending
    moved = {**LEAVES, "n1/kubelet": replace(LEAVES["n1/kubelet"], names=("n1", "10.77.0.99"))}
    with pytest.raises(InstallerError, match=r"n1/kubelet.crt lacks the subject alternative name IP:10.77.0.99"):
        pki.ensure(tmp_path, moved)


def test_one_that_has_expired_is_taken_and_named(real: pki.Pki, hosts: Answers, tmp_path: Path) -> None:
    own = supplied(real, LEAVES["n1/kubelet"], ends=NOW - DAY / 2)
    found = fitted(with_pair(hosts, "n1", "n1/kubelet", own))
    assert found.notes[0].startswith(
        "n1/kubelet.crt of n1 is recovered, but does not match the inventory: it has expired: "
    )
    filled = pki.fill(tmp_path, LEAVES, found.files)
    assert (tmp_path / "n1/kubelet.key").read_bytes() == own.key
    assert any("n1/kubelet.crt has expired" in words for words in filled.problems)


def test_the_one_that_fits_is_taken_of_several(real: pki.Pki, hosts: Answers) -> None:
    own = supplied(real, LEAVES["proxy"])
    stale = supplied(real, replace(LEAVES["proxy"], user="other"))
    both = with_pair(with_pair(hosts, "m1", "admin", stale), "m2", "admin", stale)
    assert "admin.crt of m1 is recovered, but does not match the inventory: it needs an RSA key" in "".join(
        fitted(both).notes
    )
    answers = {**hosts, "n0": {"proxy.crt": stale.certificate, "proxy.key": stale.key}}
    assert fitted(answers).files["proxy.crt"] == real["proxy.crt"]
    answers = {**answers, "n1": {**hosts["n1"], "proxy.crt": own.certificate, "proxy.key": own.key}}
    assert fitted(answers).files["proxy.crt"] == own.certificate


def test_ours_keep_their_record_and_a_loss_after_that_is_one(hosts: Answers, tmp_path: Path) -> None:
    pki.fill(tmp_path, LEAVES, fitted(hosts).files)
    moved = {**LEAVES, "n1/kubelet": replace(LEAVES["n1/kubelet"], names=("n1", "10.77.0.99"))}
    assert set(pki.look(tmp_path, moved).pending) == {"n1/kubelet.crt", "n1/kubelet.key"}
    for name in ("ca.key", "sa.key", "encryption.key"):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        with pytest.raises(InstallerError, match=f"missing on this machine: .*{name}"):
            pki.look(tmp_path, LEAVES)
        (tmp_path / name).write_bytes(kept)


def test_a_member_with_another_address_costs_its_own_certificates(hosts: Answers, tmp_path: Path) -> None:
    topology = TOPOLOGIES["etcd-apart"].replace("e2: {address: 10.77.0.2,", "e2: {address: 10.77.0.9,")
    moved = leaves(cluster(topology=topology))
    found = fitted(hosts, moved)
    filled = pki.fill(tmp_path, moved, found.files)
    assert set(filled.written) == found.files.keys() == fitted(hosts).files.keys()
    (problem,) = filled.problems
    assert [line.partition(".crt")[0] for line in problem.splitlines()[1:]] == ["e2/etcd", "e2/etcd-peer"]
    assert not pki.look(tmp_path, LEAVES).pending  # the old address is as good as before


def test_a_dead_host_of_etcd_costs_its_own_certificates(hosts: Answers, tmp_path: Path) -> None:
    found = fitted({host: files for host, files in hosts.items() if host != "e1"})
    filled = pki.fill(tmp_path, LEAVES, found.files)
    assert set(filled.written) == found.files.keys()
    (problem,) = filled.problems
    assert "e1/etcd.crt and e1/etcd.key: " in problem
    assert "e2/etcd.crt" not in problem
    assert not pki.fill(tmp_path, LEAVES, fitted(hosts).files).problems  # and when it is back it has them


def test_the_peers_of_an_old_cluster_keep_the_ca_that_stands_in(tmp_path: Path) -> None:
    """Hosts have the CA of etcd under both names; a file of it here would be a CA without a key."""
    before = {name: leaf for name, leaf in LEAVES.items() if not name.endswith("/etcd-peer")}
    old = tmp_path / "old"
    pki.ensure(old, before)
    real = pki.look(old, LEAVES)
    answers = {
        host: {name: real[name] for name in names.values() if name in real.files and name != "encryption.key"}
        for host, names in PLACES.items()
    }
    new = tmp_path / "new"
    assert "etcd-peer-ca.crt" in answers["e1"]
    filled = pki.fill(new, LEAVES, fitted(answers).files)
    assert not [name for name in filled.written if "peer" in name]
    (new / "etcd-ca.key").write_bytes(real["etcd-ca.key"])  # a backup turns up
    more = "  e4: {address: 10.77.0.4, roles: [etcd]}\n  e5: {address: 10.77.0.5, roles: [etcd]}\n"
    grown = leaves(cluster(topology=TOPOLOGIES["etcd-apart"] + more))
    made = pki.ensure(new, grown)
    assert made["etcd-peer-ca.crt"] == real["etcd-ca.crt"]
    x509.load_pem_x509_certificate(made["e4/etcd-peer.crt"]).verify_directly_issued_by(
        x509.load_pem_x509_certificate(real["etcd-ca.crt"])
    )
    # as a recovery of an earlier version has left it
    (new / "etcd-peer-ca.crt").write_bytes(real["etcd-ca.crt"])
    further = TOPOLOGIES["etcd-apart"].replace("e1: {address: 10.77.0.1,", "e9: {address: 10.77.0.9,")
    assert "e9/etcd-peer.crt" in pki.ensure(new, leaves(cluster(topology=further))).files


@pytest.mark.parametrize("case", ODD)
def test_an_odd_certificate_costs_its_host_alone(hosts: Answers, case: str) -> None:
    pem, words = ODD[case]
    found = fitted({**hosts, "n1": {**hosts["n1"], "ca.crt": pem, "n1/kubelet.crt": pem}})
    assert fitted(hosts).files.keys() - found.files.keys() == {"n1/kubelet.crt", "n1/kubelet.key"}
    assert [note.partition(words)[0] for note in found.notes] == [
        "ca.crt of n1 is left out: it ",
        "n1/kubelet.crt of n1 is left out: it ",
    ]


def recovered(path: Path, output: Output = Output.TEXT) -> int:
    with pytest.raises(typer.Exit) as ended:
        keys.recover(path, output)
    return ended.value.exit_code


@pytest.mark.parametrize("dead", ["n1", "e1"])
def test_the_command_saves_the_rest_and_ends_with_what_is_missing(
    hosts: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: str
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(f'cluster: {{name: lab, version: "1.20.2"}}\nhosts:{TOPOLOGIES["etcd-apart"]}', encoding="utf-8")
    answers: dict[str, object] = {**hosts, dead: TransportError(dead, "no route to host")}
    monkeypatch.setattr(fleet, "connecting", lambda *_: nullcontext(SimpleNamespace(lines={})))
    monkeypatch.setattr(fleet, "asked", lambda *_: answers)
    assert recovered(path) == Exit.FAILED
    shown = capsys.readouterr()
    assert "ca.key  from m1, m2" in shown.out
    assert "no route to host" in shown.err
    assert (tmp_path / ".k8s-installer/lab/pki/ca.key").exists()
    # a kubelet's certificate can be issued here, a member's cannot
    assert ("plan and apply will not run until this is fixed:" in shown.err) is (dead == "e1")
    assert ("e1/etcd.crt and e1/etcd.key: subject CN=e1" in shown.err) is (dead == "e1")
    answers |= hosts
    assert recovered(path, Output.JSON) == Exit.DONE
    data = json.loads(capsys.readouterr().out)
    assert {tuple(item["hosts"]) for item in data["written"]} == {(dead,)}
    assert all(Path(item["file"]).exists() for item in data["written"])
    assert data["problems"] == []
    assert "BEGIN" not in shown.out + shown.err


def test_many_hosts_are_counted(hosts: Answers) -> None:
    other = issuing.new_authority("kubernetes-ca").certificate
    answers = {**hosts, **{f"x{number}": {"ca.crt": other} for number in range(9)}}
    assert fitted(answers).notes == (
        "ca.crt of x0, x1, x2, x3, x4 and 4 more is left out: it differs from the masters'",
    )


def test_of_several_keys_of_secrets_the_first_is_taken_and_the_others_are_said(hosts: Answers) -> None:
    first, second = (base64.b64encode(letter * 32) for letter in (b"A", b"B"))
    both = encryption(first).replace(b"}]}}]", b"}, {name: b, secret: " + second + b"}]}}]")
    found = fitted(on_masters(hosts, encryption_key=both))
    assert found.files["encryption.key"] == first + b"\n"
    assert len(found.notes) == 2
    assert found.notes[0].startswith("encryption.key of m1 is the first of 2 keys in its configuration. Secrets that")
    assert (first + second).decode() not in "".join(found.notes)


ROOT = issuing.new_authority("root").certificate


@pytest.mark.parametrize("more", [b"\n", ROOT], ids=["a newline", "more of the chain"])
def test_a_ca_that_masters_have_in_different_forms_is_recovered(hosts: Answers, real: pki.Pki, more: bytes) -> None:
    longer = real["ca.crt"] + more
    found = fitted(changed(hosts, "m2", ca_crt=longer))
    assert found.files.keys() == fitted(hosts).files.keys()
    assert found.files["ca.crt"] == (longer if more == ROOT else real["ca.crt"])
    assert len(found.notes) == 1
    assert found.notes[0].startswith("ca.crt has the same key but different bytes on hosts: sha256 ")
    assert found.notes[0].endswith("The one of m2 is used" if more == ROOT else "The one of m1, n1 is used")


def test_of_different_forms_that_of_most_masters_counts(hosts: Answers, real: pki.Pki) -> None:
    longer = real["etcd-ca.crt"] + ROOT
    answers = {**hosts, "m3": hosts["m2"], "m1": {**hosts["m1"], "etcd-ca.crt": longer}}
    found = recovery.fitting(answers, LEAVES, PLACES, ["m1", "m2", "m3"])
    assert found.files["etcd-ca.crt"] == real["etcd-ca.crt"]


def test_keys_in_different_forms_are_one_key(hosts: Answers, real: pki.Pki) -> None:
    other = changed(hosts, "m2", sa_key=pkcs8(read_key(real["sa.key"])), sa_pub=real["sa.pub"] + b"\n")
    found = fitted(other)
    assert found.files == fitted(hosts).files
    assert [note.partition(" ")[0] for note in found.notes] == ["sa.key", "sa.pub"]
    assert "BEGIN" not in "".join(found.notes)


def test_a_ca_is_known_by_the_certificate_that_signs_and_not_by_another_in_its_file(
    hosts: Answers, real: pki.Pki
) -> None:
    """As while both an old and a new CA are trusted."""
    both = ROOT + real["ca.crt"]
    assert fitted(changed(hosts, "m2", ca_crt=both)).files["ca.crt"] == both
    other = issuing.new_authority("kubernetes-ca")
    refused(changed(hosts, "m2", ca_crt=both, ca_key=other.key), "hosts disagree about ca.crt")


def test_requests_are_for_what_a_ca_signs_whose_key_is_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, own = tmp_path / "cluster.yaml", tmp_path / ".k8s-installer/lab/pki"
    path.write_text(f'cluster: {{name: lab, version: "1.20.2"}}\nhosts:{TOPOLOGIES["etcd-apart"]}', encoding="utf-8")
    own.mkdir(parents=True, mode=0o700)
    keys.request(path)
    assert capsys.readouterr().out == ""
    (own / "ca.crt").write_bytes(issuing.new_authority("kubernetes-ca").certificate)
    keys.request(path)
    lines = capsys.readouterr().out.splitlines()
    assert "admin.csr  subject" in lines[0]
    keys.request(path, Output.JSON)
    data = json.loads(capsys.readouterr().out)["requests"]
    assert len(data) == len(lines)
    assert {item["signed_by"] for item in data} == {"ca.crt"}
    for item in data:
        assert x509.load_pem_x509_csr(Path(item["request"]).read_bytes()).is_signature_valid
        assert Path(item["key"]).stat().st_mode & 0o777 == 0o600
