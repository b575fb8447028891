"""A second clone, a renamed cluster, a stranger's folder: hosts that run with other keys are left alone."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer import desired, pki
from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import InstallerError
from k8s_installer.flows import resolve
from k8s_installer.flows.apply import _note_use
from k8s_installer.flows.guards import require_own_keys
from k8s_installer.flows.narrow import part
from k8s_installer.flows.plan import Planned
from k8s_installer.flows.resolve import Resolved
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.pki import certificates, encryption, issuing, keyfiles
from k8s_installer.planning import planfile
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.select import on_members
from k8s_installer.planning.trust import Foreign, foreign, refuse
from k8s_installer.report.diff import unified
from k8s_installer.report.text import View, plan_lines
from tests.unit.test_inventory import GOOD
from tests.unit.test_pki_kept import pkcs8

TEXT = GOOD.replace('"1.5.2"', '"1.20.2"')


def inventory(folder: Path, text: str = TEXT) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cluster.yaml").write_text(text, encoding="utf-8")
    return folder / "cluster.yaml"


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    return resolve.resolve(inventory(tmp_path_factory.mktemp("first")), None, resolve.real_keys)


@pytest.fixture
def seen(applied: Resolved) -> dict[Ref, Seen]:
    return answers(applied.desired)


def looked(wanted: Resolved, seen: dict[Ref, Seen], applied: Resolved) -> dict[Ref, Seen]:
    """As hosts answer: of a file that differs and is not secret they show the content."""
    result = dict(seen)
    for ref, item in wanted.desired.items():
        file, there = item.resource, applied.desired[ref].resource
        found = result.get(ref)
        if isinstance(file, File) and isinstance(there, File) and isinstance(found, SeenFile) and not file.secret:
            result[ref] = replace(found, content=there.content if found.sha256 != file.sha256 else None)
    return result


def message(wanted: Resolved, seen: dict[Ref, Seen], renamed_from: str = "") -> InstallerError:
    with pytest.raises(InstallerError) as caught:
        refuse(foreign(wanted.desired, seen, wanted.keys), wanted.keys, renamed_from)
    return caught.value


def test_the_folder_that_installed_the_cluster_is_trusted(applied: Resolved, seen: dict[Ref, Seen]) -> None:
    assert foreign(applied.desired, seen, applied.keys) == []
    refuse([], applied.keys, "")


def test_a_second_clone_without_the_keys_is_refused(tmp_path: Path, applied: Resolved, seen: dict[Ref, Seen]) -> None:
    clone = resolve.resolve(inventory(tmp_path), None, resolve.present_keys)
    assert clone.keys.pending
    error = message(clone, seen)
    assert error.message.startswith("the hosts run with keys that are not on this machine; nothing was changed:")
    digest = hashlib.sha256(applied.keys["ca.crt"]).hexdigest()[:16]
    assert f"\n  ca.crt, as /etc/kubernetes/pki/ca.crt (sha256 {digest}), on m1, n1, n2" in error.message
    assert "\n  etcd-ca.crt, as /etc/etcd/pki/ca.crt (sha256 " in error.message
    assert "k8s-installer keys recover" in error.hint
    assert "--replace-keys" in error.hint
    names = {item.name for item in foreign(clone.desired, seen, clone.keys)}
    assert names == {
        "ca.crt", "ca.key", "etcd-ca.crt", "etcd-peer-ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub", "encryption.key",
    }  # fmt: skip


def test_a_second_clone_that_adds_a_node_alone_is_refused(
    tmp_path: Path, applied: Resolved, seen: dict[Ref, Seen]
) -> None:
    """The new node has no keys, and the masters are no part of the plan: their files are looked at all the same."""
    clone = resolve.resolve(inventory(tmp_path / "clone"), None, resolve.present_keys)
    part = replace(clone, desired=on_members(clone.desired, ["n1"]))
    bare = {ref: Missing.ABSENT if ref.host == "n1" else found for ref, found in seen.items()}
    assert not foreign(part.desired, bare, part.keys)
    assert {item.ref.host for item in part.roots.values()} == {"m1"}
    with pytest.raises(InstallerError, match="m1"):
        require_own_keys(part, bare)


def test_a_first_install_is_none(tmp_path: Path, applied: Resolved, seen: dict[Ref, Seen]) -> None:
    clone = resolve.resolve(inventory(tmp_path), None, resolve.present_keys)
    bare: dict[Ref, Seen] = dict.fromkeys(seen, Missing.ABSENT)
    assert foreign(clone.desired, bare, clone.keys) == []


def test_a_clone_that_made_keys_of_its_own_is_refused(tmp_path: Path, applied: Resolved, seen: dict[Ref, Seen]) -> None:
    clone = resolve.resolve(inventory(tmp_path), None, resolve.real_keys)
    found = looked(clone, seen, applied)
    error = message(clone, found)
    assert "keys that differ from this machine's" in error.message
    assert "move the folder pki away first" in error.hint
    # what can be told from public halves: not the private keys beside them, nor a file of other settings
    assert {item.name for item in foreign(clone.desired, found, clone.keys)} == {
        "ca.crt", "etcd-ca.crt", "etcd-peer-ca.crt", "front-proxy-ca.crt", "sa.pub",
    }  # fmt: skip


def test_a_renamed_cluster_is_told_where_its_keys_are(applied: Resolved, seen: dict[Ref, Seen]) -> None:
    path = inventory(applied.cluster.folder)
    renamed = path.with_name("renamed.yaml")
    renamed.write_text(TEXT.replace("name: lab", "name: lab2"), encoding="utf-8")
    wanted = resolve.resolve(renamed, None, resolve.present_keys)
    found = foreign(wanted.desired, seen, wanted.keys)
    other = resolve.renamed_from(wanted.cluster, {item.sha256 for item in found})
    assert other == "lab"
    assert (
        "those of cluster lab, whose folder is beside this one: change the name back to lab"
        in message(wanted, seen, other).hint
    )


def test_the_same_ca_with_more_of_its_chain_or_renewed_is_the_same(applied: Resolved, seen: dict[Ref, Seen]) -> None:
    name = Ref("m1", Kind.FILE, "/etc/kubernetes/pki/ca.crt")
    key = certificates.read_key(applied.keys["ca.key"])
    renewed = issuing.self_signed("kubernetes-ca", key).certificate
    there = seen[name]
    assert isinstance(there, SeenFile)
    seen[name] = replace(there, sha256="0" * 64, content=renewed)
    assert foreign(applied.desired, seen, applied.keys) == []
    seen[name] = replace(there, sha256="0" * 64, content=b"edited by hand")  # drift, which a plan repairs
    assert foreign(applied.desired, seen, applied.keys) == []
    seen[name] = replace(there, sha256="0" * 64)  # too large to be shown
    assert foreign(applied.desired, seen, applied.keys) == []


def test_a_key_of_secrets_that_was_never_used_here_is_refused_where_a_host_has_one(
    applied: Resolved, seen: dict[Ref, Seen]
) -> None:
    folder = resolve.pki_folder(applied.cluster)
    other = resolve.resolve(applied.cluster.folder / "cluster.yaml", None, resolve.present_keys)
    keyfiles.write(folder, "encryption.key", b"A" * 43 + b"=\n")
    try:
        other = resolve.resolve(applied.cluster.folder / "cluster.yaml", None, resolve.present_keys)
    finally:
        keyfiles.write(folder, "encryption.key", applied.keys["encryption.key"])
    assert other.keys.strange == {"encryption.key"}
    assert "encryption.key, as /etc/kubernetes/pki/encryption.yaml" in message(other, seen).message


def test_a_key_of_secrets_of_somebody_s_own_that_is_swapped_is_refused(tmp_path: Path) -> None:
    path = inventory(tmp_path)
    cluster, profile = resolve.checked(path)
    folder = resolve.pki_folder(cluster)
    keyfiles.write(folder, "encryption.key", b"A" * 43 + b"=\n")
    first = resolve.resolve(path, None, resolve.real_keys)
    resolve.note_use(cluster, profile, pki.ROOTS)
    keyfiles.write(folder, "encryption.key", b"B" * 42 + b"A=\n")
    other = resolve.resolve(path, None, resolve.present_keys)
    assert "encryption.key, as /etc/kubernetes/pki/encryption.yaml" in message(other, answers(first.desired)).message
    resolve.note_use(cluster, profile, pki.ROOTS)  # as `apply --replace-keys` does
    other = resolve.resolve(path, None, resolve.present_keys)
    assert foreign(other.desired, answers(first.desired), other.keys) == []


@pytest.mark.parametrize("noted", [True, False])
def test_our_ca_renewed_with_the_same_key_is_ours_in_whatever_form_its_key_is(tmp_path: Path, *, noted: bool) -> None:
    path = inventory(tmp_path)
    cluster, profile = resolve.checked(path)
    folder = resolve.pki_folder(cluster)
    first = resolve.resolve(path, None, resolve.real_keys)
    if noted:
        resolve.note_use(cluster, profile, pki.ROOTS)
    key = certificates.read_key(first.keys["ca.key"])
    keyfiles.write(folder, "ca.crt", issuing.self_signed("kubernetes-ca", key).certificate)
    keyfiles.write(folder, "ca.key", pkcs8(key))
    renewed = resolve.resolve(path, None, resolve.present_keys)
    assert (renewed.keys.strange == frozenset()) is noted
    assert foreign(renewed.desired, looked(renewed, answers(first.desired), first), renewed.keys) == []
    # and another key in its place is not
    pair = issuing.new_authority("kubernetes-ca")
    keyfiles.write(folder, "ca.crt", pair.certificate)
    keyfiles.write(folder, "ca.key", pair.key)
    other = resolve.resolve(path, None, resolve.present_keys)
    found = foreign(other.desired, looked(other, answers(first.desired), first), other.keys)
    assert {item.name for item in found} == {"ca.crt", "ca.key"}


def test_many_hosts_are_counted(applied: Resolved) -> None:
    some = [Foreign(Ref(f"n{number}", Kind.FILE, "/x"), "ca.crt", "0" * 64) for number in range(9)]
    with pytest.raises(InstallerError, match=r"on n0, n1, n2, n3, n4 and 4 more$"):
        refuse(some, applied.keys, "")


def test_a_plan_says_which_keys_will_be_new_and_why_and_a_saved_one_still_holds(
    applied: Resolved, seen: dict[Ref, Seen]
) -> None:
    path = inventory(applied.cluster.folder)
    edited = path.with_name("edited.yaml")
    edited.write_text(TEXT.replace("10.77.0.21", "10.77.0.29"), encoding="utf-8")
    wanted = resolve.resolve(edited, None, resolve.present_keys)
    made = make_plan(wanted.desired, seen)
    change = next(item for item in made.changes if item.ref.name == "/etc/kubernetes/pki/kubelet.crt")
    assert (change.ref.host, change.action) == ("n1", Action.UPDATE)
    assert change.reason == "new certificate: its names differ: IP:10.77.0.29 instead of IP:10.77.0.21"
    assert unified(change)[1] == "+new certificate: made by apply"
    # `apply FILE` compares before it makes a key, and so finds the same
    again = resolve.resolve(edited, None, resolve.present_keys)
    old, new = (planfile.saved("lab", item.desired, make_plan(item.desired, seen)) for item in (wanted, again))
    assert planfile.differences(old, new) == []


def test_the_plan_of_a_first_install_shows_new_keys(tmp_path: Path, seen: dict[Ref, Seen]) -> None:
    clone = resolve.resolve(inventory(tmp_path), None, resolve.present_keys)
    made = make_plan(clone.desired, dict.fromkeys(seen, Missing.ABSENT))
    lines = [line.plain for line in plan_lines(clone.cluster, made, clone.desired, View(full=True))]
    assert "  m1  + create /etc/kubernetes/pki/ca.key  0600 kube:kube, new key" in lines
    assert "  n1  + create /etc/kubernetes/pki/kubelet.crt  0644 root:root, new certificate" in lines


def test_an_insecure_cluster_has_nothing_to_be_trusted(tmp_path: Path) -> None:
    text = GOOD.replace("security: tls", "security: insecure")
    bare = resolve.resolve(inventory(tmp_path, text), None, resolve.present_keys)
    assert foreign(bare.desired, answers(bare.desired), pki.Pki({})) == []


CONFIG = Ref("m1", Kind.FILE, "/etc/kubernetes/pki/encryption.yaml")


def with_config(applied: Resolved, seen: dict[Ref, Seen], *edits: tuple[bytes, bytes]) -> dict[Ref, Seen]:
    """As m1 answers whose configuration of encryption was edited by hand."""
    file, there = applied.desired[CONFIG].resource, seen[CONFIG]
    assert isinstance(file, File)
    assert isinstance(there, SeenFile)
    config = file.content
    for old, new in edits:
        assert old in config
        config = config.replace(old, new)
    return {**seen, CONFIG: replace(there, sha256="0" * 64, sealed=encryption.sums(config))}


def rotations(key: bytes) -> dict[str, tuple[bytes, bytes]]:
    old = b"      - name: key1\n        secret: " + key
    new = old.replace(key, b"B" * 42 + b"A=")
    return {
        "another key in its place": (key, b"B" * 42 + b"A="),
        "a new key first": (old, new.replace(b"key1", b"key2") + b"\n" + old),
        "the old one with another name": (b"name: key1", b"name: key2"),
        "another provider": (b"aescbc:", b"secretbox:"),
    }


@pytest.mark.parametrize("case", rotations(b""))
def test_a_key_of_secrets_that_was_rotated_by_hand_is_not_overwritten(
    applied: Resolved, seen: dict[Ref, Seen], case: str
) -> None:
    assert not applied.keys.strange
    edit = rotations(applied.keys["encryption.key"].strip())[case]
    error = message(applied, with_config(applied, seen, edit))
    assert "encryption.key, as /etc/kubernetes/pki/encryption.yaml (sha256 0000000000000000), on m1" in error.message
    assert "see docs/keys.md for how to finish a rotation" in error.hint


def test_a_configuration_with_the_same_keys_or_fewer_is_drift(applied: Resolved, seen: dict[Ref, Seen]) -> None:
    assert foreign(applied.desired, with_config(applied, seen, (b"  - identity: {}", b"")), applied.keys) == []
    there = seen[CONFIG]
    assert isinstance(there, SeenFile)
    emptied = {**seen, CONFIG: replace(there, sha256="0" * 64)}
    assert foreign(applied.desired, emptied, applied.keys) == []


def test_keys_of_secrets_in_a_template_beside_the_inventory_are_ours(
    tmp_path: Path, applied: Resolved, seen: dict[Ref, Seen]
) -> None:
    """So a rotation by hand can be finished: what is here has all that the masters have."""
    path = inventory(tmp_path)
    shutil.copytree(resolve.state_folder(applied.cluster), resolve.state_folder(resolve.checked(path)[0]))
    packaged = Path(desired.__file__).parents[2] / "templates/kubernetes/encryption.yaml.j2"
    text = packaged.read_text(encoding="utf-8")
    own = tmp_path / "templates/kubernetes/encryption.yaml.j2"
    own.parent.mkdir(parents=True)
    new = "      - name: key2\n        secret: " + "B" * 42 + "A=\n"
    own.write_text(text.replace("      keys:\n", f"      keys:\n{new}"), encoding="utf-8")
    wanted = resolve.resolve(path, None, resolve.present_keys)
    rotated = with_config(wanted, seen)
    assert foreign(wanted.desired, rotated, wanted.keys) == []
    assert foreign(applied.desired, rotated, applied.keys)
    assert foreign(wanted.desired, with_config(applied, seen), wanted.keys) == []  # the first step of a rotation


MASTERS = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  e1: {address: 10.0.0.9, roles: [etcd]}
  m1: {address: 10.0.0.1, roles: [master]}
  m2: {address: 10.0.0.2, roles: [master]}
  n1: {address: 10.0.0.21, roles: [node]}
"""


