from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from k8s_installer import pki
from k8s_installer.errors import CommandFailed, InstallerError, TransportError
from k8s_installer.host.perform import script
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import File, Kind, Missing, Ref
from k8s_installer.runs.folder import private_file, prune, run_id
from k8s_installer.runs.redaction import redact
from k8s_installer.runs.trace import Trace, open_trace, readable, traced, unkept
from k8s_installer.transport import OnLine, OnSent, Result
from tests.unit.clusters import cluster, leaves

# No real key: random bytes in the form of one, whose last line is short.
KEY_LINES = base64.encodebytes(hashlib.shake_256(b"a private key").digest(500)).decode().splitlines()
PEM = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *KEY_LINES, "-----END RSA PRIVATE KEY-----", ""])
ENCRYPTION = base64.b64encode(hashlib.sha256(b"the encryption key").digest()).decode()


class Host:
    """A `Transport` that answers what it is told to."""

    host = "m1"

    def __init__(self, answer: Result | BaseException, lines: tuple[str, ...] = ()) -> None:
        self.answer, self.lines, self.closed = answer, lines, False
        self.prepared = False
        self.scripts: list[tuple[str, float]] = []

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        self.scripts.append((script, timeout))
        for line in self.lines:
            if on_line is not None:
                on_line(line)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        return self.run(script, timeout=idle)

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        return self.run(script, timeout=idle)

    def prepare(self) -> None:
        self.prepared = True

    def close(self) -> None:
        self.closed = True


def text(trace: Trace) -> str:
    """The trace, without what differs from run to run."""
    written = re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z ", "", trace.path.read_text())
    return re.sub(r"after \d+\.\d\d s", "after 0.00 s", written)


def test_an_upload_is_told_by_its_script(tmp_path: Path) -> None:
    with open_trace(tmp_path) as trace:
        traced(Host(Result(0, "send 0\n", "")), trace).upload("take it in", tmp_path / "kubelet")
        assert "take it in" in text(trace)
        assert "send 0" in text(trace)


def test_a_download_is_told_by_its_script_and_nothing_of_what_came(tmp_path: Path) -> None:
    with open_trace(tmp_path) as trace:
        traced(Host(Result(0, "", "")), trace).download("give it out", io.BytesIO())
        assert "give it out" in text(trace)


def traces(folder: Path, answer: Result | BaseException, *scripts: str, lines: tuple[str, ...] = ()) -> str:
    with open_trace(folder) as trace:
        host = traced(Host(answer, lines), trace)
        for one in scripts:
            try:
                host.run(one)
            except (InstallerError, KeyboardInterrupt) as error:
                assert error is answer  # noqa: PT017 - the same object is what is asked
    return text(trace)


def test_a_trace_tells_each_script_and_its_answer(tmp_path: Path) -> None:
    result = Result(3, "one\n\ntwo", "complaint\n")
    assert traces(tmp_path, result, "# look at the host\nuname -a\nexit 3\n") == (
        "m1 #1 begins: look at the host\n"
        "    | # look at the host\n"
        "    | uname -a\n"
        "    | exit 3\n"
        "m1 #1 exit 3 after 0.00 s\n"
        "    out| one\n"
        "    out| \n"
        "    out| two\n"
        "    err| complaint\n"
    )


def test_a_script_that_is_sent_again_is_written_out_once(tmp_path: Path) -> None:
    written = traces(tmp_path, Result(0, "", ""), "true\n", "\n", "true\n")
    assert written.count("    | true\n") == 1
    assert "m1 #2 begins: \n" in written
    assert "m1 #3 begins: true (the script of #1)\n" in written


def test_the_wrapped_transport_does_what_the_bare_one_does(tmp_path: Path) -> None:
    host, heard = Host(Result(0, "a\nb\n", ""), ("a", "b")), list[str]()
    with open_trace(tmp_path) as trace:
        transport = traced(host, trace)
        assert transport.host == "m1"
        transport.prepare()
        assert transport.run("true", timeout=7.0, on_line=heard.append) == host.answer
        transport.close()
    assert heard == ["a", "b"]
    assert host.scripts == [("true", 7.0)]
    assert host.prepared
    assert host.closed


def test_a_lost_connection_is_traced_with_what_had_come(tmp_path: Path) -> None:
    lost = TransportError("m1", "the connection was lost")
    assert traces(tmp_path, lost, "true", lines=("begin 1", "done 1")).endswith(
        "m1 #1 TransportError: m1: the connection was lost after 0.00 s\n    out| begin 1\n    out| done 1\n"
    )


def test_a_refusal_is_traced_with_all_of_its_output(tmp_path: Path) -> None:
    refused = CommandFailed("m1", "sudo", 1, "hello\n", "sudo: no\nsudo: really no\n")
    written = traces(tmp_path, refused, "true")
    assert "m1 #1 CommandFailed: m1: sudo: exit 1: sudo: really no after" in written
    assert written.endswith("    out| hello\n    err| sudo: no\n    err| sudo: really no\n")


