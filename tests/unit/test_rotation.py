"""Another CA in the place of one: in steps, never with a certificate that somebody does not trust yet."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows import certs, resolve, rotate
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import plan
from k8s_installer.flows.session import Session
from k8s_installer.host.tokens import Pod, Trust
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import File, Kind, Ref, SeenFile
from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import certificates, filling, issuing, keyfiles, record, rotation
from k8s_installer.pki.leaves import Leaf
from k8s_installer.pki.validity import facts
from k8s_installer.planning.turns import QUARTER
from k8s_installer.report import certificates as report
from k8s_installer.report.diff import unified
from tests.unit.test_certs import TEXT, Hosts, Killed, dying_at, older, peers_share, renew, serials, set_up
from tests.unit.test_flows import Recorder
from tests.unit.test_pki_kept import pkcs8

ROOTS = ("ca", "etcd-ca", "etcd-peer-ca", "front-proxy-ca")
CLIENT_OF_API = "/etc/kubernetes/pki/scheduler.crt"
CA = "/etc/kubernetes/pki/ca.crt"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rotation")
    (folder / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    resolve.resolve(folder / "cluster.yaml", None, resolve.real_keys)
    return folder


@pytest.fixture
def cluster(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(rotate, "_require_pods", lambda *_: None)
    found = set_up(Hosts(Inputs(tmp_path / "cluster.yaml")), monkeypatch)
    found.hosts["m1"].settings |= {"secrets": "none", "tokens": "none"}
    return found


def turned(cluster: Hosts, step: str, ca: str = "ca", reporter: Recorder | None = None, **options: object) -> Outcome:
    chosen = Options(cluster.inputs, yes=True, verify=False, preflight=False)
    return rotate.rotate(replace(chosen, **options), reporter or Recorder(), root=ca, step=Step(step))  # type: ignore[arg-type]


def issuers(cluster: Hosts) -> set[str]:
    """Who issued the certificates of programs that hosts have."""
    return {facts(content).issuer for place, content in of_programs(cluster)}


def of_programs(cluster: Hosts) -> Iterator[tuple[tuple[str, str], bytes]]:
    for name, host in cluster.hosts.items():
        for path, content in host.contents.items():
            if path.endswith(".crt") and not path.endswith("ca.crt"):
                yield (name, path), content


def trusted(cluster: Hosts, path: str = CA) -> dict[str, list[str]]:
    """The CAs that each host trusts, by name."""
    return {
        name: [one.subject.rfc4514_string() for one in certificates.read_certificates(host.contents[path])]
        for name, host in cluster.hosts.items()
        if path in host.contents
    }


def require_trust(cluster: Hosts) -> None:
    """Whatever any host shows, every host with files of that CA trusts."""
    authorities = [
        (name, path, certificates.read_any_authority(content, None))
        for name, host in cluster.hosts.items()
        for path, content in host.contents.items()
        if path.endswith("ca.crt")
    ]
    for place, content in of_programs(cluster):
        base = facts(content).issuer.removesuffix("-2")
        about = [one for one in authorities if one[2].certificate.subject.rfc4514_string().removesuffix("-2") == base]
        assert about
        for name, path, authority in about:
            assert certificates.issued_under(content, authority), f"{name} {path} does not trust {place}"


def settled(cluster: Hosts) -> bool:
    return not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


@pytest.mark.parametrize("ca", ROOTS)
def test_a_ca_is_replaced_in_three_steps(cluster: Hosts, ca: str) -> None:
    keys = {path: path.read_bytes() for path in cluster.pki.glob("*/*.key")}
    old, before = (cluster.pki / f"{ca}.key").read_bytes(), serials(cluster)
    assert turned(cluster, "add", ca) is Outcome.DONE
    kept = {place for place, serial in serials(cluster).items() if before[place] == serial}
    assert kept == set(before), "the old one comes first, and nothing is issued"
    assert settled(cluster)
    assert turned(cluster, "use", ca) is Outcome.DONE
    assert (cluster.pki / f"{ca}.key").read_bytes() != old
    assert keys == {path: path.read_bytes() for path in cluster.pki.glob("*/*.key")}, "programs keep their keys"
    assert settled(cluster)
    assert turned(cluster, "drop", ca) is Outcome.DONE
    assert settled(cluster)
    assert not [path.name for path in cluster.pki.iterdir() if "next" in path.name or "old" in path.name]
    name = next(name for root, name in certificates_of(cluster).items() if root == ca)
    assert f"CN={name}" in issuers(cluster)
    assert f"CN={name.removesuffix('-2')}" not in issuers(cluster)


def certificates_of(cluster: Hosts) -> dict[str, str]:
    """The common name of each CA of the folder."""
    return {ca: facts((cluster.pki / f"{ca}.crt").read_bytes()).subject.removeprefix("CN=") for ca in ROOTS}


@pytest.mark.parametrize("ca", ["ca", "etcd-peer-ca"])
def test_at_no_moment_does_a_host_show_what_another_does_not_trust(cluster: Hosts, ca: str) -> None:
    lines = 0

    def look(_line: object) -> None:
        nonlocal lines
        lines += 1
        require_trust(cluster)

    for step in Step:
        assert turned(cluster, step, ca, after_line=look) is Outcome.DONE
        require_trust(cluster)
    assert lines > 60


def test_one_master_and_member_after_the_other_gets_each_step(cluster: Hosts) -> None:
    for step in ("add", "use"):
        recorder = Recorder()
        turned(cluster, step, "ca", recorder)
        done = [
            words for words in recorder.heard if words.startswith("done ") and words.endswith("unit kube-apiserver")
        ]
        assert [words.split(" ")[1] for words in done] == ["m1:", "m2:", "m3:"]
        assert recorder.heard.index(done[1]) > recorder.heard.index("done m1: gate kube-apiserver is ready")


def test_a_plan_that_nobody_agrees_to_changes_nothing_here_either(cluster: Hosts) -> None:
    for step in ("add", "use", "drop"):
        before = {path: path.read_bytes() for path in cluster.pki.rglob("*") if path.is_file()}
        recorder = Recorder(reply="n")
        assert turned(cluster, step, "ca", recorder, yes=False) is Outcome.FAILED
        assert any(words.startswith("ask ") for words in recorder.heard)
        assert {path: path.read_bytes() for path in cluster.pki.rglob("*") if path.is_file()} == before
        assert turned(cluster, step) is Outcome.DONE


def test_a_step_out_of_place_is_refused_before_a_host_is_asked(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate, "apply", Mock(side_effect=AssertionError))
    with pytest.raises(InputError, match="none is under way"):
        turned(cluster, "use")


def test_a_step_has_a_place(cluster: Hosts) -> None:
    with pytest.raises(
        InputError, match="step use of the rotation of ca cannot be made now: none is under way"
    ) as caught:
        turned(cluster, "use")
    assert caught.value.hint.startswith(f"next: k8s-installer certs rotate ca add -i {cluster.inputs.inventory}")
    recorder = Recorder()
    assert turned(cluster, "drop", reporter=recorder) is Outcome.DONE
    assert recorder.heard == ["say no rotation of ca is under way: hosts have no other one to drop"]
    turned(cluster, "add")
    with pytest.raises(InputError, match="its step add is the last that was made") as caught:
        turned(cluster, "drop")
    assert caught.value.hint.startswith(f"next: k8s-installer certs rotate ca use -i {cluster.inputs.inventory}")
    turned(cluster, "use")
    with pytest.raises(InputError, match="its step use is the last that was made") as caught:
        turned(cluster, "add")
    assert caught.value.hint.startswith(f"next: k8s-installer certs rotate ca drop -i {cluster.inputs.inventory}")


def test_a_drop_before_the_other_steps_keeps_a_ca_that_somebody_supplied(cluster: Hosts) -> None:
    new = issuing.new_authority("ours")
    given = {"ca-next.crt": new.certificate, "ca-next.key": new.key}
    for name, content in given.items():
        (cluster.pki / name).write_bytes(content)
    assert turned(cluster, "drop") is Outcome.DONE
    assert {name: (cluster.pki / name).read_bytes() for name in given} == given


def test_a_drop_that_was_killed_at_its_end_is_completed(cluster: Hosts) -> None:
    (cluster.pki / "ca-old.key").write_bytes(b"the old one")
    assert turned(cluster, "drop") is Outcome.DONE
    assert not (cluster.pki / "ca-old.key").exists()


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("ca", r"ca\.crt has 2 certificates, and ca-next\.key does not say"),
        ("encryption", r"encryption\.key has 2 keys, and encryption-next\.key does not say"),
        ("sa", r"sa\.pub has 2 keys, and sa-next\.key does not say"),
    ],
)
def test_a_drop_says_so_where_the_files_of_a_rotation_are_lost(cluster: Hosts, root: str, words: str) -> None:
    for step in ("add", "use"):
        turned(cluster, step, root)
    for path in cluster.pki.glob(f"{root}-next.*"):
        path.unlink()
    with pytest.raises(InputError, match=words) as caught:
        turned(cluster, "drop", root)
    assert f"put {root}-next.key" in caught.value.hint
    assert (cluster.pki / f"{root}-old.key").exists()
    rotated(cluster, root)  # as the hint says
    assert rotation.accepted({path.name: path.read_bytes() for path in cluster.pki.glob("*.*")}, root) == 1
    assert settled(cluster)


@pytest.mark.parametrize("root", ["ca", "encryption", "sa"])
def test_a_rotation_that_is_under_way_comes_back_with_the_keys_of_a_backup(
    made: Path, tmp_path: Path, root: str
) -> None:
    lab, profile = resolve.checked(made / "cluster.yaml")
    wanted, own = certs.required(leaves(lab, profile)), tmp_path / "pki"
    shutil.copytree(resolve.pki_folder(lab), own)
    for step in (Step.ADD, Step.USE):
        pki.ensure(own, wanted, advance=Advance(root, step))
    found = {path.relative_to(own).as_posix(): path.read_bytes() for path in own.rglob("[!.]*.*")}
    filled = pki.fill(tmp_path / "new", wanted, found, whose="the backup's")
    assert (filled.notes, filled.problems) == ((), ())
    assert pki.rotating(tmp_path / "new", wanted, root) is Step.USE
    pki.ensure(tmp_path / "new", wanted, advance=Advance(root, Step.DROP))
    pki.end_rotation(tmp_path / "new", root)
    again = pki.fill(tmp_path / "new", wanted, found, whose="the backup's")
    assert not again.written, "the step that was made here meanwhile stays"


def kept(cluster: Hosts) -> dict[str, bytes]:
    """The keys, as a backup has them."""
    return {path.relative_to(cluster.pki).as_posix(): path.read_bytes() for path in cluster.pki.rglob("[!.]*.*")}


def applied(cluster: Hosts) -> Outcome:
    return apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder())


def rotated(cluster: Hosts, *roots: str) -> None:
    for root in roots:
        for step in Step:
            assert turned(cluster, step, root) is Outcome.DONE


def needed(cluster: Hosts) -> Mapping[str, Leaf]:
    lab, profile = resolve.checked(cluster.inputs.inventory)
    return certs.required(leaves(lab, profile))


def test_a_backup_from_before_a_rotation_is_readable_and_its_tokens_are_valid(cluster: Hosts) -> None:
    before = kept(cluster)
    rotated(cluster, "ca", "encryption", "sa")
    now = kept(cluster)
    filled = pki.fill_from_backup(cluster.pki, needed(cluster), before, dt.datetime.now(dt.UTC))
    assert filled.notes[0] == "ca.crt differs from the backup's: the local one stays"
    assert "then drop" in filled.notes[1]
    assert sorted(filled.written) == ["encryption.key", "sa.pub"]
    assert not filled.problems
    assert {name: text for name, text in kept(cluster).items() if name not in (*filled.written, record.FILE)} == {
        name: text for name, text in now.items() if name not in (*filled.written, record.FILE)
    }
    assert applied(cluster) is Outcome.DONE
    assert keys_of(cluster, "m2") == ["key2", "key1"]
    assert accepted(cluster, "m2") == [now["sa.pub"], before["sa.pub"]]
    assert settled(cluster)
    again = pki.fill_from_backup(cluster.pki, needed(cluster), before, dt.datetime.now(dt.UTC))
    assert (again.written, again.notes) == ((), filled.notes[:1])
    rotated(cluster, "encryption", "sa")
    assert keys_of(cluster, "m2") == ["key3"]
    assert len(accepted(cluster, "m2")) == 1


def test_a_backup_without_keys_is_read_with_the_old_ones_and_the_way_to_new_tokens_is_said(cluster: Hosts) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    rotated(cluster, "encryption", "sa")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert pki.fill_from_backup(cluster.pki, needed(cluster), {}, later) == filling.Filled((), (), ())
    filled = pki.fill_from_backup(cluster.pki, needed(cluster), {}, before)
    assert filled.written == ("encryption.key",)
    assert "certs rotate encryption add" in filled.notes[0]
    assert "the API server rejects tokens" in filled.notes[1]
    assert applied(cluster) is Outcome.DONE
    assert keys_of(cluster, "m2") == ["key2", "key1"]
    assert pki.fill_from_backup(cluster.pki, needed(cluster), {}, before) == filling.Filled(
        (), filled.notes[1:], (), rejects_tokens=True
    )


@pytest.mark.parametrize(
    ("theirs", "words"),
    [(b"A" * 43 + b"=\n", "both have a key of the same name"), (b"key2 x\n", "is not 32 bytes in base64")],
)
def test_keys_of_secrets_that_cannot_be_used_side_by_side_are_refused(
    cluster: Hosts, theirs: bytes, words: str
) -> None:
    before = kept(cluster)
    with pytest.raises(InputError, match=words) as caught:
        pki.fill_from_backup(
            cluster.pki, needed(cluster), {**before, "encryption.key": theirs}, dt.datetime.now(dt.UTC)
        )
    assert f"move {cluster.pki} away" in caught.value.hint
    assert kept(cluster) == before
    (cluster.pki / "encryption-old.key").write_bytes(theirs)
    filled = pki.fill_from_backup(cluster.pki, needed(cluster), {}, dt.datetime.fromtimestamp(0, dt.UTC))
    assert words in filled.notes[0]
    assert not filled.written


def test_a_member_that_joined_later_has_another_first_start_in_its_file_and_is_as_it_should_be(cluster: Hosts) -> None:
    path = "/etc/etcd/etcd.conf"
    for name in ("m2", "m3"):
        host = cluster.hosts[name]
        before = host.contents[path]
        host.contents[path] = before.replace(b'CLUSTER_STATE="new"', b'CLUSTER_STATE="existing"')
        assert host.contents[path] != before
        host.files[path] = replace(host.files[path], sha256=File(host.contents[path]).sha256)
    joined = {name: cluster.hosts[name].contents[path] for name in ("m2", "m3")}
    for step in Step:
        assert turned(cluster, step, "etcd-peer-ca") is Outcome.DONE
    assert {name: cluster.hosts[name].contents[path] for name in ("m2", "m3")} == joined


def test_a_step_that_is_made_is_not_made_again(cluster: Hosts) -> None:
    for step in Step:
        turned(cluster, step)
        before = {path: path.read_bytes() for path in cluster.pki.rglob("*.*") if path.is_file()}
        changed = {name: len(host.log) for name, host in cluster.hosts.items()}
        assert turned(cluster, step) is Outcome.DONE
        assert {path: path.read_bytes() for path in cluster.pki.rglob("*.*") if path.is_file()} == before
        assert {name: len(host.log) for name, host in cluster.hosts.items()} == changed


def test_status_says_how_far_a_rotation_is(cluster: Hosts) -> None:
    assert certs.status(cluster.inputs, Recorder()).rotations == {}
    for step, following in (("add", "use"), ("use", "drop")):
        turned(cluster, step, "etcd-ca")
        status = certs.status(cluster.inputs, Recorder())
        assert status.rotations == {"etcd-ca": Step(step)}
        text = "\n".join(str(line) for line in report.table(status, 30, Path("cluster.yaml")).renderables)
        assert f"A rotation of etcd-ca is under way: {step} is the last step that was made." in text
        assert text.endswith(f"Next: k8s-installer certs rotate etcd-ca {following} -i cluster.yaml")
        assert report.data(status, 30)["rotations"] == {"etcd-ca": step}


def test_a_plan_shows_certificates_in_words(cluster: Hosts) -> None:
    turned(cluster, "add", "etcd-ca")
    turned(cluster, "use", "etcd-ca")
    old = (cluster.pki / "etcd-ca.crt").read_bytes()
    new = (cluster.pki / "etcd-ca-next.crt").read_bytes()
    ref = Ref("m1", Kind.FILE, "/etc/etcd/pki/ca.crt")
    seen = SeenFile(File(old).sha256, 0o644, "root", "root", 0.0, old)
    lines = unified(Change(ref, Action.UPDATE, "etcd", seen, File(new), ""))
    assert lines[:2] == ["--- m1:/etc/etcd/pki/ca.crt", "+++ m1:/etc/etcd/pki/ca.crt"]
    (line,) = lines[2:]
    assert line.startswith("-CN=etcd-ca, issued by CN=etcd-ca, serial ")
    odd = unified(Change(ref, Action.UPDATE, "etcd", seen, File(b"odd\n"), ""))
    assert odd[-1] == "+odd"


def test_a_second_rotation_has_a_name_of_its_own(cluster: Hosts) -> None:
    for _ in range(2):
        for step in Step:
            turned(cluster, step, "front-proxy-ca")
    assert certificates_of(cluster)["front-proxy-ca"] == "front-proxy-ca-3"


# what stops a step


def test_a_host_that_does_not_answer_stops_the_next_step(cluster: Hosts) -> None:
    turned(cluster, "add")
    cluster.silent = {"n1"}
    with pytest.raises(InstallerError, match="the next step needs every host, and n1 cannot be reached") as caught:
        turned(cluster, "use")
    assert "state: absent" in caught.value.hint
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca", "CN=kubernetes-ca-2"]


def test_a_process_that_still_trusts_the_old_ca_alone_stops_the_next_step(cluster: Hosts) -> None:
    turned(cluster, "add")
    kubelet = cluster.hosts["n1"].units["kubelet"]
    cluster.hosts["n1"].units["kubelet"] = replace(kubelet, started_at=1.0)
    with pytest.raises(InstallerError, match=r"and n1 differ \(n1: restart kubelet: .* changed after it started\)"):
        turned(cluster, "use")
    assert apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder()) is Outcome.DONE
    assert turned(cluster, "use") is Outcome.DONE


def test_an_edit_is_applied_first(cluster: Hosts) -> None:
    cluster.inputs.inventory.write_text(TEXT + "components: {kubelet: {args: {v: 4}}}\n", encoding="utf-8")
    with pytest.raises(InstallerError, match="and n1 differ") as caught:
        turned(cluster, "add")
    assert caught.value.hint.startswith("run k8s-installer apply first, then try again")
    assert not list(cluster.pki.glob("*next*"))


def test_a_turn_that_fails_goes_back_and_the_step_is_resumed(cluster: Hosts) -> None:
    turned(cluster, "add")
    cluster.inputs.inventory.write_text(TEXT + "components: {kube-apiserver: {deadline: 1}}\n", encoding="utf-8")
    cluster.hosts["m2"].unhealthy.add("kube-apiserver")
    assert turned(cluster, "use") is Outcome.FAILED
    require_trust(cluster)
    assert len(issuers(cluster)) > len(ROOTS), "m1 has new ones, m2 its old ones again"
    with pytest.raises(InstallerError, match="the next step needs every host"):
        turned(cluster, "drop")
    cluster.hosts["m2"].unhealthy.clear()
    assert turned(cluster, "use") is Outcome.DONE
    assert turned(cluster, "drop") is Outcome.DONE
    assert settled(cluster)


def test_an_apply_in_the_middle_keeps_the_step_and_a_renewal_takes_the_ca_that_signs(cluster: Hosts) -> None:
    turned(cluster, "add")
    assert apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder()) is Outcome.DONE
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca", "CN=kubernetes-ca-2"]
    turned(cluster, "use")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("k8s_installer.pki.validity.Issued.is_new", lambda *_: False)
        assert renew(cluster, component="kube-scheduler") is Outcome.DONE
    assert facts(cluster.certificate("m1", CLIENT_OF_API)).issuer == "CN=kubernetes-ca-2"
    require_trust(cluster)


# cut off


@pytest.mark.parametrize(
    ("step", "lines"), [(Step.ADD, 30), (Step.USE, 2), (Step.USE, 9), (Step.USE, 55), (Step.DROP, 30)]
)
def test_a_step_that_is_killed_is_resumed_by_typing_it_again(cluster: Hosts, step: Step, lines: int) -> None:
    for earlier in list(Step)[: list(Step).index(step)]:
        turned(cluster, earlier)
    with pytest.raises(Killed):
        turned(cluster, step, after_line=dying_at(lines))
    require_trust(cluster)
    for later in list(Step)[list(Step).index(step) :]:
        assert turned(cluster, later) is Outcome.DONE
        require_trust(cluster)
    assert settled(cluster)
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca-2"]


@pytest.mark.parametrize(
    ("step", "writes"),
    [(Step.ADD, 1), (Step.ADD, 2), (Step.ADD, 3), (Step.USE, 1), (Step.USE, 2), (Step.USE, 7), (Step.DROP, 1)],
)
def test_a_step_that_is_cut_off_while_it_writes_the_folder_is_resumed(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch, step: Step, writes: int
) -> None:
    for earlier in list(Step)[: list(Step).index(step)]:
        turned(cluster, earlier)
    real, left = keyfiles.write, writes

    def write(folder: Path, name: str, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real(folder, name, content)

    monkeypatch.setattr(keyfiles, "write", write)
    with suppress(Killed):
        turned(cluster, step)
    monkeypatch.setattr(keyfiles, "write", real)
    assert apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder()) is Outcome.DONE
    require_trust(cluster)
    for later in list(Step)[list(Step).index(step) :]:
        assert turned(cluster, later) is Outcome.DONE
    assert settled(cluster)
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca-2"]


def test_the_way_back_is_open_until_the_old_ca_is_dropped(cluster: Hosts) -> None:
    """As docs/keys.md says: with the old key, and nothing of the new CA beside it."""

    def applied() -> None:
        assert apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder()) is Outcome.DONE
        require_trust(cluster)

    old = (cluster.pki / "ca.crt").read_bytes()
    turned(cluster, "add")
    turned(cluster, "use")
    shutil.copy(cluster.pki / "ca-old.key", cluster.pki / "ca.key")
    (cluster.pki / "ca-next.key").unlink()
    applied()
    assert "CN=kubernetes-ca-2" not in issuers(cluster)
    (cluster.pki / "ca-next.crt").unlink()
    (cluster.pki / "ca.crt").write_bytes(old)
    applied()
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca"]
    for step in Step:
        assert turned(cluster, step) is Outcome.DONE
    assert trusted(cluster)["n1"] == ["CN=kubernetes-ca-2"]


def test_a_pair_of_which_half_is_new_gets_another_key(cluster: Hosts) -> None:
    """A run was cut off that issued it for another address; then another CA begins to issue."""
    needed = leaves(*resolve.checked(cluster.inputs.inventory))
    old = (cluster.pki / "m1/etcd.crt").read_bytes()
    pki.ensure(cluster.pki, {**needed, "m1/etcd": replace(needed["m1/etcd"], names=("m1", "10.0.0.9"))})
    (cluster.pki / "m1/etcd.crt").write_bytes(old)
    assert {"m1/etcd.crt", "m1/etcd.key"} <= pki.look(cluster.pki, needed).pending.keys()


# pods


@pytest.fixture
def with_pods(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """A cluster at the step add of its CA and of its key of tokens, whose controller-managers started at 1000."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    cluster = set_up(Hosts(Inputs(tmp_path / "cluster.yaml")), monkeypatch)
    cluster.hosts["m1"].settings |= {"secrets": "none", "tokens": "none"}
    monkeypatch.setattr(Session, "ask", lambda _, names, question: {name: question(name) for name in names})
    for step, root in (("add", "sa"), ("use", "sa"), ("add", "ca")):
        turned(cluster, step, root)
    return cluster


