"""Scripts on a host: what goes in, what comes out, and what is known when it breaks off."""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_EOF

from k8s_installer.errors import CommandFailed, TransportError
from k8s_installer.transport import Result, Transport, connect, connection
from k8s_installer.transport.session import SshTransport, wrap
from tests.contract.proxy import cut_after
from tests.contract.sshd import Sshd, serve

pytestmark = pytest.mark.contract


def test_output_and_status_are_what_the_script_left(host: Transport) -> None:
    assert host.run("echo out; echo err >&2; exit 7") == Result(7, "out\n", "err\n")


def test_a_script_without_output_or_a_last_newline_is_fine(host: Transport) -> None:
    assert host.run("") == Result(0, "", "")
    assert host.run("# nothing") == Result(0, "", "")
    assert host.run("printf 'no newline'; printf 'nor here' >&2") == Result(0, "no newline", "nor here")


def test_set_e_ends_the_script_with_the_status_of_what_failed(host: Transport) -> None:
    assert host.run("set -e; echo before; (exit 3); echo after") == Result(3, "before\n", "")


def test_scripts_run_in_the_c_locale_as_root_or_by_sudo_with_sbin_in_the_path(host: Transport) -> None:
    answer = host.run("echo $LC_ALL; id -u; echo $PATH").stdout.splitlines()
    assert answer[:2] == ["C", str(os.getuid())]
    assert {"/usr/sbin", "/sbin"} <= set(answer[2].split(":"))


def test_a_command_that_reads_stdin_does_not_eat_the_script(host: Transport) -> None:
    assert host.run("cat; read line; echo still here").stdout == "still here\n"


def test_here_documents_keep_every_character(host: Transport) -> None:
    text = "$HOME `id` \"quoted\" 'single' \\ back\\\\slash ! {} }\n\ttab\n}\nÄ€𝄞 %s\n"
    script = f"cat <<'END'\n{text}END\ncat <<END\n\\$kept $((1 + 2))\nEND"
    assert host.run(script).stdout == text + "$kept 3\n"


def test_bytes_travel_as_base64(host: Transport) -> None:
    data = bytes(range(256)) * 400
    script = f"base64 -d <<'END' | base64\n{base64.encodebytes(data).decode()}END"
    assert base64.b64decode(host.run(script).stdout) == data


def test_a_script_of_five_megabytes_arrives_whole(host: Transport) -> None:
    data = os.urandom(3_800_000)
    script = f"base64 -d <<'END' | sha256sum\n{base64.encodebytes(data).decode()}END"
    assert len(script) > 5_000_000
    assert host.run(script).stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_a_script_that_is_not_a_script_is_refused_whole(host: Transport) -> None:
    with pytest.raises(CommandFailed) as refused:
        host.run("echo begun\n)\n" + "# the shell ends before it has read all this\n" * 100_000)
    assert (refused.value.status, refused.value.stdout) == (2, "")


def test_megabytes_on_both_outputs_do_not_block_each_other(host: Transport) -> None:
    line = "x" * 99
    lines = f"yes {line} | head -n 300"
    result = host.run(f"i=0; while [ $i -lt 100 ]; do {lines}; {lines} >&2; i=$((i+1)); done")
    assert (result.stdout, result.stderr) == ((line + "\n") * 30_000, (line + "\n") * 30_000)
    assert host.run("head -c 8000000 /dev/zero | tr '\\0' y").stdout == "y" * 8_000_000


def test_invalid_utf8_is_replaced(host: Transport) -> None:
    assert host.run(r"printf 'a\377b\nc'").stdout == "a�b\nc"


def test_lines_come_as_they_are_written(host: Transport) -> None:
    seen: list[tuple[str, float]] = []
    result = host.run(
        "echo one; printf tw; sleep 0.3; echo o; printf 'three\\r\\n\\nend'",
        on_line=lambda line: seen.append((line, time.monotonic())),
    )
    assert [line for line, _ in seen] == ["one", "two", "three\r", "", "end"]
    assert seen[1][1] - seen[0][1] > 0.2
    assert result.stdout == "one\ntwo\nthree\r\n\nend"


def test_an_error_of_the_listener_is_its_callers(host: Transport) -> None:
    def refuse(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError, match="one"):
        host.run("echo one; sleep 30", on_line=refuse)
    assert host.run("echo still usable").stdout == "still usable\n"


def test_what_login_shells_say_is_not_the_scripts(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy"
    noisy.write_text('#!/bin/sh\necho welcome; echo oops >&2; printf unfinished; eval "$SSH_ORIGINAL_COMMAND"\n')
    noisy.chmod(0o755)
    with serve(tmp_path / "sshd", f"ForceCommand {noisy}") as server:
        transport = connect(server.host())
        seen: list[str] = []
        assert transport.run("echo mine; echo my error >&2", on_line=seen.append) == Result(0, "mine\n", "my error\n")
        assert seen == ["mine"]
        transport.close()


def test_a_timeout_says_so_and_leaves_the_connection_usable(host: Transport) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match=r"h1: the script did not finish within 0\.3 s.*unknown"):
        host.run("echo begun; sleep 30", timeout=0.3)
    assert time.monotonic() - began < 1
    assert host.run("echo fine").stdout == "fine\n"


