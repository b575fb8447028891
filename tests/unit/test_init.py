"""`init` from outside: the file, what it asks, what hosts say, and one message for each mistake."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from k8s_installer import draft, inventory
from k8s_installer.cli.terminal import Terminal
from k8s_installer.draft import Machine
from k8s_installer.engine import fleet
from k8s_installer.errors import InputError, InstallerError, TransportError
from k8s_installer.flows.init import _OPTIONS, Request, init
from k8s_installer.inventory import Host
from k8s_installer.report import init as report
from k8s_installer.transport import Result, UnknownHostError, connection
from tests.unit.test_cli import HERE, installer
from tests.unit.test_draft import ANSWER

TWO = ("10.0.0.11", "10.0.0.12")


class Person(Terminal):
    """Somebody at a terminal who answers questions; `said` is what was shown."""

    def __init__(self, *answers: str) -> None:
        super().__init__(Path("cluster.yaml"))
        self.answers, self.said = list(answers), list[str]()

    def ask(self, question: str) -> str:
        self.said.append(question)
        return self.answers.pop(0)

    def warn(self, words: str) -> None:
        self.said.append(words)


@dataclass
class Answering:
    """A way to a host that prints this, or fails with it."""

    host: str
    answer: str | TransportError

    def run(self, script: str, *, timeout: float) -> Result:
        assert (script, timeout) == (draft.SCRIPT, draft.ASK_SECONDS)
        if isinstance(self.answer, TransportError):
            raise self.answer
        return Result(0, self.answer, "")


def hosts_that(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, str | TransportError]) -> list[Host]:
    """Have hosts answer instead of being connected to; they are listed when they are."""
    met: list[Host] = []

    @contextmanager
    def connecting(hosts: Iterable[Host]) -> Iterator[SimpleNamespace]:
        met.extend(hosts)
        yield SimpleNamespace(lines={name: Answering(name, answer) for name, answer in answers.items()})

    monkeypatch.setattr(fleet, "connecting", connecting)
    return met


def answer(name: str, address: str) -> str:
    return ANSWER.replace("node-a.example.com", name).replace("10.0.0.11", address).replace("cluster old\n", "")


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# the file


def test_an_inventory_is_written_that_is_valid_and_the_next_command_is_told(tmp_path: Path) -> None:
    done = installer("init", "10.0.0.11", "op@10.0.0.12:2222", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[0].startswith(
        "cluster.yaml written: cluster kubernetes, Kubernetes 1.5.2, network routes"
    )
    assert "  k8s-installer preflight -i cluster.yaml" in done.stderr
    assert installer("validate", "-i", "cluster.yaml", folder=tmp_path).returncode == 0
    assert listed(tmp_path) == ["cluster.yaml"]


def test_an_inventory_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("mine")
    done = installer("init", *TWO, "--yes", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cluster.yaml exists and is left as it is" in done.stderr
    assert (tmp_path / "cluster.yaml").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, words in ((tmp_path, "is a folder"), (tmp_path / "file" / "x.yaml", "file is not a folder")):
        with pytest.raises(InputError, match=words):
            init(Request(TWO, output), Person())
    assert listed(tmp_path) == ["file"]


def test_stdout_gets_the_text_or_data_and_no_file_is_written(tmp_path: Path) -> None:
    text = installer("init", *TWO, "-o", "-", folder=tmp_path)
    assert inventory.parse(text.stdout, tmp_path / "x.yaml").name == "kubernetes"
    data = json.loads(installer("init", *TWO, "-o", "json", folder=tmp_path).stdout)
    assert data["inventory"] == text.stdout
    assert data["cluster"] == {"name": "kubernetes", "version": "1.5.2", "network": "routes"}
    assert data["hosts"][1] == {"name": "n1", "address": "10.0.0.12", "roles": ["node"], "note": ""}
    assert not listed(tmp_path)


def test_hosts_come_from_stdin_where_none_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "k8s_installer", "init", "-o", "-"],
        input="10.0.0.11  # the master\n\n10.0.0.12\n", capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": HERE},
    )  # fmt: skip
    assert [host.address for host in inventory.parse(done.stdout, tmp_path / "x.yaml").hosts] == list(TWO)
    done = installer("init", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no hosts: name at least one")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"masters": "3"}, "masters '3': use a number from 1 to 2"),
        ({"masters": "-1"}, "masters '-1': use a number from 1 to 2"),
        ({"members": "2"}, "etcd '2': use 1"),
        ({"network": "flanel"}, "network 'flanel'"),
        ({"version": "1.9.4"}, "Kubernetes 1.9.4 is installed from upstream's tarball"),
        ({"registry": "a b"}, "registry 'a b': must be a registry such as"),
        ({"insecure": True}, "--insecure-registry: no registry is named"),
        ({"name": "Lab"}, "name 'Lab'"),
        ({"key": Path("/none")}, "--key: there is no file /none"),
        ({"tarball": Path("/")}, "--tarball: there is no file /"),
        ({"hosts": [*TWO, "10.0.0.12:22"]}, "10.0.0.12 is given twice"),
        ({"hosts": ["0.0.0.1"]}, "host m1: other hosts cannot reach 0.0.0.1"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        init(replace(Request(TWO, tmp_path / "x.yaml"), **changes), Person())
    assert raised.value.message.startswith(words)
    assert not listed(tmp_path)


def test_help_has_examples(tmp_path: Path) -> None:
    done = installer("init", "--help", folder=tmp_path)
    assert "k8s-installer init 10.0.0.11 10.0.0.12 10.0.0.13" in done.stdout


def test_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"a.example.com": ["10.0.0.11"], "b": ["10.0.0.12", "10.0.0.13"], "c": ["10.0.0.11"]}

    def looked_up(host: str, *_: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror
        return [("family", "type", "protocol", "name", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    made = init(Request(["a.example.com", "10.0.0.14"], None), Person())
    assert made is not None
    assert [(host.name, host.address) for host in made.draft.hosts] == [("a", "10.0.0.11"), ("n1", "10.0.0.14")]
    with pytest.raises(InputError) as raised:
        init(Request(["a.example.com", "b", "x", "y"], None), Person())
    assert raised.value.message.splitlines() == [
        "b: the name has several addresses: 10.0.0.12, 10.0.0.13",
        "x: this machine cannot resolve the name to an IPv4 address",
        "y: this machine cannot resolve the name to an IPv4 address",
    ]
    with pytest.raises(InputError, match=r"10\.0\.0\.11 is given twice \(a\.example\.com and c\)"):
        init(Request(["a.example.com", "c"], None), Person())


def test_files_are_named_from_the_home_folder_on_and_an_archive_with_its_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    for name in ("home/key", "known_hosts", "k.tar.gz"):
        (tmp_path / name).write_text(name)
    request = Request(
        TWO, Path("new.yaml"), key=Path("home/key"), known_hosts=Path("known_hosts"), tarball=Path("k.tar.gz")
    )
    with pytest.raises(InputError, match="its version is not known"):
        init(request, Person())
    request = replace(request, version="1.20.2")
    made = init(request, Person())
    assert made is not None
    assert made.draft.files == {"key": "~/key", "known_hosts": str(tmp_path / "known_hosts")}
    assert made.draft.choices.source == draft.Source(
        str(tmp_path / "k.tar.gz"), hashlib.sha256(b"k.tar.gz").hexdigest()
    )
    assert inventory.load(Path("new.yaml")).version == "1.20.2"


# what it asks


def test_a_person_is_asked_for_what_no_option_says_until_the_answer_is_one() -> None:
    person = Person("", "9.9.9", "1.20.2", "7", "2", "10.0.0.1:5000", "no")
    made = init(Request(TWO, None, network="flannel", asks=True), person)
    assert made is not None
    assert made.draft.choices == draft.Choices(
        "kubernetes", "1.20.2", "flannel", 2, 1, None, "10.0.0.1:5000", insecure=True
    )
    assert person.said == [
        "Name of the cluster, for certificates and kubeconfigs [kubernetes]: ",
        "Kubernetes version, which the hosts' repositories must have (1.5.2, 1.9.4, 1.20.2) [1.5.2]: ",
        "unknown Kubernetes version 9.9.9: profiles exist for 1.5.2, 1.9.4, 1.20.2 (did you mean 1.9.4?)",
        "Kubernetes version, which the hosts' repositories must have (1.5.2, 1.9.4, 1.20.2) [1.5.2]: ",
        "How many of the 2 hosts are masters: 1, or 3, of which one may fail [1]: ",
        "masters '7': use a number from 1 to 2, the number of hosts",
        "How many of the 2 hosts are masters: 1, or 3, of which one may fail [1]: ",
        "Registry for images, which the nodes must reach [registry.k8s.io]: ",
        "Does 10.0.0.1:5000 have TLS [yes]: ",
    ]


def test_a_person_may_keep_an_inventory_or_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("mine")
    request = Request(TWO, path, name="lab", version="1.5.2", network="none", masters="1", registry="a", asks=True)
    for no in ("", "n", "what"):
        person = Person(no)
        assert init(request, person) is None
        assert person.said == [f"{path} exists. Replace it? [y/N] "]
    assert path.read_text() == "mine"
    assert init(request, Person("y")) is not None
    assert inventory.load(path).network == "none"


def test_the_end_of_a_terminals_input_is_no_crash(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "k8s_installer", "init", *TWO], stdin=theirs, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": HERE, "TERM": "dumb"},
    ) as process:  # fmt: skip
        os.close(theirs)
        os.write(ours, b"lab\n\x04")
        assert process.stderr is not None
        said = process.stderr.read()
    os.close(ours)
    assert (process.returncode, said.rstrip().endswith("Aborted.")) == (1, True), said
    assert not listed(tmp_path)


# what hosts say


def test_what_hosts_answer_is_what_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    met = hosts_that(
        monkeypatch, {address: answer(name, address) for address, name in zip(TWO, ("a.x", "b.x"), strict=True)}
    )
    made = init(Request(["op@10.0.0.11:2222", "10.0.0.12"], None, key=None, from_hosts=True), Person())
    assert made is not None
    assert [(host.name, host.address, host.ssh.user, host.ssh.port, host.ssh.host_keys) for host in met] == [
        ("10.0.0.11", "10.0.0.11", "op", 2222, "strict"),
        ("10.0.0.12", "10.0.0.12", "root", 22, "strict"),
    ]
    assert [(host.name, host.note) for host in made.draft.hosts] == [
        ("a", "CentOS Linux 7 (Core); has docker 1.13.1"),
        ("b", "CentOS Linux 7 (Core); has docker 1.13.1"),
    ]
    assert made.draft.choices.network == "routes"
    assert "repos: as-is" in made.text


def test_all_hosts_that_do_not_answer_are_told_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lost = TransportError("10.0.0.12", "no answer", hint="check that it is up")
    hosts_that(monkeypatch, {"10.0.0.11": "hostname a\n", "10.0.0.12": lost, "10.0.0.13": answer("c", "10.0.0.13")})
    with pytest.raises(InstallerError) as raised:
        init(Request([*TWO, "10.0.0.13"], tmp_path / "x.yaml", from_hosts=True), Person())
    assert not isinstance(raised.value, InputError)  # exit code 1
    assert raised.value.message.splitlines()[0].startswith(
        "10.0.0.11: its answer cannot be read: it ends after 11 characters"
    )
    assert raised.value.message.splitlines()[2:] == ["10.0.0.12: no answer", "  check that it is up"]
    assert raised.value.hint == "nothing was written; without --from-hosts no host is asked"
    assert not listed(tmp_path)


def test_a_host_that_is_refused_is_told_with_options_and_not_with_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: dict[str, str | TransportError] = {
        f"10.0.0.{number}": UnknownHostError(
            f"10.0.0.{number}", "is unknown", command=f"ssh-keyscan 10.0.0.{number} >> known", key=f"/etc/ssh/{key}.pub"
        )
        for number, key in ((11, "a"), (12, "a"), (13, "b"))
    }
    refused["10.0.0.14"] = TransportError("10.0.0.14", "rejects root", hint="set ssh.key to the private key, or so")
    hosts_that(monkeypatch, refused)
    with pytest.raises(InstallerError) as raised:
        init(Request(list(refused), None, from_hosts=True), Person())
    assert raised.value.message.splitlines() == [
        "10.0.0.11: is unknown",
        "10.0.0.12: is unknown",
        "10.0.0.13: is unknown",
        "10.0.0.14: rejects root",
        "  add --key FILE with the private key, or so",
    ]
    assert raised.value.hint.splitlines() == [
        "if you have a file with the hosts' keys, add --known-hosts FILE",
        "else compare each fingerprint with the host's own, on its console:",
        "  ssh-keygen -lf /etc/ssh/a.pub",
        "  ssh-keygen -lf /etc/ssh/b.pub",
        "and if they are the same:",
        "  ssh-keyscan 10.0.0.11 >> known",
        "  ssh-keyscan 10.0.0.12 >> known",
        "  ssh-keyscan 10.0.0.13 >> known",
        "nothing was written; without --from-hosts no host is asked",
    ]


def test_every_setting_in_a_hint_of_the_transport_has_an_option_here() -> None:
    folder = Path(connection.__file__).parent
    hints = re.findall(r"hint ?=.*", "".join((folder / name).read_text() for name in ("connection.py", "hostkeys.py")))
    for hint in hints:
        for setting, option in _OPTIONS.items():
            hint = hint.replace(setting, option)  # noqa: PLW2901 - one after the other, as `init` does
        assert "ssh.gateway" in hint or "accept-new" in hint or not re.search(r"\bssh\.[a-z]", hint), hint


def test_an_inventory_that_is_there_is_found_before_a_host_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    met = hosts_that(monkeypatch, {})
    (tmp_path / "x.yaml").touch()
    with pytest.raises(InputError, match="is left as it is"):
        init(Request(TWO, tmp_path / "x.yaml", from_hosts=True), Person())
    assert not met


def test_what_was_written_is_told_on_lines_that_fit_a_terminal() -> None:
    hosts_there = [Machine(target) for target in draft.targets(["10.0.0.11", "10.0.0.112"])]
    made = draft.made(hosts_there, draft.Choices("lab", "1.5.2", "routes", 1, 1, None), {})
    told = [*report.lines(made, Path("cluster.yaml")), *report.following(Path("cluster.yaml"))]
    assert told == [
        "cluster.yaml written: cluster lab, Kubernetes 1.5.2, network routes",
        "  m1  10.0.0.11   etcd, master",
        "  n1  10.0.0.112  node",
        "Next: read the file, which explains each setting; then",
        "  k8s-installer preflight -i cluster.yaml    finds what would stop it",
        "  k8s-installer apply -i cluster.yaml        shows the plan, asks, installs",
    ]
    assert max(map(len, told)) < 80
    assert list(report.lines(made, None)) == ["cluster lab, Kubernetes 1.5.2, network routes", *told[1:3]]
    assert report.data(made, "text") == {
        "cluster": {"name": "lab", "version": "1.5.2", "network": "routes"},
        "hosts": [
            {"name": "m1", "address": "10.0.0.11", "roles": ["etcd", "master"], "note": ""},
            {"name": "n1", "address": "10.0.0.112", "roles": ["node"], "note": ""},
        ],
        "warnings": [],
        "inventory": "text",
    }
    noted = replace(made, hosts=(replace(made.hosts[0], note="CentOS Linux 7 (Core)"),))
    assert list(report.lines(noted, None))[1] == "  m1  10.0.0.11  etcd, master        CentOS Linux 7 (Core)"
