from __future__ import annotations

import threading

from k8s_installer.cli.slowly import slowly


def test_what_is_quick_says_nothing() -> None:
    said: list[str] = []
    with slowly("reading 3 hosts", said.append) as update:
        update("reading 3 hosts: 1 answered")
    assert said == []


def test_what_takes_long_says_what_goes_on_when_it_has_changed() -> None:
    said: list[str] = []
    heard = threading.Event()

    def say(words: str) -> None:
        said.append(words)
        heard.set()

    with slowly("reading 3 hosts", say, first=0.01, then=0.01) as update:
        assert heard.wait(10)
        heard.clear()
        update("reading 3 hosts: 1 answered")
        assert heard.wait(10)
    assert said == ["reading 3 hosts", "reading 3 hosts: 1 answered"]