def test_a_script_that_ends_before_its_input_does_leaves_the_connection_alone(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshd ends a connection on which something is sent to a channel that it has let go.

    Here the end of the input takes its time, so that the host has closed the channel before that is on its way.
    """
    kind: Any = paramiko.Transport  # of which this has no types
    send = kind._send_user_message
    late: list[bytes] = []

    def slowly(transport: paramiko.Transport, message: paramiko.Message) -> None:
        if message.asbytes()[:1] == cMSG_CHANNEL_EOF and threading.current_thread() is not transport:
            late.append(message.asbytes())
            time.sleep(0.5)
        send(transport, message)

    monkeypatch.setattr(paramiko.Transport, "_send_user_message", slowly)
    transport = connect(sshd.host())
    try:
        assert [transport.run("echo it").stdout for _ in range(3)] == ["it\n"] * 3
    finally:
        transport.close()
    assert len(late) == 3


def test_a_script_that_is_cut_off_while_it_prints_leaves_no_pipe_to_write_to(
    host: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a channel closes its pipe, if it has one, while Paramiko's thread may be about to write to it.

    That ended the connection, or could have put a byte into another file. Here the pipe takes its time to close.
    """
    kind: Any = importlib.import_module("paramiko.pipe").PosixPipe  # which has no types
    close = kind.close

    def slowly(pipe: Any) -> None:  # noqa: ANN401
        pipe.clear()
        os.close(pipe._wfd)
        time.sleep(0.5)
        pipe._wfd = os.open(os.devnull, os.O_WRONLY)
        close(pipe)

    monkeypatch.setattr(kind, "close", slowly)
    with pytest.raises(TransportError, match="did not finish"):
        host.run("while :; do echo y; done", timeout=0.3)
    assert host.run("echo fine").stdout == "fine\n"


def test_endless_output_does_not_outlive_the_timeout(host: Transport) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match="did not finish"):
        host.run("while :; do echo y; done", timeout=0.3)
    assert time.monotonic() - began < 1.5


def test_a_program_left_behind_with_the_output_open_is_a_timeout_with_a_hint(host: Transport) -> None:
    with pytest.raises(TransportError) as caught:
        host.run("sleep 3 & echo done", timeout=0.3)
    assert "keep its output open" in caught.value.hint


def test_a_connection_lost_midway_is_not_an_exit_status(sshd: Sshd) -> None:
    transport = connect(sshd.host())
    began = time.monotonic()
    with pytest.raises(TransportError, match=r"h1: the connection was lost.*unknown"):
        transport.run("echo $PPID; sleep 30", on_line=lambda pid: os.kill(int(pid), signal.SIGKILL))
    assert time.monotonic() - began < 1
    with pytest.raises(TransportError, match="connection was lost"):
        transport.run("echo again")
    transport.close()


def test_a_shell_that_was_killed_is_not_an_exit_status(host: Transport) -> None:
    with pytest.raises(TransportError, match="unknown"):
        host.run("kill -9 $$")


