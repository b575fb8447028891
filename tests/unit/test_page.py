"""The report: one page that loads nothing, runs nothing and escapes everything; its timeline, and its data."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pure import answers
from k8s_installer import profiles
from k8s_installer.desired import desire
from k8s_installer.desired.connections import connections
from k8s_installer.drawing import STYLE, svg
from k8s_installer.drawing import cluster as of_cluster
from k8s_installer.drawing import plan as of_plan
from k8s_installer.errors import InstallerError, Lost, LostError, TransportError
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Kind, Missing, Ref, SeenFile
from k8s_installer.model.rotation import Step
from k8s_installer.pki.validity import Facts
from k8s_installer.planning.make import make_plan
from k8s_installer.preflight import CHECKS, Finding, Preflight, Severity
from k8s_installer.render import Renderer
from k8s_installer.report.document import document
from k8s_installer.report.known import Known, Live
from k8s_installer.report.page import page
from k8s_installer.report.timeline import Timeline, timeline
from k8s_installer.runs.journal import Past
from k8s_installer.status import Certificate, ComponentStatus, Difference, Evidence, Health, Session, Status
from k8s_installer.status.certificates import CertificatesStatus, CertificateStatus
from k8s_installer.status.hardening import judge
from tests.unit.clusters import cluster, placeholder

EVIL = "\"'><script>alert(1)</script>&amp;\u202e\x1b[2J"
SHOWN = "\"'><script>alert(1)</script>&amp;\\u202e\\x1b[2J"
NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
CHECK = next(iter(CHECKS))


class Page(HTMLParser):
    """What is in a page: tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def event(
    second: float, state: object = "done", index: object = 1, host: str = "m1", component: str = "etcd", **more: object
) -> Mapping[str, Any]:
    time = (NOW + dt.timedelta(seconds=second)).isoformat()
    return {
        "word": "change",
        "time": time,
        "state": state,
        "index": index,
        "host": host,
        "component": component,
        **more,
    }


def past(*lines: Mapping[str, Any]) -> Past:
    return Past("20260301T120000Z", {}, lines)


def offline(version: str = "1.20.2", security: str = "tls", **more: object) -> Known:
    lab = cluster(version, security)
    profile = profiles.profile_of(lab)
    wanted = desire(lab, profile, placeholder(lab), Renderer())
    all_of_them = connections(lab, profile)
    roles = {host.name: frozenset(map(str, host.roles)) for host in lab.hosts}
    known = Known(
        lab, Path("cluster.yaml"), NOW, all_of_them, svg(of_cluster.drawing(lab, profile, all_of_them), "c", alone=False),
        judge(wanted, profile.fitting(lab), roles, None), CertificatesStatus((), {}), None, None,
    )  # fmt: skip
    return replace(known, **more)  # type: ignore[arg-type]


def live(**more: object) -> Live:
    """An edit of a file by hand, and nothing else."""
    lab = cluster()
    wanted = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    seen = answers(wanted)
    for host in ("n1", "n2"):
        ref = Ref(host, Kind.FILE, "/etc/kubernetes/proxy")
        was = seen[ref]
        assert isinstance(was, SeenFile)
        seen[ref] = replace(was, sha256="0" * 64, content=b'KUBE_PROXY_ARGS="--v=1"\n# ' + EVIL.encode())
    plan = make_plan(wanted, seen)
    picture = svg(of_plan.drawing(lab, plan), "p", alone=False)
    return replace(Live(Status((), {}), plan, picture, Preflight(("m1",), ())), **more)  # type: ignore[arg-type]


