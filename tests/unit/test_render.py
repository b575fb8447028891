from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer import render
from k8s_installer.errors import TemplateError
from k8s_installer.render import Renderer


def put(folder: Path, text: str, name: str = "x.j2") -> Renderer:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Renderer([folder])


def test_a_template_keeps_its_last_newline_and_loses_the_lines_of_its_tags(tmp_path: Path) -> None:
    renderer = put(tmp_path, "a\n  {% if on %}\nb\n  {% endif %}\n{{ c }}\n")
    assert renderer.file("x.j2", {"on": True, "c": '&"é'}, "m1") == b'a\nb\n&"\xc3\xa9\n'


def test_an_override_stands_before_the_packaged_template_and_the_others_stay(tmp_path: Path) -> None:
    renderer = put(tmp_path, "mine\n", "kubernetes/config.j2")
    assert renderer.file("kubernetes/config.j2", {}, "m1") == b"mine\n"
    assert b"ip_forward" in renderer.file("network/sysctl.conf.j2", {"header": "h"}, "m1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\n{{ nothing }}\n", "x.j2:2, for m1: 'nothing' is undefined"),
        ("{% if %}\n", "x.j2:1, for m1: Expected an expression, got 'end of statement block'"),
        ("one\n\n{{ 1 / 0 }}", "x.j2:3, for m1: division by zero"),
        ("{{ {}['a'] }}", "x.j2:1, for m1: 'dict object' has no attribute 'a'"),
        ("{{ 'a' + 1 }}", 'x.j2:1, for m1: can only concatenate str (not "int") to str'),
    ],
)
def test_an_error_names_the_template_its_line_and_the_host(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        put(tmp_path, text).file("x.j2", {}, "m1")
    assert str(caught.value) == message


def test_an_error_in_an_included_template_names_that_one(tmp_path: Path) -> None:
    (tmp_path / "inner.j2").write_text("\n{{ nothing }}", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"^inner\.j2:2, for m1: 'nothing' is undefined$"):
        put(tmp_path, "{% include 'inner.j2' %}").file("x.j2", {}, "m1")
    (tmp_path / "inner.j2").write_text("\n{% if", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"^inner\.j2:2, for m1: "):
        put(tmp_path, "{% include 'inner.j2' %}").file("x.j2", {}, "m1")


def test_a_missing_template_is_named() -> None:
    with pytest.raises(TemplateError, match=r"^template gone\.j2 is missing, needed for m1$"):
        Renderer().file("gone.j2", {}, "m1")


def test_an_error_without_words_says_its_kind(tmp_path: Path) -> None:
    class Fails:
        def __str__(self) -> str:
            raise ValueError

    with pytest.raises(TemplateError, match=r"^x\.j2:1, for m1: ValueError$"):
        put(tmp_path, "{{ fails }}").file("x.j2", {"fails": Fails()}, "m1")


def test_text_is_rendered_only_where_there_is_something_to_render() -> None:
    renderer = Renderer()
    assert renderer.text("a # b", {}, "m1", where="w") == "a # b"
    assert renderer.text("{{ a }}{% if a %}!{% endif %}", {"a": 1}, "m1", where="w") == "1!"
    assert renderer.text("{{ a }}{% if a %}!{% endif %}", {"a": 0}, "m1", where="w") == "0"


def test_an_error_in_text_says_where_it_stands() -> None:
    with pytest.raises(TemplateError, match=r"^kubelet 1\.20\.2: flag v, for n1: 'a' is undefined$"):
        Renderer().text("{{ a }}", {}, "n1", where="kubelet 1.20.2: flag v")


def test_yaml_keeps_the_order_of_its_keys_and_is_written_once(tmp_path: Path) -> None:
    renderer = put(tmp_path, "{{ value | to_yaml }}\n")
    value = {"b": {"c": False}, "a": ["x", 1]}
    for _ in range(2):
        assert renderer.file("x.j2", {"value": value}, "m1") == b"b:\n  c: false\na:\n- x\n- 1\n"


def test_a_template_is_compiled_once(tmp_path: Path) -> None:
    renderer = put(tmp_path, "a")
    renderer.file("x.j2", {}, "m1")
    (tmp_path / "x.j2").write_text("b", encoding="utf-8")
    assert renderer.file("x.j2", {}, "m2") == b"a"


def test_a_wheel_has_its_templates_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (render.packaged_templates() / "kubernetes" / "config.j2").is_file()
    monkeypatch.setattr(render, "__file__", str(tmp_path / "render.py"))
    (tmp_path / "_templates").mkdir()
    assert render.packaged_templates() == tmp_path / "_templates"
    (tmp_path / "_templates").rmdir()
    assert render.packaged_templates() == tmp_path.parent / "templates"