def test_a_frozen_host_is_a_timeout_even_while_it_takes_nothing(sshd: Sshd) -> None:
    transport = connect(sshd.host())
    session = int(transport.run("echo $PPID").stdout)
    os.kill(session, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(TransportError, match="did not start"):
            transport.run("# fill every buffer\n" * 1_000_000, timeout=0.3)
        assert time.monotonic() - began < 4
    finally:
        os.kill(session, signal.SIGKILL)
        transport.close()


def test_closing_ends_a_script_of_another_thread(sshd: Sshd) -> None:
    transport = connect(sshd.host())
    closer = threading.Timer(0.2, transport.close)
    closer.start()
    with pytest.raises(TransportError, match="connection was lost"):
        transport.run("sleep 30")
    closer.join()
    transport.close()
    with pytest.raises(TransportError):
        transport.run("echo closed")


def test_a_script_cut_off_on_its_way_does_nothing(sshd: Sshd, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"touch {trace}\ncat <<'END'\n" + "filler\n" * 300_000 + "END"
    with cut_after(sshd.port, 1_000_000) as port:
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {sshd.public_key()}\n")
        transport = connect(sshd.host(port=port, known_hosts=known))
        with pytest.raises(TransportError, match="connection was lost"):
            transport.run(script)
        transport.close()
    time.sleep(0.2)
    assert not trace.exists()


@pytest.mark.parametrize("cut", [40, 70, -110, -40, -2])
def test_a_channel_closed_halfway_does_nothing(sshd: Sshd, tmp_path: Path, cut: int) -> None:
    trace = tmp_path / "trace"
    text = wrap(f"touch {trace}\ncat <<'END'\n}}\nEND", "marker")
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", sshd.port, sshd.user, key_filename=str(sshd.key))
        channel = client.get_transport().open_session()  # type: ignore[union-attr]
        channel.exec_command("/bin/sh -s")
        channel.sendall(text[:cut].encode())
        channel.shutdown_write()
        channel.recv_exit_status()
    assert not trace.exists()


def test_no_beginning_of_a_script_does_anything(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    text = wrap(f"touch {trace}\ncat >>{trace} <<'END'\n}}\nEND\nexit 0", "m")
    shell = ["/bin/sh", "-s"]

    def traces(end: int) -> bool:
        subprocess.run(shell, input=text[:end].encode(), capture_output=True, check=False)
        return trace.exists()

    whole = len(text) - 1  # all but the newline
    assert not any(traces(end) for end in range(whole))
    assert traces(whole)


def test_sudo_that_wants_a_password_is_told_from_a_script_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "shell", lambda _user: "sudo -n -- /bin/sh -s")
    sudo = tmp_path / "sudo"
    with serve(tmp_path / "sshd", env=[f"PATH={tmp_path}:/usr/bin:/bin"]) as server:
        transport = connect(server.host())
        with pytest.raises(CommandFailed, match="not found") as missing:
            transport.run("exit 1")
        assert missing.value.status == 127
        sudo.write_text('#!/bin/sh\necho "sudo: a password is required" >&2; exit 1\n')
        sudo.chmod(0o755)
        with pytest.raises(CommandFailed, match=r"h1: sudo .*a password is required") as refused:
            transport.run("echo never")
        assert "NOPASSWD" in refused.value.hint
        sudo.write_text('#!/bin/sh\necho "sudo: sorry, you must have a tty to run sudo" >&2; exit 1\n')
        with pytest.raises(CommandFailed, match=r"h1: sudo .*must have a tty") as refused:
            transport.run("echo never")
        assert "!requiretty" in refused.value.hint
        sudo.write_text('#!/bin/sh\nshift 2; exec "$@"\n')
        assert transport.run("echo 'sudo: a password is required' >&2; exit 1").status == 1
        transport.close()


def test_a_login_shell_that_runs_nothing_is_a_refusal(tmp_path: Path) -> None:
    with serve(tmp_path / "sshd", "ForceCommand echo This account is currently not available.") as server:
        transport = connect(server.host())
        with pytest.raises(CommandFailed, match="This account is currently not available") as refused:
            transport.run("echo never")
        assert "login shell" in refused.value.hint
        transport.close()


def test_only_root_needs_no_sudo() -> None:
    assert connection.shell("root") == "/bin/sh -s"
    assert connection.shell("centos") == "sudo -n -- /bin/sh -s"


def test_sixteen_hosts_at_once(sshd: Sshd) -> None:
    def ask(number: int) -> str:
        transport = connect(sshd.host())
        try:
            return transport.run(f"echo {number}").stdout
        finally:
            transport.close()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == [f"{number}\n" for number in range(16)]


def test_more_threads_than_sshd_has_sessions_wait_for_each_other(host: Transport) -> None:
    """MaxSessions is 10 by default: a refused channel would be taken for a lost connection."""
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: host.run(f"sleep 0.2; echo {number}"), range(16)))
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(16)]


def test_a_script_takes_the_shell_that_was_opened_ahead(host: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[paramiko.Channel] = []
    open_session = paramiko.Transport.open_session

    def counted(transport: paramiko.Transport, *args: Any, **kwargs: Any) -> paramiko.Channel:  # noqa: ANN401
        opened.append(open_session(transport, *args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(paramiko.Transport, "open_session", counted)
    for _ in range(2):
        host.prepare()
    assert [host.run("echo it").stdout for _ in range(2)] == ["it\n"] * 2
    assert len(opened) == 2
    assert host.run("echo it").stdout == "it\n"
    assert len(opened) == 3


def test_a_shell_that_ended_while_it_waited_is_opened_again(tmp_path: Path) -> None:
    once = tmp_path / "once"
    once.write_text(f'#!/bin/sh\nmkdir {tmp_path}/flag 2>/dev/null && exit 1\neval "$SSH_ORIGINAL_COMMAND"\n')
    once.chmod(0o755)
    with serve(tmp_path / "sshd", f"ForceCommand {once}") as server:
        transport = connect(server.host())
        assert isinstance(transport, SshTransport)
        transport.prepare()
        while transport._ahead[0].result(10).waits:
            time.sleep(0.01)
        assert transport.run("echo it") == Result(0, "it\n", "")
        transport.close()


def test_a_shell_that_is_refused_ahead_is_opened_when_it_is_needed(tmp_path: Path) -> None:
    with serve(tmp_path / "sshd", "MaxSessions 2") as server:
        transport = connect(server.host())
        assert isinstance(transport, SshTransport)
        for _ in range(3):
            transport.prepare()
        for ahead in transport._ahead:
            ahead.exception(10)
        transport._ahead.rotate(1)  # the refused one may be the first to be taken
        assert [transport.run(f"echo {number}").stdout for number in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
        transport.close()
