"""The site: it builds, every link and anchor leads somewhere, and no page loads anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
_LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "object": "data", "source": "src"}
_ELSEWHERE = re.compile(r"^(\w+:)?//")


class _Loaded(HTMLParser):
    """What a browser loads for a page; links that a reader must click are none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if said.get("rel") not in ("canonical", "prev", "next"):
            self.urls += [url for url in [said.get(_LOADED.get(tag, ""))] if url]


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    made = build(REPO / "mkdocs.yml", folder)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_every_page_of_docs_is_on_the_site_and_in_its_navigation(site: Path) -> None:
    pages = {path.stem for path in (REPO / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    config = yaml.load((REPO / "mkdocs.yml").read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - text alone
    assert {Path(page).stem for page in _pages(config["nav"])} >= pages


def _pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(item)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = []
    for page in site.rglob("*.html"):
        parser = _Loaded()
        parser.feed(page.read_text())
        loaded += parser.urls
    assert "assets/stylesheets" in " ".join(loaded)
    styles = [url for css in site.rglob("*.css") for url in re.findall(r"url\([\"']?([^)\"']+)", css.read_text())]
    assert [url for url in [*loaded, *styles] if _ELSEWHERE.match(url)] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[there](nowhere.md)", "nowhere.md"),
        ("[there](#nowhere)", "#nowhere"),
        ("[there](/index.md)", "/index.md"),
    ],
)
def test_a_broken_link_or_anchor_fails_the_build(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# A page\n\n{text}\n")
    config = yaml.load((REPO / "mkdocs.yml").read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - text alone
    kept = {key: config[key] for key in ("site_name", "validation", "theme", "plugins")}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(kept))
    made = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert made.returncode != 0
    assert message in made.stdout + made.stderr


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_beside_the_site_lead_somewhere(name: str) -> None:
    linked = re.findall(r"\]\(([^)#\s]+)", (REPO / name).read_text())
    assert [link for link in linked if not _ELSEWHERE.match(link) and not (REPO / link).exists()] == []