def evil() -> Known:
    """Whatever others may have written is hostile."""
    item = ComponentStatus(
        EVIL, EVIL, (), None, (EVIL,), Certificate(EVIL, 0.0, 1), (Health(EVIL, EVIL, EVIL, holds=False, words=EVIL),),
        (Difference(Ref(EVIL, Kind.FILE, EVIL), EVIL, None, EVIL, Evidence(EVIL, 1.0, 2.0, EVIL, (Session(EVIL, EVIL, 0, 1),))),),
    )  # fmt: skip
    down = TransportError("n1", EVIL, hint=EVIL)
    status = Status(
        (item, replace(item, host="n1")), {"n1": down}, (LostError(next(iter(Lost)), (EVIL,), EVIL, hint=EVIL),)
    )
    found = Preflight(
        (EVIL,), (Finding(CHECK, Severity.ERROR, EVIL, EVIL, EVIL), Finding(CHECK, Severity.WARNING, "n1", EVIL, EVIL))
    )
    facts = Facts(EVIL, EVIL, (EVIL,), EVIL, NOW, NOW)
    known = offline(
        certificates=CertificatesStatus((CertificateStatus(EVIL, EVIL, EVIL, facts, EVIL, -1, (EVIL,), (EVIL,), differs=True),), {}, {EVIL: Step.ADD}),
        last_run=timeline(past(event(0, "running", host=EVIL, component=EVIL), event(1, "failed", host=EVIL, component=EVIL, action=EVIL, name=EVIL, detail=EVIL), {"word": "end", "result": EVIL})),
        live=live(status=status, preflight=found),
        inventory=Path(EVIL),
    )  # fmt: skip
    hosts = tuple(replace(host, name=EVIL) for host in known.cluster.hosts)
    lab = replace(known.cluster, name=EVIL, hosts=hosts)
    drawn = of_cluster.drawing(lab, profiles.profile_of(cluster()), connections(lab, profiles.profile_of(cluster())))
    judged = tuple(replace(one, host=EVIL, evidence=EVIL) for one in known.judged)
    return replace(known, cluster=lab, judged=judged, picture=svg(drawn, "c", alone=False))


def pages() -> dict[str, str]:
    run = timeline(past(event(0, "running"), event(2.5), {"word": "end", "result": "done", "time": event(3)["time"]}))
    broken = InstallerError("the journal is damaged", hint="remove it")
    return {
        "offline": page(offline(), STYLE),
        "insecure": page(offline("1.5.2", "insecure"), STYLE),
        "live": page(offline(live=live(), last_run=run), STYLE),
        "in line": page(offline(live=live(plan=Plan((), ()), picture="")), STYLE),
        "broken": page(offline(live=live(plan=broken, picture="", preflight=broken), last_run=broken), STYLE),
        "evil": page(evil(), STYLE),
    }


PAGES = pages()
every_page = pytest.mark.parametrize("text", PAGES.values(), ids=PAGES.keys())


@every_page
def test_a_page_loads_and_runs_nothing(text: str) -> None:
    found = Page(text)
    assert found.open == []
    assert not {tag for tag, _ in found.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "base",
        "use",
        "a:href",
    }
    for _, attributes in found.tags:
        assert not {
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        }
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in text
    assert "@import" not in text


