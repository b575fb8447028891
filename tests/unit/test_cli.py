"""The command line from outside: exit codes, streams, one clear message for each mistake, nothing touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from k8s_installer import __version__
from tests.unit.test_inventory import GOOD

HERE = str(Path(__file__).parents[2])  # this checkout, wherever the installed package is
TEN_LINES = GOOD.replace('"1.5.2"', '"1.20.2"')


def closing(stream: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same from a shell that closes one of its streams."""
    return installer(*arguments, folder=folder, through=("sh", "-c", f'exec "$@" {stream}', "sh"))


def installer(*arguments: str, folder: Path, through: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*through, sys.executable, "-m", "k8s_installer", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "140", "HOME": str(folder), "PYTHONPATH": HERE},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(TEN_LINES)
    return tmp_path


def test_the_version_is_printed(folder: Path) -> None:
    done = installer("--version", folder=folder)
    assert (done.returncode, done.stdout) == (0, f"k8s-installer {__version__}\n")


@pytest.mark.parametrize(
    "command",
    [
        "validate",
        "render",
        "explain",
        "preflight",
        "plan",
        "apply",
        "verify",
        "test",
        "rollback",
        "status",
        "certs status",
        "certs renew",
        "certs rotate ca add",
        "backup",
        "restore lab.backup",
    ],
)
def test_every_command_shows_an_example(command: str, folder: Path) -> None:
    done = installer(*command.split(), "--help", folder=folder)
    assert done.returncode == 0
    assert f"k8s-installer {command} -i cluster.yaml" in " ".join(done.stdout.split())