@pytest.fixture
def masters(tmp_path: Path) -> tuple[Path, Resolved]:
    """An inventory with two masters, and the cluster that runs with its keys."""
    path = inventory(tmp_path / "first", MASTERS)
    first = resolve.resolve(path, None, resolve.real_keys)
    resolve.note_use(first.inventory, first.profile, pki.ROOTS)
    return path, first


def reinstalled(first: Resolved, limit: str, *silent: str) -> dict[Ref, Seen]:
    """As hosts answer where the one that a run is limited to is new."""
    return {
        ref: Missing.ABSENT if ref.host == limit else found
        for ref, found in answers(first.whole).items()
        if ref.host not in silent
    }


@pytest.mark.parametrize("limit", ["m1", "m2"])
@pytest.mark.parametrize("damage", ["no keys", "another key of Secrets"])
def test_a_new_master_is_no_witness_of_whose_keys_the_cluster_has(
    masters: tuple[Path, Resolved], limit: str, damage: str
) -> None:
    path, first = masters
    folder = resolve.pki_folder(first.inventory)
    if damage == "no keys":
        shutil.rmtree(folder)
    else:
        keyfiles.write(folder, "encryption.key", b"B" * 42 + b"A=\n")
    wanted = part(resolve.resolve(path, None, resolve.present_keys), limit, "")
    other = "m2" if limit == "m1" else "m1"
    found = reinstalled(first, limit)
    config = Ref(other, *CONFIG[1:])
    there = found[config]
    assert isinstance(there, SeenFile)
    found[config] = replace(there, sealed=encryption.sums(b"secret: " + first.keys["encryption.key"]))
    with pytest.raises(InstallerError, match=rf"the hosts run with .*\n.* on {other}"):
        require_own_keys(wanted, found)
    words = {"no keys": "are not on this machine", "another key of Secrets": r"were replaced here \(encryption.key\)"}
    with pytest.raises(InstallerError, match=f"{words[damage]}.* no master that answered has any, and {other} did not"):
        require_own_keys(wanted, reinstalled(first, limit, other))