@every_page
def test_the_policy_allows_the_pages_own_style_and_nothing_else(text: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    total = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(
        one["content"] for one in Page(text).having("meta") if one.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == f"default-src 'none'; style-src 'sha256-{total}'"


@every_page
def test_a_page_is_built_for_keyboards_and_screen_readers(text: str) -> None:
    found = Page(text)
    assert [tag for tag, _ in found.tags if tag in ("header", "nav", "main", "footer")] == [
        "header",
        "nav",
        "main",
        "footer",
    ]
    assert len(found.having("h1")) == 1
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(one.get("scope") in ("col", "row") for one in found.having("th"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in found.having("a"):
        assert (attributes["href"] or "").removeprefix("#") in ids
    for attributes in found.having("svg"):
        named = (attributes.get("aria-labelledby") or "").split()
        assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and {*named} <= {*ids})
    for attributes in found.having("div"):
        if attributes.get("class") == "scroll":
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]
    assert found.having("html") == [{"lang": "en"}]


def test_what_others_wrote_is_text() -> None:
    text = PAGES["evil"]
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert Page(text).text.count(SHOWN) > 40


def test_a_page_says_what_differs_and_what_apply_would_do() -> None:
    text = " ".join(Page(PAGES["live"]).text.split())
    assert (
        "n1, n2: update /etc/kubernetes/proxy (kube-proxy: the content differs)--- <name>:/etc/kubernetes/proxy" in text
    )
    assert "+KUBE_PROXY_ARGS=" in text
    assert "0.0 to 2.5" in text
    assert "took 3.0 s and ended: done" in text


def test_a_part_that_cannot_be_had_says_why() -> None:
    text = Page(PAGES["broken"]).text
    assert text.count("the journal is damaged") == 3
    assert "no plan is possible" in text


def test_no_host_was_asked() -> None:
    text = Page(PAGES["offline"]).text
    assert "No host was asked" in text
    assert "Preflight" not in text
    assert "This cluster has none" in Page(PAGES["insecure"]).text


def test_alike_items_are_said_once_for_their_hosts() -> None:
    text = " ".join(Page(PAGES["offline"]).text.split())
    assert "4.2.8failthe node has the host's own namen1, n2--hostname-override=(its name)" in text


def test_programs_get_the_same_as_data() -> None:
    data = json.loads(json.dumps(document(evil())))
    assert set(data) == {
        "cluster", "version", "inventory", "made_at", "asked", "hosts", "connections", "status", "plan", "preflight", "last_run",
        "certificates", "hardening",
    }  # fmt: skip
    assert data["cluster"] == EVIL
    assert data["last_run"]["cells"][0]["state"] == "failed"
    assert "status" not in document(offline())
    broken = InstallerError("no", hint="way")
    assert document(offline(last_run=broken))["last_run"] == {"error": "no", "hint": "way"}


def test_a_timeline_has_the_time_of_every_phase_on_every_host() -> None:
    found = timeline(
        past(
            event(0, "running", 1), event(0.5, "progress", 1), event(2, "done", 1), event(1, "running", 2), event(4, "failed", 2, action="start", name="etcd", detail="no"),
            event(4, "skipped", 3, "n1", "kubelet"), event(5, "running", 4, "n1", "docker"), event(5, "progress", 9, "n2", "docker"),
            {"word": "change", "time": "never", "state": "done"}, event(6, None, 5), {"word": "plan", "time": event(6)["time"], "changes": []},
        )
    )  # fmt: skip
    cells = [(cell.host, cell.phase, cell.begin, cell.end, cell.changes, cell.state) for cell in found.cells]
    assert cells == [
        ("m1", "etcd", 0.0, 4.0, 2, "failed"),
        ("n1", "kubelet", 0.0, 0.0, 1, "skipped"),
        ("n1", "docker", 5.0, 5.0, 1, "running"),
    ]
    assert (found.hosts, found.phases) == (("m1", "n1"), ("kubelet", "etcd", "docker"))
    assert (found.seconds, found.result, found.began) == (6.0, "cut off", "2026-03-01T12:00:00+00:00")
    assert found.failures == (("m1: start etcd", "no"),)


def test_hosts_of_a_timeline_are_counted() -> None:
    found = timeline(past(*(event(0, host=host) for host in ("n10", "n2", "m1", "node"))))
    assert found.hosts == ("m1", "n2", "n10", "node")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_of_text_contrast_with_what_is_behind_them_in_light_and_dark() -> None:
    css = re.search(r"<style>(.*?)</style>", PAGES["live"], re.DOTALL)
    assert css
    for scope, behind, texts in (
        (":root", ("paper", "panel"), ("ink", "soft", "good", "bad", "care", "link")),
        (".drawing", ("paper", "lane", "box"), ("ink", "soft")),
    ):
        blocks = re.findall(rf"{re.escape(scope)} \{{([^}}]*--[^}}]*)\}}", css[1])
        assert len(blocks) == 3  # light, dark, print
        for block in blocks[:2]:
            colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
            for back in behind:
                for text in texts:
                    high, low = sorted((luminance(colours[back]), luminance(colours[text])), reverse=True)
                    assert (high + 0.05) / (low + 0.05) >= 4.5, (scope, back, text)


def test_a_run_that_did_nothing_has_no_times() -> None:
    assert timeline(past()) == Timeline("20260301T120000Z", "", 0.0, "cut off", (), (), (), ())


def test_a_long_timeline_is_cut_and_says_so() -> None:
    run = timeline(past(*(event(number, host=f"n{number}") for number in range(61))))
    text = page(offline(last_run=run), STYLE)
    assert "1 more hosts are not shown" in Page(text).text


def test_missing_is_not_shown_as_none() -> None:
    assert not re.search(r"\bNone\b", Page(PAGES["live"]).text)
    assert Missing.ABSENT.value not in Page(PAGES["in line"]).text