def answer(monkeypatch: pytest.MonkeyPatch, *pods: Pod, outdated: tuple[str, ...] = ()) -> None:
    trust = Trust(outdated, pods, frozenset({"default/default-token-new"}))
    monkeypatch.setattr(rotate, "_trust", lambda _: trust)


OLD = Pod("default/web", dt.datetime(1970, 1, 1, tzinfo=dt.UTC), ("default/default-token-old",))
NEW = Pod("default/new", dt.datetime(2030, 1, 1, tzinfo=dt.UTC), ("default/default-token-new",))


@pytest.mark.parametrize(
    ("step", "root", "words"),
    [
        ("use", "ca", "these pods started before their service accounts had the new CA"),
        ("drop", "sa", "these pods have tokens of the old key"),
    ],
)
def test_pods_that_would_be_cut_off_stop_a_step(
    with_pods: Hosts, monkeypatch: pytest.MonkeyPatch, step: str, root: str, words: str
) -> None:
    answer(monkeypatch, OLD, NEW)
    with pytest.raises(InstallerError, match=f"{words}.*: default/web$") as caught:
        turned(with_pods, step, root)
    assert "--ignore-pods" in caught.value.hint
    answer(monkeypatch, NEW)
    assert turned(with_pods, step, root) is Outcome.DONE
    answer(monkeypatch, OLD)
    assert turned(with_pods, step, root) is Outcome.DONE, "what is made already is not asked about again"


