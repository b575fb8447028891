"""Certificates through their life: what is shown of them, the warning, and renewals that resume, undo and rescue."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from benchmarks.pure import answers, recorded
from k8s_installer.desired.certificates import leaves
from k8s_installer.desired.files import PLACEHOLDERS
from k8s_installer.engine import fleet, lock
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.errors import HostError, InputError, TransportError
from k8s_installer.flows import certs, resolve
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import plan
from k8s_installer.flows.reporter import Say
from k8s_installer.flows.resolve import Resolved
from k8s_installer.model.desired import Desired, by_host
from k8s_installer.model.resources import File, Kind, Ref, Seen, SeenFile, SeenPackage, SeenSetting, SeenUnit
from k8s_installer.pki import certificates, issuing, keyfiles, record, store
from k8s_installer.pki.validity import end_of, facts, is_of_server
from k8s_installer.planning.turns import QUARTER
from k8s_installer.report import certificates as report
from k8s_installer.sources import tarball
from k8s_installer.status.certificates import CertificateStatus
from tests.aging import age
from tests.fakes import FakeHost
from tests.unit.clusters import SUM, TARBALL_ONLY
from tests.unit.test_flows import Recorder

TEXT = """\
cluster: {name: lab, version: "1.20.2", network: none, security: tls}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  m2: {address: 10.0.0.2, roles: [etcd, master]}
  m3: {address: 10.0.0.3, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
"""
OLDER = ("1.5.2", "1.9.4")
PKI = ".k8s-installer/lab/pki"
ETCD_FILE, ETCD = "/etc/etcd/pki/etcd.crt", "m1/etcd.crt"
LONG_AGO = dt.timedelta(days=1825 - 200)  # how much is left after two hundred days


@dataclass
class Hosts:
    """A cluster that is as wanted, on fakes; `silent` hosts do not answer."""

    inputs: Inputs
    hosts: dict[str, FakeHost] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    kinds: set[Kind] = field(default_factory=set)

    @property
    def pki(self) -> Path:
        return self.inputs.inventory.parent / PKI

    @contextmanager
    def connecting(self, *_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            yield Connections(pool, {})

    @contextmanager
    def hold(self, *_: object, force: bool, skip: bool, say: Say) -> Iterator[threading.Event]:
        yield threading.Event()

    def observe(self, _connections: Connections, asked: Desired, *_: object) -> ObservedFleet:
        seen: dict[Ref, Seen] = {}
        unreachable: dict[str, HostError] = {}
        for name, items in by_host(asked).items():
            self.asked.append(name)
            self.kinds |= {item.ref.kind for item in items}
            if name in self.silent:
                unreachable[name] = TransportError(name, "connection refused")
            else:
                seen |= self.hosts[name].observe(items)
        return ObservedFleet({}, dict(self.hosts), seen, unreachable, {})

    def certificate(self, host: str, path: str) -> bytes:
        return self.hosts[host].contents[path]


def installed(wanted: Resolved) -> dict[str, FakeHost]:
    """Hosts that have all that is wanted."""
    hosts: dict[str, FakeHost] = {}
    for ref, found in answers(wanted.desired).items():
        host = hosts.setdefault(ref.host, FakeHost(ref.host, owners={"root", "etcd", "kube"}, clock=5000.0))
        resource = wanted.desired[ref].resource
        match found:
            case SeenFile() if isinstance(resource, File):
                host.files[ref.name], host.contents[ref.name] = found, resource.content
            case SeenFile():
                host.files[ref.name] = found
            case SeenUnit():
                host.units[ref.name] = found
            case SeenPackage():
                host.packages[ref.name] = found
            case SeenSetting():
                host.settings[ref.name] = found.value
    for name, host in hosts.items():
        host.record = {(entry.kind, entry.name): entry for entry in recorded(wanted.desired, name)}
    return hosts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    (folder / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    resolve.resolve(folder / "cluster.yaml", None, resolve.real_keys)
    age(folder / "cluster.yaml", LONG_AGO)
    return folder


@pytest.fixture
def cluster(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return set_up(Hosts(Inputs(tmp_path / "cluster.yaml")), monkeypatch)


def set_up(found: Hosts, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    found.hosts = installed(resolve.resolve(found.inputs.inventory, None, resolve.present_keys))
    monkeypatch.setattr(fleet, "connecting", found.connecting)
    monkeypatch.setattr(fleet, "observe", found.observe)
    monkeypatch.setattr(lock, "hold", found.hold)
    return found


def older(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """A cluster of another version; what comes as a tarball need not be there for this."""
    monkeypatch.setattr(tarball, "programs", lambda *_: PLACEHOLDERS)
    text = TEXT.replace('"1.20.2"', f'"{version}"' + f", tarball: {{sha256: {SUM}}}" * (version in TARBALL_ONLY))
    (folder / "cluster.yaml").write_text(text, encoding="utf-8")
    resolve.resolve(folder / "cluster.yaml", None, resolve.real_keys)
    age(folder / "cluster.yaml", LONG_AGO)
    return set_up(Hosts(Inputs(folder / "cluster.yaml")), monkeypatch)


def renew(
    cluster: Hosts,
    reporter: Recorder | None = None,
    *,
    component: str = "",
    host: str = "",
    days: int | None = None,
) -> Outcome:
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False)
    return certs.renew(options, reporter or Recorder(), component=component, host=host, days=days)


def planned(recorder: Recorder) -> list[str]:
    (line,) = [words for words in recorder.heard if words.startswith("plan ")]
    return line.removeprefix("plan ").split(", ")


def serials(cluster: Hosts) -> dict[tuple[str, str], str]:
    return {
        (name, path): facts(content).serial
        for name, host in cluster.hosts.items()
        for path, content in host.contents.items()
        if path.endswith(".crt")
    }


# renewal


def test_every_program_gets_a_new_certificate_with_its_key_and_nothing_else_changes(cluster: Hosts) -> None:
    before = serials(cluster)
    keys = {path: path.read_bytes() for path in cluster.pki.rglob("*.key")}
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    after = serials(cluster)
    kept = {place[1] for place, serial in after.items() if before[place] == serial}
    assert kept == {
        "/etc/etcd/pki/ca.crt", "/etc/etcd/pki/peer-ca.crt", "/etc/kubernetes/pki/ca.crt",
        "/etc/kubernetes/pki/etcd-ca.crt", "/etc/kubernetes/pki/front-proxy-ca.crt",
    }  # fmt: skip
    assert keys == {path: path.read_bytes() for path in cluster.pki.rglob("*.key")}
    actions = {words.split()[0] for words in planned(recorder)}
    assert actions == {"update", "restart", "wait"}
    assert "say issued again, with their keys: 18 certificates" in recorder.heard
    assert not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


@pytest.mark.parametrize("version", OLDER)
def test_older_versions_are_renewed_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    cluster = older(version, tmp_path, monkeypatch)
    before = serials(cluster)
    assert renew(cluster) is Outcome.DONE
    kept = {path for (host, path), serial in serials(cluster).items() if before[host, path] == serial}
    assert all(path.endswith("ca.crt") for path in kept), kept
    assert not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


def test_what_else_the_inventory_wants_waits_for_apply(cluster: Hosts) -> None:
    cluster.inputs.inventory.write_text(
        TEXT + "components: {kubelet: {args: {v: 4}}}\nhost_settings: {limit_nofile: 70000}\n", encoding="utf-8"
    )
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    assert not [words for words in planned(recorder) if "/etc/kubernetes/kubelet" in words and ".crt" not in words]
    left = plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan
    assert {change.ref.name for change in left.changes if change.ref.kind is Kind.FILE} >= {"/etc/kubernetes/kubelet"}


def test_members_are_renewed_one_after_the_other(cluster: Hosts) -> None:
    recorder = Recorder()
    renew(cluster, recorder)
    restarts = [words.split(" ")[1] for words in recorder.heard if words.startswith("done ") and "unit etcd" in words]
    assert restarts == ["m1:", "m2:", "m3:"]
    written = [words for words in recorder.heard if words.startswith("running ") and words.endswith(ETCD_FILE)]
    assert recorder.heard.index(written[1]) > recorder.heard.index("done m1: gate etcd is healthy")


def test_a_part_is_one_component_or_host(cluster: Hosts) -> None:
    before = serials(cluster)
    recorder = Recorder()
    assert renew(cluster, recorder, component="kube-apiserver", host="m2") is Outcome.DONE
    changed = {place for place, serial in serials(cluster).items() if before[place] != serial}
    assert changed == {("m2", "/etc/kubernetes/pki/apiserver.crt")}
    said = next(words for words in recorder.heard if "because hosts that --host leaves out have them" in words)
    assert said.endswith("apiserver-etcd-client, apiserver-kubelet-client, front-proxy-client")


@pytest.mark.parametrize(
    ("component", "host", "message"),
    [
        ("kube-apiservr", "", "--component: there is no kube-apiservr"),
        ("", "m9", "--host: there is no m9"),
        ("docker", "", "there is no certificate to renew"),
    ],
)
def test_what_does_not_exist_is_refused(cluster: Hosts, component: str, host: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        renew(cluster, component=component, host=host)


def test_a_shared_certificate_alone_is_refused_on_one_host(cluster: Hosts) -> None:
    with pytest.raises(InputError, match="there is no certificate to renew") as caught:
        renew(cluster, component="kube-scheduler", host="m1")
    assert caught.value.hint.startswith("not renewed, because hosts that --host leaves out have them, too: scheduler\n")


def test_an_insecure_cluster_has_none(cluster: Hosts) -> None:
    cluster.inputs.inventory.write_text(
        TEXT.replace('"1.20.2"', '"1.5.2"').replace("tls", "insecure"), encoding="utf-8"
    )
    with pytest.raises(InputError, match="this cluster has no certificates, because security is insecure"):
        certs.status(cluster.inputs, Recorder())


def test_days_chooses_what_ends_soon(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    age(cluster.inputs.inventory, dt.timedelta(days=20), "m2/etcd-peer")
    set_up(cluster, monkeypatch)
    before = serials(cluster)
    recorder = Recorder()
    assert renew(cluster, recorder, days=30) is Outcome.DONE
    changed = {place for place, serial in serials(cluster).items() if before[place] != serial}
    assert changed == {("m2", "/etc/etcd/pki/peer.crt")}
    assert any(words.startswith("say valid for longer than --days: ") for words in recorder.heard)


def test_a_host_that_is_not_installed_is_no_part_of_a_renewal(cluster: Hosts) -> None:
    cluster.hosts["n1"] = FakeHost("n1")
    with pytest.raises(InputError, match="n1 has programs that are not installed yet"):
        renew(cluster)
    assert renew(cluster, host="m1,m2,m3") is Outcome.DONE


def test_a_certificate_of_the_users_and_one_whose_ca_is_elsewhere_stay(cluster: Hosts) -> None:
    (cluster.pki / "front-proxy-ca.key").unlink()
    known = record.load((cluster.pki / record.FILE).read_bytes())
    mine = "m1/apiserver.crt"
    theirs = {name: sums for name, sums in known.made.items() if name != mine}
    own = replace(known, made=theirs).lacking(["front-proxy-ca.key"])
    keyfiles.write(cluster.pki, record.FILE, record.dump(own))
    before = serials(cluster)
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    assert any("because you supplied them" in words and words.endswith(": m1/apiserver") for words in recorder.heard)
    assert any("the key of their CA is not here" in words and "front-proxy-client" in words for words in recorder.heard)
    kept = {path for place, serial in serials(cluster).items() if before[place] == serial for _, path in [place]}
    assert {"/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/front-proxy-client.crt"} <= kept


def peers_share(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a cluster one from before etcd's peers had a CA of their own."""
    for path in (*cluster.pki.glob("etcd-peer-ca.*"), *cluster.pki.glob("*/etcd-peer.*")):
        path.unlink()
    known = record.load((cluster.pki / record.FILE).read_bytes())
    made = {name: sums for name, sums in known.made.items() if "etcd-peer" not in name}
    used = {name: total for name, total in known.used.items() if "etcd-peer" not in name}
    keyfiles.write(cluster.pki, record.FILE, record.dump(replace(known, made=made, used=used)))
    set_up(cluster, monkeypatch)


def test_a_cluster_whose_peers_share_a_certificate_has_one_renewed_for_both(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written for what stands in."""
    peers_share(cluster, monkeypatch)
    before = serials(cluster)
    assert renew(cluster, component="etcd") is Outcome.DONE
    after = serials(cluster)
    for name in ("m1", "m2", "m3"):
        assert after[name, ETCD_FILE] == after[name, "/etc/etcd/pki/peer.crt"] != before[name, ETCD_FILE]
    assert not list(cluster.pki.glob("*/etcd-peer.*"))
    assert {item.differs for item in looked(cluster)} == {False}


def test_a_certificate_that_the_inventory_changes_is_left_to_apply(cluster: Hosts) -> None:
    cluster.inputs.inventory.write_text(TEXT.replace("10.0.0.21", "10.0.0.22"), encoding="utf-8")
    before = serials(cluster)
    recorder = Recorder()
    assert renew(cluster, recorder, component="kubelet,kube-scheduler") is Outcome.DONE
    assert "say not renewed, because the inventory changes them: use apply: n1/kubelet" in recorder.heard
    changed = {path for (host, path), serial in serials(cluster).items() if before[host, path] != serial}
    assert changed == {"/etc/kubernetes/pki/scheduler.crt"}


def test_a_certificate_whose_names_change_is_issued_once_with_a_new_key(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / PKI, tmp_path / "pki")
    needed = leaves(*resolve.checked(made / "cluster.yaml"))
    moved = {**needed, "m1/etcd": replace(needed["m1/etcd"], names=("m1", "10.0.0.9"))}
    del moved["m2/etcd"]
    moved["m9/etcd"] = needed["m2/etcd"]
    assert "m9/etcd" not in store.issued(tmp_path / "pki", moved)
    found = store.ensure(tmp_path / "pki", moved, renewed=["m1/etcd"])
    assert facts(found["m1/etcd.crt"]).names == ("DNS:m1", "IP:10.0.0.9")
    assert found["m1/etcd.key"] != (made / PKI / "m1/etcd.key").read_bytes()


def test_a_file_that_cannot_be_read_has_no_end() -> None:
    assert end_of(b"-----BEGIN CERTIFICATE-----\nodd\n-----END CERTIFICATE-----\n") is None
    assert end_of(b"odd") is None
    assert not is_of_server(b"odd")


# failures


def fail_soon(cluster: Hosts, host: str) -> None:
    """This host's etcd runs, and its gates do not hold."""
    cluster.inputs.inventory.write_text(TEXT + "components: {etcd: {deadline: 1}}\n", encoding="utf-8")
    cluster.hosts[host].unhealthy.add("etcd")


def test_a_member_that_does_not_come_up_gets_its_old_certificate_back(cluster: Hosts) -> None:
    before = serials(cluster)
    fail_soon(cluster, "m1")
    assert renew(cluster) is Outcome.FAILED
    assert serials(cluster) == before
    cluster.hosts["m1"].unhealthy.clear()
    recorder = Recorder()
    again = {path: path.read_bytes() for path in cluster.pki.rglob("*.crt")}
    assert renew(cluster, recorder) is Outcome.DONE
    assert again == {path: path.read_bytes() for path in cluster.pki.rglob("*.crt")}, (
        "what was issued is not issued twice"
    )
    assert "say issued again, with their keys: 0 certificates" in recorder.heard
    assert all(serial != before[place] for place, serial in serials(cluster).items() if "ca.crt" not in place[1])


class Killed(BaseException):
    """The tool dies."""


def dying_at(line: int) -> Callable[[object], None]:
    """What to call after each line of a journal, for the tool to die at one of them."""
    count = 0

    def die(_line: object) -> None:
        nonlocal count
        count += 1
        if count == line:
            raise Killed

    return die


@pytest.mark.parametrize("lines", [2, 30, 80])
def test_a_run_that_is_killed_is_resumed_by_typing_it_again(cluster: Hosts, lines: int) -> None:
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False, after_line=dying_at(lines))
    with pytest.raises(Killed):
        certs.renew(options, Recorder())
    issued = {path: path.read_bytes() for path in cluster.pki.rglob("*.crt")}
    assert renew(cluster) is Outcome.DONE
    assert issued == {path: path.read_bytes() for path in cluster.pki.rglob("*.crt")}
    assert not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


def test_a_run_that_is_cut_off_while_it_issues_leaves_pairs_that_fit(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only certificates are written, each by itself: whichever are new, every key beside them is still theirs."""
    real, left = keyfiles.write, 5

    def write(folder: Path, name: str, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real(folder, name, content)

    monkeypatch.setattr(keyfiles, "write", write)
    with pytest.raises(Killed):
        renew(cluster)
    monkeypatch.setattr(keyfiles, "write", real)
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    assert "say issued again, with their keys: 14 certificates" in recorder.heard
    assert not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


# after the end


def test_members_whose_certificates_have_expired_come_up_together(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one they would get no quorum: the first with a new certificate finds the others with the old."""
    age(cluster.inputs.inventory, dt.timedelta(minutes=-1))
    set_up(cluster, monkeypatch)
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    assert Kind.SETTING not in cluster.kinds, "kubectl has no answer to give"
    healthy = min(place for place, words in enumerate(recorder.heard) if words == "done m1: gate etcd is healthy")
    restarted = [
        place for place, words in enumerate(recorder.heard) if words.startswith("done ") and "unit etcd" in words
    ]
    assert len(restarted) == 3
    assert max(restarted) < healthy
    assert not plan(cluster.inputs, Recorder(), QUARTER, replace_keys=False).plan


def test_one_expired_member_comes_up_before_the_others_take_their_turns(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(cluster.inputs.inventory, dt.timedelta(minutes=-1), "m2/etcd")
    set_up(cluster, monkeypatch)
    recorder = Recorder()
    assert renew(cluster, recorder) is Outcome.DONE
    restarts = [words.split(" ")[1] for words in recorder.heard if words.startswith("done ") and "unit etcd" in words]
    assert restarts == ["m2:", "m1:", "m3:"]


def test_an_apply_after_a_renewal_that_was_undone_rescues_too(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    age(cluster.inputs.inventory, dt.timedelta(minutes=-1))
    set_up(cluster, monkeypatch)
    cluster.hosts["m1"].refuses["etcd"] = "it does not start"
    assert renew(cluster) is Outcome.FAILED
    cluster.hosts["m1"].refuses.clear()
    assert apply(Options(cluster.inputs, yes=True, verify=False, preflight=False), Recorder()) is Outcome.DONE
    assert not certs.status(cluster.inputs, Recorder()).ending(1000)


def test_a_client_certificate_that_expired_takes_nobody_out_of_the_turns(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apiserver whose certificate for kubelets has expired still serves."""
    age(cluster.inputs.inventory, dt.timedelta(minutes=-1), "apiserver-kubelet-client")
    set_up(cluster, monkeypatch)
    recorder = Recorder()
    assert renew(cluster, recorder, component="kube-apiserver") is Outcome.DONE
    done = [words for words in recorder.heard if words.startswith("done ") and words.endswith("unit kube-apiserver")]
    assert [words.split(" ")[1] for words in done] == ["m1:", "m2:", "m3:"]
    assert recorder.heard.index(done[1]) > recorder.heard.index("done m1: gate kube-apiserver is ready")


# status


def by(found: list[CertificateStatus], host: str, path: str) -> CertificateStatus:
    (item,) = [item for item in found if (item.host, item.path) == (host, path)]
    return item


def looked(cluster: Hosts, host: str = "") -> list[CertificateStatus]:
    return list(certs.status(cluster.inputs, Recorder(), host=host).certificates)


def test_status_shows_every_certificate_with_who_uses_it(cluster: Hosts) -> None:
    found = looked(cluster)
    assert cluster.asked == ["m1", "m2", "m3", "n1"]
    etcd = by(found, "m1", ETCD_FILE)
    assert etcd.facts is not None
    assert etcd.facts.serial == facts((cluster.pki / ETCD).read_bytes()).serial
    assert (etcd.facts.issuer, etcd.facts.names[:2]) == ("CN=etcd-ca", ("DNS:m1", "IP:10.0.0.1"))
    assert (etcd.name, etcd.units, etcd.pending, etcd.differs, etcd.trouble) == (ETCD, ("etcd",), (), False, "")
    assert etcd.days == 1624
    assert by(found, "m1", "/etc/etcd/pki/healthcheck.crt").units == ("gates",)
    assert set(by(found, "m1", "/etc/kubernetes/pki/ca.crt").units) >= {"kube-apiserver", "kube-scheduler"}
    assert {item.host for item in found} == {"m1", "m2", "m3", "n1"}, "what hosts have is not shown a second time"


def test_status_shows_what_is_not_in_order(cluster: Hosts) -> None:
    m1, m2 = cluster.hosts["m1"], cluster.hosts["m2"]
    m1.files[ETCD_FILE] = replace(m1.files[ETCD_FILE], modified_at=9000.0)
    other = cluster.certificate("m2", "/etc/kubernetes/pki/apiserver.crt")
    for path, content in ((ETCD_FILE, other), ("/etc/etcd/pki/peer.crt", b"odd")):
        m2.contents[path] = content
        m2.files[path] = replace(m2.files[path], sha256=File(content).sha256)
    del m2.files["/etc/kubernetes/pki/scheduler.crt"]
    (cluster.pki / "m3/etcd.crt").unlink()
    cluster.silent = {"n1"}
    status = certs.status(cluster.inputs, Recorder())
    found = list(status.certificates)
    assert by(found, "m1", ETCD_FILE).pending == ("etcd",)
    assert by(found, "m2", ETCD_FILE).differs is True
    assert by(found, "m2", "/etc/etcd/pki/peer.crt").trouble == "it contains no PEM certificate"
    assert by(found, "m2", "/etc/kubernetes/pki/scheduler.crt").trouble == "there is none"
    assert by(found, "m3", ETCD_FILE).differs is None
    assert by(found, "", "n1/kubelet.crt").facts is not None, "no host that answered has it"
    assert list(status.unreachable) == ["n1"]
    shown = str(report.table(status, 30, Path("cluster.yaml")).renderables)
    for words in (
        "restart pending: etcd", "differs from the local one", "it contains no PEM certificate", "there is none",
        "no local one", "(here)", "n1: connection refused",
    ):  # fmt: skip
        assert words in shown, words
    data = report.data(status, 30)
    assert data["unreachable"] == {"n1": "n1: connection refused"}
    assert data["ending"] == 0


def test_status_of_one_host_asks_that_one_alone(cluster: Hosts) -> None:
    assert {item.host for item in looked(cluster, "n1")} == {"n1"}
    assert cluster.asked == ["n1"]
    with pytest.raises(InputError, match="--host: there is no n9"):
        looked(cluster, "n9")


def test_status_needs_no_local_keys(cluster: Hosts) -> None:
    shutil.rmtree(cluster.pki)
    found = looked(cluster)
    assert by(found, "m1", ETCD_FILE).facts is not None
    assert {item.differs for item in found} == {None}


def test_the_table_says_what_to_type(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    age(cluster.inputs.inventory, dt.timedelta(minutes=-1), "n1/kubelet")
    set_up(cluster, monkeypatch)
    status = certs.status(cluster.inputs, Recorder())
    assert [item.path for item in status.ending(30)] == ["/etc/kubernetes/pki/kubelet.crt"]
    text = "\n".join(str(line) for line in report.table(status, 30, Path("cluster.yaml")).renderables)
    assert "expired" in text
    assert text.endswith("Next: k8s-installer certs renew -i cluster.yaml    (CAs: docs/keys.md)")


# the warning


@pytest.mark.parametrize("left", [dt.timedelta(days=29), dt.timedelta(minutes=-1)])
def test_every_command_warns_once_of_what_ends_soon(
    cluster: Hosts, monkeypatch: pytest.MonkeyPatch, left: dt.timedelta
) -> None:
    age(cluster.inputs.inventory, left, "n1/kubelet")
    set_up(cluster, monkeypatch)
    recorder = Recorder()
    plan(cluster.inputs, recorder, QUARTER, replace_keys=False)
    (words,) = [words for words in recorder.heard if words.startswith("warn ")]
    word = "ends" if left > dt.timedelta() else "ended"
    assert words.startswith(f"warn n1/kubelet.crt {word} on ")
    assert words.endswith(f" UTC: k8s-installer certs renew -i {cluster.inputs.inventory}")


def test_the_warning_counts_and_names_cas_apart(cluster: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    age(cluster.inputs.inventory, dt.timedelta(days=3), "m2/")
    key = certificates.read_key((cluster.pki / "front-proxy-ca.key").read_bytes())
    monkeypatch.setattr(issuing, "AUTHORITY_LIFE", dt.timedelta(days=9))
    pair = issuing.self_signed("front-proxy-ca", key)
    (cluster.pki / "front-proxy-ca.crt").write_bytes(pair.certificate)
    recorder = Recorder()
    plan(cluster.inputs, recorder, QUARTER, replace_keys=False)
    (words,) = [words for words in recorder.heard if words.startswith("warn ")]
    assert words.startswith("warn 4 certificates end within 30 days, the first (m2/")
    assert words.endswith("; front-proxy-ca.crt is of a CA, which certs renew does not issue again: docs/keys.md")


def test_a_cluster_whose_certificates_last_is_not_warned_of(cluster: Hosts) -> None:
    recorder = Recorder()
    plan(cluster.inputs, recorder, QUARTER, replace_keys=False)
    assert not [words for words in recorder.heard if words.startswith("warn ")]
