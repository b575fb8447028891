"""What `apply` asks before it installs: whom, what it says, and when it stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s_installer import preflight
from k8s_installer.cli.console import Output
from k8s_installer.cli.terminal import Terminal
from k8s_installer.engine.fleet import Connections
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.preflight import before_install
from k8s_installer.flows.resolve import Resolved, resolve
from k8s_installer.flows.session import Session
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Missing
from k8s_installer.planning.make import make_plan
from k8s_installer.transport import Line, Result
from tests.unit.test_inventory import GOOD

TEXT = GOOD.replace('"1.5.2"', '"1.20.2"')
FIT = """\
clock 1000.0
os ID=centos
os VERSION_ID=7
systemd 219
kernel 3.10.0-1160.el7.x86_64
machine x86_64
memory 8388608 kB
cpus 4
hostname {name}
resolves
address 2: eth0    inet {address}/24 brd 10.77.0.255 scope global eth0
{links}
yum-status 0
yum Available Packages
yum {packages}
{more}
end-of-preflight
"""


class Answering:
    """A way to a host that fits, but for one more line."""

    def __init__(self, needs: preflight.Needs, more: str = "") -> None:
        self.host, self.scripts = needs.host.name, list[str]()
        self._text = FIT.format(
            name=self.host,
            address=needs.host.address,
            links="\n".join(f"reach {link.address} {link.port} 1 Connection refused" for link in needs.links),
            packages=" ".join(
                f"{name}.x86_64 {version or '1.0'}-1.el7 lab" for name, version in needs.packages.items()
            ),
            more=more,
        )

    def run(self, script: str, *, timeout: float = 60.0, on_line: Callable[[str], None] | None = None) -> Result:
        self.scripts.append(script)
        for line in self._text.splitlines():
            if on_line is not None:
                on_line(line)
        return Result(0, self._text, "")


@pytest.fixture
def wanted(tmp_path: Path) -> Resolved:
    (tmp_path / "cluster.yaml").write_text(TEXT)
    return resolve(tmp_path / "cluster.yaml", None, None)


def asked(wanted: Resolved, on: set[str], more: str = "", output: Output = Output.TEXT) -> tuple[bool, dict[str, int]]:
    """Whether an apply that installs on some hosts may go on, and how many scripts each host got."""
    plan = make_plan(wanted.desired, dict.fromkeys(wanted.desired, Missing.ABSENT))
    changes = tuple(change for change in plan.changes if change.ref.host in on or change.action is not Action.INSTALL)
    needs = preflight.needs(wanted.cluster, wanted.profile, wanted.desired)
    ways = {name: Answering(need, more if name == "n2" else "") for name, need in needs.items()}
    lines: dict[str, Line] = dict(ways)  # type: ignore[arg-type]
    with ThreadPoolExecutor() as pool:
        terminal = Terminal(Path("c.yaml"), output)
        session = Session(
            Inputs(Path("c.yaml")), wanted.cluster, wanted.profile, Connections(pool, lines), terminal, {}
        )
        fits, seconds = before_install(session, wanted, {}, Plan(changes, ()))
    assert (seconds > 0) is bool(on)
    return fits, {name: len(way.scripts) for name, way in ways.items() if way.scripts}


def test_where_no_package_is_missing_nobody_is_asked(wanted: Resolved) -> None:
    assert asked(wanted, set()) == (True, {})


def test_a_bootstrap_asks_every_host_once(wanted: Resolved, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(wanted, {"m1", "n1", "n2"}) == (True, {"m1": 1, "n1": 1, "n2": 1})
    out, err = capsys.readouterr()
    assert out == ""
    assert "warning" not in err


def test_a_new_host_is_asked_and_the_master_as_its_witness(wanted: Resolved) -> None:
    assert asked(wanted, {"n2"}) == (True, {"m1": 1, "n2": 1})


def test_a_warning_is_shown_and_stops_nothing(wanted: Resolved, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(wanted, {"n2"}, "enforcing", Output.JSON)[0]
    out, err = capsys.readouterr()
    assert out == ""
    assert "SELinux is enforcing" in err
    assert "Next" not in err


def test_an_error_stops_before_anything_is_changed(wanted: Resolved, capsys: pytest.CaptureFixture[str]) -> None:
    assert not asked(wanted, {"n2"}, "no-module overlay")[0]
    out, err = capsys.readouterr()
    assert out == ""
    assert "module  n2: the kernel lacks a module" in err
    assert "nothing was changed; fix the errors, then: k8s-installer apply -i c.yaml" in err
    assert "--no-preflight" in err


def test_programs_get_what_stopped_it(wanted: Resolved, capsys: pytest.CaptureFixture[str]) -> None:
    assert not asked(wanted, {"n2"}, "no-module overlay", Output.JSON)[0]
    found = json.loads(capsys.readouterr().out)["preflight"]
    assert (found["passed"], found["hosts"]) == (False, ["n2"])
    assert [item["id"] for item in found["findings"]] == ["module"]