def test_a_new_master_gets_the_keys_that_hosts_were_given_whoever_else_is_away(masters: tuple[Path, Resolved]) -> None:
    path, first = masters
    wanted = part(resolve.resolve(path, None, resolve.present_keys), "m1", "")
    require_own_keys(wanted, reinstalled(first, "m1", "m2"))
    require_own_keys(wanted, reinstalled(first, "m1"))
    bare = resolve.resolve(inventory(path.parent / "new", MASTERS), None, resolve.present_keys)
    require_own_keys(bare, dict.fromkeys(answers(first.whole), Missing.ABSENT))  # a first install


def test_what_no_host_has_and_no_run_has_sent_is_not_recorded_as_theirs(masters: tuple[Path, Resolved]) -> None:
    path, first = masters
    keyfiles.write(resolve.pki_folder(first.inventory), "encryption.key", b"B" * 42 + b"A=\n")
    wanted = resolve.resolve(path, None, resolve.present_keys)
    found = {ref: found for ref, found in answers(first.whole).items() if ref.host == "n1"}
    node = replace(wanted, desired=on_members(wanted.desired, ["n1"]))
    _note_use(Planned(node, ObservedFleet({}, {}, found, {}, {}), Plan((), ())))
    assert resolve.present_keys(wanted.inventory, wanted.profile).strange == {"encryption.key"}
    made = make_plan(wanted.desired, answers(first.whole))
    _note_use(Planned(replace(wanted, undoes=("a run",)), ObservedFleet({}, {}, found, {}, {}), made))
    assert resolve.present_keys(wanted.inventory, wanted.profile).strange == {"encryption.key"}
    _note_use(
        Planned(wanted, ObservedFleet({}, {}, answers(first.whole), {}, {}), made)
    )  # `apply --replace-keys` sends it
    assert not resolve.present_keys(wanted.inventory, wanted.profile).strange