def test_explain_takes_flags_as_people_type_them(folder: Path) -> None:
    done = installer("explain", "--max-pods", "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("max-pods: a flag of kubelet (Kubernetes 1.20.2)\n")
    data = json.loads(installer("explain", "etcd", "-i", "cluster.yaml", "-o", "json", folder=folder).stdout)
    assert data["explanation"]["unit"] == "etcd"
    assert installer("explain", "etcd", folder=folder).stdout.startswith("etcd: the database")
    unknown = installer("explain", "kublet", folder=folder)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "did you mean kubelet?" in unknown.stderr


def test_a_valid_inventory_is_said_to_be_so(folder: Path) -> None:
    done = installer("validate", "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cluster.yaml: valid: Kubernetes 1.20.2 on 3 hosts (profile 1.20.2)\n"
    assert json.loads(installer("validate", "-i", "cluster.yaml", "-o", "json", folder=folder).stdout)["valid"] is True


@pytest.mark.parametrize(
    "command",
    [
        "validate", "render", "preflight", "plan", "apply --yes", "verify", "rollback --yes", "status",
        "certs status", "certs renew --yes", "certs rotate ca add --yes",
    ],
)  # fmt: skip
def test_a_mistake_is_exit_code_2_on_stderr_and_touches_nothing(command: str, folder: Path) -> None:
    (folder / "cluster.yaml").write_text(TEN_LINES.replace("max-pods", "max-podz"))
    done = installer(*command.split(), "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: cluster.yaml:8: kubelet has no flag max-podz in Kubernetes 1.20.2 (did you mean max-pods?)\n"
    )
    assert [path.name for path in folder.iterdir()] == ["cluster.yaml"]


def test_a_version_without_a_profile_is_told(folder: Path) -> None:
    (folder / "cluster.yaml").write_text(TEN_LINES.replace("1.20.2", "1.21.2"))
    done = installer("plan", "-i", "cluster.yaml", folder=folder)
    assert done.returncode == 2
    assert "cluster.yaml:3: unknown Kubernetes version 1.21.2" in done.stderr
    assert "did you mean 1.20.2?" in done.stderr


def test_a_profile_of_another_patch_version_is_told_of_in_one_line(folder: Path) -> None:
    (folder / "cluster.yaml").write_text(TEN_LINES.replace("1.20.2", "1.20.15"))
    note = "Kubernetes 1.20.15 uses the profile of 1.20 (its flags are 1.20.2's)"
    done = installer("validate", "-i", "cluster.yaml", folder=folder)
    assert done.stderr.splitlines() == [note]
    data = json.loads(installer("validate", "-i", "cluster.yaml", "-o", "json", folder=folder).stdout)
    assert data == {
        "valid": True,
        "findings": [],
        "version": "1.20.15",
        "profile": "1.20.2",
        "notes": [note],
        "addons": [],
    }
    assert installer("render", "-i", "cluster.yaml", "-o", "out", folder=folder).stderr.splitlines()[0] == note
    for command in ("plan", "apply --yes"):  # and stop at the templates, before any host is asked
        done = installer(*command.split(), "-i", "cluster.yaml", "--templates", "none", folder=folder)
        assert done.stderr.splitlines() == [note, "error: --templates: there is no folder none"]


def test_a_template_with_a_mistake_is_told_before_any_key_is_made(folder: Path) -> None:
    (folder / "templates" / "kubernetes").mkdir(parents=True)
    (folder / "templates" / "kubernetes" / "proxy.j2").write_text("# mine\n{{ variabels.KUBE_PROXY_ARGS }}\n")
    done = installer("plan", "-i", "cluster.yaml", folder=folder)
    assert done.returncode == 2
    assert "kubernetes/proxy.j2:2" in done.stderr
    assert "variabels" in done.stderr
    assert not (folder / ".k8s-installer").exists()


@pytest.mark.parametrize("command", ["apply", "certs renew", "certs rotate ca add"])
def test_without_a_terminal_apply_wants_yes(command: str, folder: Path) -> None:
    done = installer(*command.split(), "-i", "cluster.yaml", folder=folder)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not (folder / ".k8s-installer").exists()


@pytest.mark.parametrize(
    "command",
    [
        "apply --yes --limit", "apply --yes --only", "reset --yes --name lab --host", "certs status --host",
        "certs renew --yes --host", "certs renew --yes --component",
    ],
)  # fmt: skip
def test_an_empty_option_is_not_about_all_hosts(command: str, folder: Path) -> None:
    done = installer(*command.split(), "", "-i", "cluster.yaml", folder=folder)
    option = command.rsplit(maxsplit=1)[-1]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {option}: no name given\n  leave {option} out to mean all of them\n"
    assert [path.name for path in folder.iterdir()] == ["cluster.yaml"]


@pytest.mark.parametrize("command", ["validate -i cluster.yaml", "validate -i cluster.yaml -o json", "--help"])
def test_a_closed_stdout_is_told_in_one_message(command: str, folder: Path) -> None:
    done = closing(">&-", *command.split(), folder=folder)
    assert (done.returncode, done.stderr) == (2, "error: stdout is closed\n  to throw results away, use >/dev/null\n")


def test_a_closed_stdin_is_no_terminal(folder: Path) -> None:
    done = closing("<&-", "apply", "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: there is no terminal to ask on")


def test_a_closed_stderr_costs_the_message_alone(folder: Path) -> None:
    done = closing("2>&-", "validate", "-i", "none.yaml", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read plan.json: No such file or directory"),
        ("", "plan.json: not a saved plan"),
        ('{"format": 1, "lines"', "plan.json: not a saved plan"),
        ("[1]", "plan.json: not a saved plan"),
    ],
)
def test_a_plan_that_cannot_be_read_is_told_before_a_host_is_asked(
    content: str | None, words: str, folder: Path
) -> None:
    if content is not None:
        (folder / "plan.json").write_text(content)
    done = installer("apply", "plan.json", "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"error: {words}")
    assert not (folder / ".k8s-installer").exists()


@pytest.mark.parametrize("output", ["out", "."])
@pytest.mark.parametrize(("command", "what"), [("plan", "plan"), ("bundle create --repo file:///none", "bundle")])
def test_a_folder_as_the_file_to_write_is_told_first(command: str, what: str, output: str, folder: Path) -> None:
    (folder / "out").mkdir()
    done = installer(*command.split(), "-i", "cluster.yaml", "-o", output, folder=folder)
    words = f"error: cannot write the {what}: {output} is a folder\n  give the name of a file\n"
    assert (done.returncode, done.stderr) == (2, words)


@pytest.mark.parametrize("command", ["plan", "backup", "bundle create --repo file:///none"])
def test_the_inventory_is_not_overwritten(command: str, folder: Path) -> None:
    (folder / "link.yaml").symlink_to("cluster.yaml")
    for output in ("cluster.yaml", "link.yaml"):
        done = installer(*command.split(), "-i", "cluster.yaml", "-o", output, folder=folder)
        words = f"error: -o {output} is the inventory, which would be overwritten\n  give another file\n"
        assert (done.returncode, done.stderr) == (2, words)
    assert (folder / "cluster.yaml").read_text() == TEN_LINES


def test_rendered_files_are_written_without_keys(folder: Path) -> None:
    done = installer("render", "-i", "cluster.yaml", "-o", "out", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "--max-pods=50" in (folder / "out/n2/etc/kubernetes/kubelet").read_text()
    assert not list(folder.rglob(".k8s-installer"))
    assert not any(
        b"PRIVATE KEY-----\nM" in path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()
    )


def test_rendered_files_go_to_stdout_where_no_folder_is_given(folder: Path) -> None:
    done = installer("render", "-i", "cluster.yaml", "--host", "n2", folder=folder)
    assert "==> n2:/etc/kubernetes/kubelet <==" in done.stdout
    assert "==> n1:" not in done.stdout
    unknown = installer("render", "-i", "cluster.yaml", "--host", "n9", folder=folder)
    assert (unknown.returncode, unknown.stderr.splitlines()[0]) == (2, "error: --host: the inventory has no host n9")


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "out").write_text("a file")
    done = installer("render", "-i", "cluster.yaml", "-o", "out", folder=folder)
    assert done.returncode == 2
    assert "cannot write out/" in done.stderr


def test_preflight_makes_a_finding_of_hosts_that_cannot_be_reached_and_no_keys(folder: Path) -> None:
    text = re.sub(r"address: [\d.]+", "address: 127.0.0.2, ssh: {port: 1}", TEN_LINES, count=1)
    text = re.sub(
        r"(?m)^  n2: .*\n", "", re.sub(r"n1: {address: [\d.]+", "n1: {address: 127.0.0.3, ssh: {port: 1}", text)
    )
    (folder / "cluster.yaml").write_text(text)
    done = installer("preflight", "-i", "cluster.yaml", "-o", "json", folder=folder)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert [(item["id"], item["host"]) for item in found["findings"]] == [("unreachable", "m1"), ("unreachable", "n1")]
    shown = installer("preflight", "-i", "cluster.yaml", folder=folder).stdout
    assert shown.startswith("error   unreachable  m1: the installer cannot log in to the host")
    assert "2 hosts: 2 errors, 0 warnings." in shown
    assert not list(folder.rglob(".k8s-installer"))


def test_no_arguments_show_the_help(folder: Path) -> None:
    assert "validate" in installer(folder=folder).stdout + installer(folder=folder).stderr


FAULT = """
import k8s_installer.cli.app as app
def broken(): raise KeyError("token: 0123456789abcdef0123")
real, app.app = app.app, broken
if {debug}:
    app.app = lambda: (real(["--debug", "--version"], standalone_mode=False), broken())
app.main()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_ours_is_three_lines_and_a_file(folder: Path, *, debug: bool) -> None:
    done = installer(folder=folder, through=(sys.executable, "-c", FAULT.format(debug=debug)))
    assert done.returncode == 1
    *traceback, what, how, where = done.stderr.splitlines()
    assert what.startswith(f"error: k8s-installer {__version__} has a fault, at <string>:3: KeyError: ")
    assert how == "  if a run was changing hosts, it stopped there; the same command resumes it"
    kept = Path(where.removeprefix("  please report it with "))
    assert kept.parent == folder / ".local" / "state" / "k8s-installer" / "faults"
    assert (kept.stat().st_mode & 0o777, "Traceback (most recent call last)" in kept.read_text()) == (0o600, True)
    assert "0123456789abcdef" not in kept.read_text() + done.stderr
    assert bool(traceback) is debug


def test_a_fault_that_cannot_be_kept_shows_its_traceback(folder: Path) -> None:
    (folder / ".local").write_text("no folder")
    done = installer(folder=folder, through=(sys.executable, "-c", FAULT.format(debug=False)))
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.splitlines()[-1] == "  please report it with the traceback above"


@pytest.mark.parametrize("command", ["", "plan", "apply", "lab status", "certs renew"])
def test_every_command_says_less_or_more(command: str, folder: Path) -> None:
    shown = " ".join(installer(*command.split(), "--help", folder=folder).stdout.split())
    for option in ("--quiet", "-q", "--verbose", "-v", "--debug"):
        assert option in shown


@pytest.mark.parametrize("arguments", ["-q validate -i cluster.yaml", "validate -q -i cluster.yaml"])
def test_quiet_leaves_results_and_errors(arguments: str, folder: Path) -> None:
    (folder / "cluster.yaml").write_text(TEN_LINES.replace("1.20.2", "1.20.15"))
    done = installer(*arguments.split(), folder=folder)
    assert (done.returncode, done.stderr) == (0, "")  # the note about the profile
    assert done.stdout.startswith("cluster.yaml: valid: ")
    (folder / "cluster.yaml").write_text(TEN_LINES.replace("max-pods", "max-podz"))
    assert "error: cluster.yaml:8: " in installer(*arguments.split(), folder=folder).stderr