def test_an_interrupted_script_is_traced(tmp_path: Path) -> None:
    assert "m1 #1 KeyboardInterrupt:  after" in traces(tmp_path, KeyboardInterrupt(), "true")


def test_the_error_that_ends_a_run_is_in_its_trace(tmp_path: Path) -> None:
    trace = open_trace(tmp_path)
    trace.note("apply -i cluster.yaml")
    with pytest.raises(InstallerError), trace:
        raise InstallerError("no such thing")
    assert text(trace) == "apply -i cluster.yaml\nthe run ends with InstallerError: no such thing\n"


def test_output_can_neither_forge_a_record_nor_command_a_terminal(tmp_path: Path) -> None:
    written = traces(tmp_path, Result(0, "\x1b[2J\r2026-01-01 00:00:00Z m1 #1 exit 0\x9b\n\tx\ud800\n", ""), "true")
    assert "    out| \\x1b[2J\\x0d2026-01-01 00:00:00Z m1 #1 exit 0\\x9b\n    out| \tx\\ud800\n" in written


def test_bytes_that_a_script_writes_are_shown_as_their_sum() -> None:
    content = PEM.encode()
    change = Change(Ref("m1", Kind.FILE, "/k"), Action.CREATE, "x", Missing.ABSENT, File(content, secret=True), "new")
    shown = readable(script([(7, change)]))
    assert (
        f"\n<{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}>\n' | place /k 644 root root " in shown
    )
    assert "\nbegin 7\n" in shown
    assert "say done 7" in shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("bytes '\nYWJj\nZGVm\n' | cat\ntrue", "bytes '\n<6 bytes, sha256 {}>\n' | cat\ntrue"),
        ("bytes '\nYWJj\nZGVm", "bytes '\n<6 bytes, sha256 {}>"),
        ("bytes '\nnot so\n'", "bytes '\n<1 lines that are not base64>\n'"),
        ("echo $((1 << 3))\nbytes '\nYWJjZGVm\n'", "echo $((1 << 3))\nbytes '\n<6 bytes, sha256 {}>\n'"),
        ("printf '%s\\n' '/etc/a b'", "printf '%s\\n' '/etc/a b'"),
    ],
)
def test_bytes_are_elided_and_other_lines_are_shown(written: str, shown: str) -> None:
    assert readable(written) == shown.format(hashlib.sha256(b"abcdef").hexdigest())


