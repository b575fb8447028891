"""Tables of many hosts and of narrow terminals."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from k8s_installer.errors import TransportError
from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Kind, Ref
from k8s_installer.report import columns, status
from k8s_installer.status import ComponentStatus, Difference, Health, Status

HEADER = ("host", "component", "state", "files")


def row(*cells: str) -> columns.Row:
    return tuple(map(Text, cells))


ROWS = [
    row("n1", "kubelet", "running 2026-11-27 03:10:00", "8/8"),
    row("n1", "docker", "-", "-"),
    row("n2", "kubelet", "running 2026-11-27 03:15:00", "8/8"),
    row("n3", "kubelet", "running 2026-11-27 03:12:00", "7/8"),
]


def test_rows_of_one_host_stand_together_on_a_narrow_terminal() -> None:
    rows = [row("n1", "a", "x" * 30, "-"), row("n2", "b", "-", "-"), row("n1", "c", "-", "-")]
    assert [line.plain for line in columns.lines(HEADER, rows, 20)].count("n1") == 1


def lines(width: int | None) -> list[str]:
    return [line.plain for line in columns.lines(HEADER, ROWS, width)]


def test_cells_stand_in_columns_where_these_fit() -> None:
    wanted = [
        "host  component  state                        files",
        "n1    kubelet    running 2026-11-27 03:10:00  8/8",
        "n1    docker     -                            -",
        "n2    kubelet    running 2026-11-27 03:15:00  8/8",
        "n3    kubelet    running 2026-11-27 03:12:00  7/8",
    ]
    assert lines(None) == lines(51) == wanted


def test_a_narrow_terminal_gets_a_paragraph_for_each_row() -> None:
    assert lines(50) == [
        "n1",
        "  kubelet: state running 2026-11-27 03:10:00, files 8/8",
        "  docker",
        "n2",
        "  kubelet: state running 2026-11-27 03:15:00, files 8/8",
        "n3",
        "  kubelet: state running 2026-11-27 03:12:00, files 7/8",
    ]


def test_rows_that_differ_in_the_host_and_in_times_are_one_with_the_latest() -> None:
    assert [[cell.plain for cell in one] for one in columns.shared(ROWS)] == [
        ["n1, n2", "kubelet", "running 2026-11-27 03:15:00", "8/8"],
        ["n1", "docker", "-", "-"],
        ["n3", "kubelet", "running 2026-11-27 03:12:00", "7/8"],
    ]


def found(count: int) -> Status:
    def of(host: str) -> ComponentStatus:
        ref = Ref(host, Kind.FILE, "/etc/kubernetes/proxy")
        differs = (
            (Difference(ref, "kube-proxy", Action.UPDATE, "the content differs"),)
            if host in ("n1", "n2", "n3", "n9")
            else ()
        )
        health = (Health("kube-proxy is healthy", host, "kube-proxy", host != "n2", "refused"),)
        return ComponentStatus(host, "kube-proxy", (), None, (), None, health, differs)

    hosts = [f"n{number}" for number in range(1, count + 1)]
    return Status(tuple(map(of, hosts)), {hosts[-1]: TransportError(hosts[-1], "no route", hint="check it")})


def table(count: int, *, full: bool = False) -> list[str]:
    shown = status.table(found(count), Path("c.yaml"), full=full)
    return [str(line) for line in shown.renderables]


def test_many_hosts_share_rows_and_what_is_wrong() -> None:
    assert table(40)[1:4] == [
        "n1, n3 to n39  kube-proxy  -        -                   -      -             ok",
        "n2             kube-proxy  -        -                   -      -             bad",
        "n40            -           -        unreachable         -      -             -",
    ]
    assert table(40)[5:8] == [
        "n40: no route",
        "n1 to n3, n9: file /etc/kubernetes/proxy: the content differs",
        "n2: kube-proxy is healthy: failed: refused",
    ]
    assert len(table(40, full=True)) == len(table(40)) + 37 + 3
    assert "n2    kube-proxy" in table(12)[2]


def test_a_host_without_anything_of_ours_is_one_line() -> None:
    path = "/etc/kubernetes/kubelet"
    absent = Difference(Ref("n1", Kind.FILE, path), "kubelet", Action.CREATE, "missing")
    health = Health("the kubelet is healthy", "n1", "kubelet", holds=False, words="curl: (7) refused")
    bare = ComponentStatus("n1", "kubelet", (), None, (path,), None, (health,), (absent,))
    assert "\nn1: nothing is installed\n\nNext" in shown(bare)
    (only,) = status.table(Status((bare,), {}), Path("cluster.yaml"), quiet=True).renderables
    assert str(only) == "n1: nothing is installed"
    part = ComponentStatus("n1", "docker", (), None, ("/etc/sysconfig/docker",), None, (), ())
    assert "nothing is installed" not in shown(bare, part)
    assert "curl: (7) refused" in shown(bare, part)


def shown(*items: ComponentStatus) -> str:
    made = status.table(Status(items, {}), Path("cluster.yaml"))
    return "\n".join(line.plain for line in made.renderables if isinstance(line, Text))