def test_accounts_without_the_new_ca_stop_a_step_and_what_nobody_uses_does_not(
    with_pods: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, outdated=("default/default-token-old",))
    with pytest.raises(
        InstallerError, match="has not given service accounts the new CA yet: default/default-token-old"
    ):
        turned(with_pods, "use")
    options = Options(with_pods.inputs, yes=True, verify=False, preflight=False)
    assert rotate.rotate(options, Recorder(), root="ca", step=Step.USE, ignore_pods=True) is Outcome.DONE


# whose CA


def test_somebody_s_own_ca_is_followed_by_one_that_they_supply(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    known = record.load((cluster.pki / record.FILE).read_bytes())
    theirs = {name: sums for name, sums in known.made.items() if not name.startswith("front-proxy-ca")}
    keyfiles.write(cluster.pki, record.FILE, record.dump(replace(known, made=theirs)))
    with pytest.raises(
        InputError, match=r"put the CA that follows it into front-proxy-ca-next\.crt and front-proxy-ca-n"
    ):
        turned(cluster, "add", "front-proxy-ca")
    new = issuing.new_authority("ours")
    (cluster.pki / "front-proxy-ca-next.crt").write_bytes(new.certificate)
    with pytest.raises(InputError, match=r"front-proxy-ca-next\.crt has no key beside it"):
        turned(cluster, "add", "front-proxy-ca")
    (cluster.pki / "front-proxy-ca-next.key").write_bytes((cluster.pki / "sa.key").read_bytes())
    with pytest.raises(InputError, match="does not belong to the key beside it"):
        turned(cluster, "add", "front-proxy-ca")
    for ending in ("crt", "key"):
        shutil.copy(cluster.pki / f"admin.{ending}", cluster.pki / f"front-proxy-ca-next.{ending}")
    with pytest.raises(InputError, match=r"front-proxy-ca-next\.crt is not the certificate of a CA"):
        turned(cluster, "add", "front-proxy-ca")
    (cluster.pki / "front-proxy-ca-next.crt").write_bytes(new.certificate)
    (cluster.pki / "front-proxy-ca-next.key").write_bytes(new.key)
    for step in Step:
        assert turned(cluster, step, "front-proxy-ca") is Outcome.DONE
    assert certificates_of(cluster)["front-proxy-ca"] == "ours"
    assert "CN=ours" in issuers(cluster)
    left = record.load((cluster.pki / record.FILE).read_bytes())
    assert not [name for name in left.made if name.startswith("front-proxy-ca.")], "it is still theirs"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ca.key", None, "ca.key is not on this machine"),
        ("ca.key", b"locked", "ca cannot be rotated: .* has a passphrase"),
        ("ca.key", b"odd", "ca cannot be rotated: .* is not a PEM private key"),
    ],
)
def test_a_ca_that_cannot_sign_from_here_is_refused(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None, message: str
) -> None:
    path = cluster.pki / name
    if content is None:
        path.unlink()
        known = record.load((cluster.pki / record.FILE).read_bytes())
        keyfiles.write(cluster.pki, record.FILE, record.dump(known.lacking([name])))
    else:
        path.write_bytes(pkcs8(certificates.read_key(path.read_bytes()), b"x") if content == b"locked" else content)
    set_up(cluster, monkeypatch) if content != b"odd" else None
    with pytest.raises(InputError, match=message):
        turned(cluster, "add")


