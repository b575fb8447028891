"""The pictures of the terminal in docs/screens: modest, whole, and from nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "screens"
SCREENS = sorted(path.stem for path in FOLDER.glob("*.svg"))


def test_the_pages_have_their_pictures() -> None:
    assert {"apply", "plan"} <= set(SCREENS)


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_modest_and_loads_nothing(name: str) -> None:
    content = (FOLDER / f"{name}.svg").read_text()
    assert len(content.encode()) < 60_000
    words = "".join(ET.fromstring(content).itertext()).replace("\xa0", " ")  # noqa: S314 - our own file
    assert f"$ k8s-installer {'apply' if name == 'error' else name} " in words
    assert re.findall(r"href|src=|@import|@font-face|url\((?!#)|<image|<script", content) == []
    assert re.findall(r"(?:/root|/home|/tmp|/work)\b", words) == []
