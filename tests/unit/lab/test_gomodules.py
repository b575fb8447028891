from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import LabError
from k8s_installer.lab import gomodules
from k8s_installer.lab.artifacts import data_folder

MAIN = """\
	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/awsvpc"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
)
"""


def test_of_flannels_backends_those_asked_for_stay() -> None:
    assert gomodules.only_backends(MAIN, ("hostgw", "vxlan")) == MAIN.replace(
        '\t_ "github.com/flannel-io/flannel/pkg/backend/awsvpc"\n', ""
    )


def test_a_backend_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match="no backend udp"):
        gomodules.only_backends(MAIN, ("vxlan", "udp"))


@pytest.mark.parametrize(
    ("name", "module"), [("coredns", "github.com/coredns/coredns"), ("flannel", "github.com/flannel-io/flannel")]
)
def test_every_module_is_pinned_by_its_sum(name: str, module: str) -> None:
    folder = data_folder() / "go" / name
    version = gomodules.required(folder / "go.mod", module)
    assert f"{module} {version} h1:" in (folder / "go.sum").read_text()


def test_a_go_mod_without_the_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module a\n\nrequire b v1.0.0\n")
    with pytest.raises(LabError, match="does not require c"):
        gomodules.required(tmp_path / "go.mod", "c")


def test_the_proxy_is_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Go on the machine, its settings are read by the one that was unpacked."""
    go = tmp_path / "bin/go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\n[ "$*" = "env GOPROXY" ] && echo "$GOPROXY"\n')
    go.chmod(0o755)
    monkeypatch.setenv("GOPROXY", "file:///somewhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert gomodules.module_proxy(str(tmp_path)) == "file:///somewhere"