def with_bundle(masters: tuple[Path, Resolved], *, signs: str, first: str = "new") -> tuple[Resolved, dict[Ref, Seen]]:
    """What is wanted with a file of the old CA and a new one, and how the hosts answer that have the old one."""
    path, applied = masters
    folder, new = resolve.pki_folder(applied.inventory), issuing.new_authority("kubernetes-ca")
    old = certificates.Pair(applied.keys["ca.crt"], applied.keys["ca.key"])
    both = [new, old] if first == "new" else [old, new]
    keyfiles.write(folder, "ca.crt", b"".join(one.certificate for one in both))
    keyfiles.write(folder, "ca.key", (new if signs == "new" else old).key)
    wanted = resolve.resolve(path, None, resolve.present_keys)
    return wanted, looked(wanted, answers(applied.desired), applied)


def test_a_ca_with_another_key_beside_the_hosts_ca_is_sent_before_it_signs(masters: tuple[Path, Resolved]) -> None:
    wanted, found = with_bundle(masters, signs="new")
    error = message(wanted, found)
    assert "ca.crt, as /etc/kubernetes/pki/ca.crt (sha256 " in error.message
    assert error.hint.startswith("ca.crt here has the hosts' CA beside the signing one, which they do not trust yet.")
    assert "put the old ca.key back" in error.hint
    node = part(wanted, "n1", "")
    with pytest.raises(InstallerError, match=r"ca\.crt.* on m1, m2, n1"):
        require_own_keys(node, found)


@pytest.mark.parametrize("first", ["old", "new"])
def test_both_cas_are_sent_with_the_old_key_and_then_the_new_one_signs(
    masters: tuple[Path, Resolved], first: str
) -> None:
    sent, found = with_bundle(masters, signs="old", first=first)
    assert foreign(sent.desired, found, sent.keys) == []
    assert not sent.keys.pending
    folder, new = resolve.pki_folder(sent.inventory), issuing.new_authority("kubernetes-ca")
    both = new.certificate + masters[1].keys["ca.crt"]
    hosts = {
        ref: replace(seen, content=both) if isinstance(seen, SeenFile) and ref.name == "/etc/kubernetes/pki/ca.crt" else seen
        for ref, seen in found.items()
    }  # fmt: skip
    for certificate in (both, new.certificate):  # the new one signs; then the old one goes
        keyfiles.write(folder, "ca.crt", certificate)
        keyfiles.write(folder, "ca.key", new.key)
        wanted = resolve.resolve(masters[0], None, resolve.present_keys)
        assert foreign(wanted.desired, hosts, wanted.keys) == []
