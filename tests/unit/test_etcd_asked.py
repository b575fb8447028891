"""How a host asks its own etcd for the members and its status: two answers of one curl, of any gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.host import etcd
from k8s_installer.model.resources import SeenSetting
from tests.unit.test_host_settings import put, seen
from tests.unit.test_perform import program

CONFIG = "/etc/etcd/etcd.conf"
QUESTION = etcd.question(CONFIG, etcd.Endpoint("https://127.0.0.1:2379", "/ca.crt", "/c.crt", "/c.key"))
LIST, STATUS = '{"members":[{"ID":"7"}]}', '{"raftIndex":"9"}'
ERROR = '{"error":"etcdserver: request timed out","code":14}'
TIMED_OUT = "curl: (28) Operation timed out"


def answer(folder: Path, curl: str) -> str:
    """What a host's answer is where `curl` is this script; it has `url` for each of its URLs."""
    (folder / "bin").mkdir()
    put(folder, CONFIG.lstrip("/"), "")
    loop = f'for url do\ncase $url in https://*) ;; *) continue ;; esac\n{curl}\ndone\nexit "${{status-0}}"'
    note = f"{{ printf '%s ' \"$@\"; echo; }} >>{folder}/calls"
    program(folder / "bin", "curl", f"{note}\n{loop}")
    (found,) = seen(folder, QUESTION)
    return found.value if isinstance(found, SeenSetting) else ""


def calls(folder: Path) -> list[list[str]]:
    """The paths of each call."""
    lines = (folder / "calls").read_text().splitlines()
    return [[word.split("2379/")[1] for word in line.split() if word.startswith("https://")] for line in lines]


@pytest.mark.parametrize(
    ("gateways", "prefix", "asked"),
    [("v3 v3beta", "v3", 1), ("v3beta v3alpha", "v3beta", 2), ("v3alpha", "v3alpha", 3)],
)
def test_both_answers_come_from_the_first_gateway_there_is(
    tmp_path: Path, gateways: str, prefix: str, asked: int
) -> None:
    lines = "\n".join(
        f"*/{one}/cluster/member/list) echo '{LIST}' ;;\n*/{one}/maintenance/status) echo '{STATUS}' ;;"
        for one in gateways.split()
    )
    assert (
        answer(tmp_path, f"case $url in {lines}\n*) echo '404 page not found' ;; esac") == f"{prefix}|{LIST}|{STATUS}"
    )
    assert calls(tmp_path)[-1] == [f"{prefix}/cluster/member/list", f"{prefix}/maintenance/status"]
    assert len(calls(tmp_path)) == asked


@pytest.mark.parametrize("path", ["list", "status"])
def test_an_error_of_etcd_is_an_answer(tmp_path: Path, path: str) -> None:
    said = answer(
        tmp_path,
        f"case $url in *{path}) echo '{ERROR}' ;; *list) echo '{LIST}' ;; *) echo '{STATUS}' ;; esac",
    )
    error = ERROR.replace(" ", "")
    assert said == (f"v3|{error}|{STATUS}" if path == "list" else f"v3|{LIST}|{error}")


@pytest.mark.parametrize("failing", ["list", "status"])
def test_where_one_answer_is_missing_there_is_none_and_no_other_gateway_is_asked(tmp_path: Path, failing: str) -> None:
    """curl's status is that of the last URL, and its words come before what it has read."""
    ends = "status=28" if failing == "status" else ":"
    said = answer(
        tmp_path,
        f"case $url in *{failing}) echo '{TIMED_OUT}' >&2; echo; {ends} ;; *list) echo '{LIST}' ;; "
        f"*) echo '{STATUS}' ;; esac",
    )
    assert said == ""
    assert len(calls(tmp_path)) == 1