@pytest.mark.parametrize(
    "word", ["PASSWORD", "pa\u017f\u017fword", "to\u212aen", "author\u0131zation: Bearer", "bearer"]
)
def test_a_word_before_a_secret_may_be_written_in_any_way(word: str) -> None:
    mark = " " if word.lower().endswith("bearer") else ": "
    assert "s3cr3t" not in redact(f"{word}{mark}s3cr3t-of-many-characters")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (f"before\n{PEM}after", "before\n<private key>\nafter"),
        (PEM.replace("\n", "\\n"), "<private key>\\n"),
        (PEM[:700], "<private key>"),
        ("Authorization: Basic YWxpY2U6c2VjcmV0\n", "Authorization: Basic <secret>\n"),
        ('curl -H "Authorization: Bearer abc.def" x', 'curl -H "Authorization: Bearer <secret>" x'),
        ("    client-key-data: LS0tLS1CRUdJTg==\n    x: y", "    client-key-data: <secret>\n    x: y"),
        ('{"client-key-data": "LS0t", "a": 1}', '{"client-key-data": "<secret>", "a": 1}'),
        ('"{\\"password\\": \\"short\\"}"', '"{\\"password\\": \\"<secret>"}"'),
        (f"- name: key1\n  secret: {ENCRYPTION}\n", "- name: key1\n  secret: <secret>\n"),
        (f"the key is {ENCRYPTION}.", "the key is <44 random characters>."),
        ("--token=0123456789abcdef0123", "--token=<secret>"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln_-x", "<token>"),
        ("content /etc/x " + base64.b64encode(b"some file " * 20).decode(), "content /etc/x <268 random characters>"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(written: str, shown: str) -> None:
    assert redact(written) == shown


@pytest.mark.parametrize(
    "written",
    [
        "Error: secret: not found; token: expired",
        "sum " + hashlib.sha256(b"x").hexdigest() + "  /etc/kubernetes/pki/apiserver-kubelet-client.key",
        "file f 0600 kube kube 1700000000.5 /etc/kubernetes/encryption-config.yaml",
        "/sys/fs/cgroup/systemd/system/kubelet/kubepods/besteffort",
        "Failed to start kube-apiserver.service: Unit not found.",
        "::k8s-installer:: done 12",
    ],
)
def test_what_a_reader_needs_stays(written: str) -> None:
    assert redact(written) == written


@pytest.mark.parametrize(
    "piece",
    ["A", " ", "-", "/", "eyJ-", "token", "token=", "secret: ", "bearer ", "authorization: x ", '\\"', "-----BEGIN "],
)
def test_long_output_of_any_kind_does_not_hold_a_run_up(piece: str) -> None:
    # what takes the square of its length would take hours here, not be slow
    assert redact(piece * 50_000 + " PRIVATE KEY-----")


def test_a_key_without_its_head_is_redacted_to_its_last_short_line() -> None:
    shown = redact("\n".join(PEM.splitlines()[3:]))
    assert not any(line in shown for line in KEY_LINES)


def test_no_key_of_a_cluster_reaches_the_trace_by_a_script_or_an_answer(tmp_path: Path) -> None:
    keys = pki.ensure(tmp_path / "pki", leaves(cluster()))
    secret = [content for name, content in keys.files.items() if not name.endswith((".crt", ".pub"))]
    assert len(secret) > 5
    changes = [
        Change(Ref("m1", Kind.FILE, f"/k{n}"), Action.CREATE, "x", Missing.ABSENT, File(content, secret=True), "new")
        for n, content in enumerate(secret)
    ]
    answer = "\n".join(content.decode() for content in secret)
    encoded = "\n".join(base64.b64encode(content).decode() for content in secret)
    written = traces(tmp_path, Result(1, answer, encoded), script(list(enumerate(changes))))
    for content in secret:
        for lines in (content.decode().split(), base64.encodebytes(content).decode().split()):
            leaked = [line for line in lines if len(line) > 7 and "-" not in line and line in written]
            assert not leaked


def test_a_trace_is_for_its_owner_alone_and_keeps_the_name_of_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "journal"
    with open_trace(folder, "20260102-120310-000000-abcdef") as trace:
        assert trace.path == folder / "20260102-120310-000000-abcdef.trace"
        assert trace.run == "20260102-120310-000000-abcdef"
    assert trace.path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_fifty_traces_stay_and_journals_are_left_alone(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"2020{n:02}.trace").touch()
        (tmp_path / f"2020{n:02}.jsonl").touch()
    open_trace(tmp_path).close()
    assert min(path.name for path in tmp_path.glob("*.trace")) == "202011.trace"
    assert len(list(tmp_path.glob("*.trace"))) == 50
    assert len(list(tmp_path.glob("*.jsonl"))) == 60


def test_an_old_file_that_cannot_be_removed_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "2020.trace").mkdir()
    prune(tmp_path, ".trace", 0)
    assert (tmp_path / "2020.trace").exists()


def test_names_of_runs_sort_by_time_and_differ() -> None:
    first, second = (datetime(2026, 1, 2, 12, 3, 10, micro, UTC) for micro in (5, 40))
    assert run_id(first) < run_id(second) < run_id()
    assert run_id(first).startswith("20260102-120310-000005-")
    assert run_id(first) != run_id(first)


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallerError, match=r"cannot keep a record of this run: Not a directory: .*/file/journal"):
        open_trace(tmp_path / "file" / "journal")
    private_file(tmp_path, "x").close()
    with pytest.raises(InstallerError, match=r"cannot keep a record of this run: File exists: .*/x"):
        private_file(tmp_path, "x")


def test_a_full_disk_here_does_not_stop_what_goes_on_on_the_hosts() -> None:
    file = Path("/dev/full").open("ab")  # noqa: SIM115 - the trace closes it
    with Trace(Path("/dev/full"), file) as trace:
        assert traced(Host(Result(0, "a\n", "")), trace).run("true") == Result(0, "a\n", "")
    assert file.closed
    trace.note("too late")


def test_records_of_many_threads_are_never_torn(tmp_path: Path) -> None:
    with open_trace(tmp_path) as trace:
        host = traced(Host(Result(0, "a\nb\nc\n", "")), trace)
        threads = [threading.Thread(target=host.run, args=(f"true {n}\nfalse {n}\n",)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    written = text(trace)
    for n in range(16):
        assert re.search(rf"m1 #\d+ begins: true {n}\n    \| true {n}\n    \| false {n}\n", written)
    assert written.count("exit 0 after 0.00 s\n    out| a\n    out| b\n    out| c\n") == 16
    assert len(list(tmp_path.iterdir())) == 1


def test_whoever_listens_hears_each_record_and_no_secret(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    with open_trace(tmp_path, on_record=lambda line, text: heard.append((line, text))) as trace:
        trace.end(trace.begin("n1", "# look\npassword=hunter2"), "n1", "exit 0", ("fine\n", ""), 0.5)
    assert [line.split("Z ", 1)[1] for line, _ in heard] == ["n1 #1 begins: look", "n1 #1 exit 0 after 0.50 s"]
    assert "".join(text for _, text in heard) == trace.path.read_text()
    assert "hunter2" not in trace.path.read_text()
    with unkept(lambda line, _: heard.append((line, ""))) as nowhere:
        nowhere.note("a decision")
    assert heard[-1][0].endswith("Z a decision")