def test_a_ca_that_there_is_not_is_refused(cluster: Hosts) -> None:
    with pytest.raises(InputError, match="there is no flannel-ca to rotate") as caught:
        turned(cluster, "add", "flannel-ca")
    assert caught.value.hint == "there are ca, etcd-ca, etcd-peer-ca, front-proxy-ca, encryption, sa"


def test_a_cluster_whose_peers_share_a_ca_rotates_that_for_both(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers_share(cluster, monkeypatch)
    with pytest.raises(InputError, match=r"etcd-peer-ca\.crt is not on this machine") as caught:
        turned(cluster, "add", "etcd-peer-ca")
    assert "etcd-ca for each other" in caught.value.hint
    for step in Step:
        assert turned(cluster, step, "etcd-ca") is Outcome.DONE
    assert trusted(cluster, "/etc/etcd/pki/peer-ca.crt")["m2"] == ["CN=etcd-ca-2"]
    assert facts(cluster.certificate("m1", "/etc/etcd/pki/peer.crt")).issuer == "CN=etcd-ca-2"
    assert settled(cluster)


def test_a_folder_that_another_run_has_changed_meanwhile_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    wanted = resolve.resolve(tmp_path / "cluster.yaml", None, resolve.present_keys)
    folder = resolve.pki_folder(wanted.inventory)
    needed = leaves(wanted.inventory, wanted.profile)
    advance = Advance("ca", Step.ADD)
    pki.ensure(folder, needed, advance=advance)
    with pytest.raises(InputError, match="ca has changed meanwhile: its rotation is at step add"):
        pki.ensure(folder, needed, advance=advance)


# the key of Secrets

CONFIG = "/etc/kubernetes/pki/encryption.yaml"


def keys_of(cluster: Hosts, host: str) -> list[str]:
    """The names of the keys that a master has, the one that writes first."""
    lines = cluster.certificate(host, CONFIG).decode().splitlines()
    return [line.split()[-1] for line in lines if "name:" in line]


def test_the_key_of_secrets_is_replaced_and_all_are_written_again(cluster: Hosts) -> None:
    old = (cluster.pki / "encryption.key").read_bytes()
    assert turned(cluster, "add", "encryption") is Outcome.DONE
    assert [keys_of(cluster, name) for name in ("m1", "m2", "m3")] == [["key1", "key2"]] * 3
    recorder = Recorder()
    assert turned(cluster, "use", "encryption", recorder) is Outcome.DONE
    assert keys_of(cluster, "m3") == ["key2", "key1"]
    done = [words for words in recorder.heard if words.startswith("done ")]
    assert done[-1] == "done m1: setting secrets", "all masters write with it first"
    assert cluster.hosts["m1"].settings["secrets"] == "key2"
    assert settled(cluster)
    assert turned(cluster, "drop", "encryption") is Outcome.DONE
    assert keys_of(cluster, "m2") == ["key2"]
    assert settled(cluster)
    assert (cluster.pki / "encryption-old.key").read_bytes() == old
    assert not (cluster.pki / "encryption-next.key").exists()
    for step in Step:
        assert turned(cluster, step, "encryption") is Outcome.DONE
    assert keys_of(cluster, "m2") == ["key3"]
    assert settled(cluster)
    assert len((cluster.pki / "encryption-old.key").read_text().splitlines()) == 2


def test_a_key_is_not_dropped_before_all_secrets_are_written_again(cluster: Hosts) -> None:
    turned(cluster, "add", "encryption")
    cluster.hosts["m1"].refuses["secrets"] = "the API server says no"
    assert turned(cluster, "use", "encryption") is Outcome.FAILED
    with pytest.raises(InstallerError, match=r"m1 differ \(m1: set secrets: some may be written with another key\)"):
        turned(cluster, "drop", "encryption")
    cluster.hosts["m1"].refuses.clear()
    assert turned(cluster, "use", "encryption") is Outcome.DONE
    assert turned(cluster, "drop", "encryption") is Outcome.DONE
    assert keys_of(cluster, "m1") == ["key2"]


@pytest.mark.parametrize(("step", "lines"), [(Step.ADD, 9), (Step.USE, 4), (Step.USE, 20), (Step.DROP, 9)])
def test_a_killed_step_of_the_key_of_secrets_is_resumed(cluster: Hosts, step: Step, lines: int) -> None:
    for earlier in list(Step)[: list(Step).index(step)]:
        turned(cluster, earlier, "encryption")
    with pytest.raises(Killed):
        turned(cluster, step, "encryption", after_line=dying_at(lines))
    for later in list(Step)[list(Step).index(step) :]:
        assert turned(cluster, later, "encryption") is Outcome.DONE
    assert keys_of(cluster, "m1") == keys_of(cluster, "m3") == ["key2"]
    assert settled(cluster)


def test_a_version_that_encrypts_no_secrets_has_no_key_to_rotate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"Kubernetes 1\.5\.2 does not encrypt Secrets"):
        turned(older("1.5.2", tmp_path, monkeypatch), "add", "encryption")


