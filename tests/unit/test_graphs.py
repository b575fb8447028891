"""`graph`: the same picture in each form, on stdout or in a file, and one message for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.pure import answers
from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import HostError, HostsError, InputError, InstallerError, TransportError
from k8s_installer.flows import graph, preflight, status
from k8s_installer.flows.report import report
from k8s_installer.flows.session import Session
from k8s_installer.flows.status import Looked
from k8s_installer.model.plan import Plan
from k8s_installer.planning.turns import QUARTER
from k8s_installer.preflight import Preflight
from k8s_installer.status import Status
from k8s_installer.status.hardening import Verdict
from tests.unit.test_cli import TEN_LINES, installer
from tests.unit.test_flows import MOTD, Fleet, cluster

__all__ = ["cluster"]

REPO = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(TEN_LINES)
    return tmp_path


@pytest.mark.parametrize(
    ("form", "begins"),
    [("mermaid", "flowchart LR\n"), ("dot", 'digraph "'), ("svg", "<svg xmlns="), ("json", '{\n  "cluster"')],
)
def test_a_picture_goes_to_stdout_in_each_form(form: str, begins: str, folder: Path) -> None:
    done = installer("graph", "cluster", "-i", "cluster.yaml", "-o", form, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(begins)
    assert "kube-apiserver" in done.stdout


def test_json_has_every_connection_with_both_certificates(folder: Path) -> None:
    found = json.loads(installer("graph", "cluster", "-i", "cluster.yaml", "-o", "json", folder=folder).stdout)
    assert {"client", "server", "port", "certificate", "server_certificate", "check"} <= found["connections"][0].keys()
    assert found["drawing"]["boxes"]


def test_the_ending_of_a_file_says_its_form(folder: Path) -> None:
    done = installer("graph", "cluster", "-i", "cluster.yaml", "-o", "made/cluster.SVG", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote made/cluster.SVG\n")
    assert ET.parse(folder / "made/cluster.SVG").getroot().tag.endswith("svg")  # noqa: S314 - ours


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "cluster.pdf",
            "error: -o cluster.pdf: no such form\n  -o mermaid|dot|svg|json, or a file that ends in .mmd, .mermaid, .dot, .gv, .svg, .json\n",
        ),
        ("folder.svg", "error: cannot write folder.svg: it is a folder\n  give the name of a file\n"),
        ("cluster.svg/x.svg", "error: cannot write cluster.svg/x.svg: File exists\n"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_message(output: str, message: str, folder: Path) -> None:
    (folder / "folder.svg").mkdir()
    (folder / "cluster.svg").write_text("")
    done = installer("graph", "cluster", "-i", "cluster.yaml", "-o", output, folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_the_inventory_is_not_overwritten(folder: Path) -> None:
    (folder / "cluster.json").symlink_to("cluster.yaml")
    done = installer("graph", "cluster", "-i", "cluster.yaml", "-o", "cluster.json", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is the inventory" in done.stderr
    assert (folder / "cluster.yaml").read_text() == TEN_LINES


def test_no_host_is_asked_for_a_form_that_there_is_none_of(folder: Path) -> None:
    done = installer("graph", "plan", "-i", "cluster.yaml", "-o", "plan.pdf", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such form" in done.stderr


def test_the_picture_of_the_documentation_is_what_the_command_draws() -> None:
    done = installer("graph", "cluster", "-i", "inventories/quick-start.yaml", "-o", "svg", folder=REPO)
    assert done.stdout == (REPO / "docs/cluster.svg").read_text(), (
        "k8s-installer graph cluster -i inventories/quick-start.yaml -o docs/cluster.svg"
    )


@pytest.mark.parametrize("command", ["cluster", "plan"])
def test_every_command_shows_an_example(command: str, folder: Path) -> None:
    done = installer("graph", command, "--help", folder=folder)
    assert f"k8s-installer graph {command} -i cluster.yaml" in " ".join(done.stdout.split())


def test_a_plan_is_drawn_from_what_hosts_have(cluster: Fleet, tmp_path: Path) -> None:
    found = graph.pending(cluster.inputs, cluster.recorder, QUARTER)
    assert found.drawing.title == "Plan for lab: no changes"
    graph.save(tmp_path / "plan.mmd", found)
    assert (tmp_path / "plan.mmd").read_text().startswith("flowchart TB\n")
    assert MOTD.name not in (tmp_path / "plan.mmd").read_text()


def test_a_file_needs_an_ending() -> None:
    with pytest.raises(InputError, match="no such form"):
        graph.form_of("plan")


def test_options_without_a_picture_draw_the_cluster(folder: Path) -> None:
    done = installer("graph", "-i", "cluster.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == installer("graph", "cluster", "-i", "cluster.yaml", folder=folder).stdout
    assert "Commands" in installer("graph", "--help", folder=folder).stdout


def test_a_report_has_a_name_of_its_own(folder: Path) -> None:
    done = installer("report", "-i", "cluster.yaml", "--offline", folder=folder)
    assert (done.returncode, done.stderr) == (0, "wrote report.html\n")
    assert (folder / "report.html").is_file()


def test_a_report_without_hosts_is_a_page(folder: Path) -> None:
    done = installer("report", "-i", "cluster.yaml", "-o", "made/report.html", "--offline", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote made/report.html\n")
    text = (folder / "made/report.html").read_text()
    assert text.startswith("<!DOCTYPE html>\n")
    assert "No host was asked" in text
    assert not (folder / ".k8s-installer").exists()


def test_a_report_is_data_too(folder: Path) -> None:
    done = installer("report", "-i", "cluster.yaml", "-o", "json", "--offline", folder=folder)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["asked"], found["last_run"], found["certificates"]["certificates"]) == (False, None, [])
    assert {item["id"] for item in found["hardening"]} > {"1.2.1", "4.2.1"}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("report.pdf", "error: -o report.pdf: no such form\n  -o FILE.html, or -o json\n"),
        ("folder.html", "error: cannot write folder.html: it is a folder\n  give the name of a file\n"),
    ],
)
def test_a_report_that_cannot_be_written_asks_no_host(output: str, message: str, folder: Path) -> None:
    (folder / "folder.html").mkdir()
    done = installer("report", "-i", "cluster.yaml", "-o", output, folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_the_report_shows_an_example(folder: Path) -> None:
    done = installer("report", "--help", folder=folder)
    assert "k8s-installer report -i cluster.yaml -o report.html" in " ".join(done.stdout.split())


def looked(session: Session, unreachable: dict[str, HostError]) -> Looked:
    """Hosts that have what is wanted, or do not answer."""
    wanted = session.resolve()
    seen = answers({ref: item for ref, item in wanted.desired.items() if ref.host not in unreachable})
    return Looked(Status((), unreachable), wanted, ObservedFleet({}, {}, seen, unreachable, {}))


@pytest.mark.parametrize("down", [False, True])
def test_one_look_is_enough_for_all_parts(cluster: Fleet, monkeypatch: pytest.MonkeyPatch, *, down: bool) -> None:
    unreachable: dict[str, HostError] = (
        {"n1": TransportError("n1", "no answer", hint="see that it is up")} if down else {}
    )
    broken = InstallerError("no script", hint="")

    def check(_session: Session) -> Preflight:
        if down:
            raise broken
        return Preflight(("m1", "n1"), ())

    monkeypatch.setattr(status, "look_in", lambda session: looked(session, unreachable))
    monkeypatch.setattr(preflight, "check_in", check)
    known = report(cluster.inputs, cluster.recorder)
    assert known.live is not None
    assert {item.verdict for item in known.judged if item.host == "n1"} == (
        {Verdict.UNKNOWN} if down else {Verdict.PASS, Verdict.FAIL}
    )
    assert known.last_run is None
    if down:
        assert isinstance(known.live.plan, HostsError)
        assert known.live.preflight is broken
    else:
        assert known.live.plan == Plan((), ())
        assert known.live.preflight == Preflight(("m1", "n1"), ())
    assert known.live.picture == ""
    assert not [line for line in cluster.recorder.heard if line.startswith(("locked", "plan"))]