@pytest.mark.parametrize(("version", "roots"), [("1.5.2", ("ca", "sa")), ("1.9.4", ("etcd-ca", "sa", "encryption"))])
def test_older_versions_are_rotated_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, roots: tuple[str, ...]
) -> None:
    monkeypatch.setattr(rotate, "_require_pods", lambda *_: None)
    cluster = older(version, tmp_path, monkeypatch)
    cluster.hosts["m1"].settings |= {"secrets": "none", "tokens": "none"}
    for root in roots:
        for step in Step:
            assert turned(cluster, step, root) is Outcome.DONE
            require_trust(cluster)
    assert settled(cluster)


# the key of tokens

PUBLIC = "/etc/kubernetes/pki/sa.pub"


def accepted(cluster: Hosts, host: str) -> list[bytes]:
    return certificates.public_keys(cluster.certificate(host, PUBLIC))


def test_the_key_of_tokens_is_replaced_and_all_accounts_get_new_ones(cluster: Hosts) -> None:
    old = accepted(cluster, "m1")
    assert turned(cluster, "add", "sa") is Outcome.DONE
    both = accepted(cluster, "m3")
    assert both[:1] == old
    assert len(both) == 2
    recorder = Recorder()
    assert turned(cluster, "use", "sa", recorder) is Outcome.DONE
    assert [words for words in recorder.heard if words.startswith("done ")][-1] == "done m1: setting tokens"
    assert (
        certificates.public_pem(certificates.read_key(cluster.certificate("m2", "/etc/kubernetes/pki/sa.key")))
        == both[1]
    )
    assert accepted(cluster, "m2") == both
    assert settled(cluster)
    assert turned(cluster, "drop", "sa") is Outcome.DONE
    assert accepted(cluster, "m1") == both[1:]
    assert settled(cluster)
    assert not [path.name for path in cluster.pki.iterdir() if "next" in path.name or "old" in path.name]


@pytest.mark.parametrize(("step", "lines"), [(Step.ADD, 9), (Step.USE, 4), (Step.USE, 20), (Step.DROP, 9)])
def test_a_killed_step_of_the_key_of_tokens_is_resumed(cluster: Hosts, step: Step, lines: int) -> None:
    old = accepted(cluster, "m1")
    for earlier in list(Step)[: list(Step).index(step)]:
        turned(cluster, earlier, "sa")
    with pytest.raises(Killed):
        turned(cluster, step, "sa", after_line=dying_at(lines))
    for later in list(Step)[list(Step).index(step) :]:
        assert turned(cluster, later, "sa") is Outcome.DONE
    assert len(accepted(cluster, "m1")) == 1
    assert accepted(cluster, "m1") == accepted(cluster, "m3") != old
    assert settled(cluster)
