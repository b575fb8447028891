"""Templates of somebody else: what they may not do, and that they end."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from k8s_installer.errors import TemplateError
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster

CLUSTER = cluster()


def rendered(text: str, **context: object) -> str:
    renderer = Renderer(sandboxed=True)
    return renderer.text(text, {"cluster": CLUSTER, "host": CLUSTER.hosts[0], **context}, "m1", where="a test")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ '' | attr('__class__') | attr('__mro__') }}",
        "{{ ['__class__'] | map('attr', '__class__') | list }}{{ '' | map(attribute='__class__') | list }}{{ lipsum }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}{{ self._TemplateReference__context }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{% set f = '{0.__class__}'.format %}{{ f(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ ('%s' | format('x')) }}",
        "{{ range.__globals__ }}",
        "{{ (cluster.having).__func__.__globals__ }}",
        "{{ cluster.folder.read_text() }}",
        "{{ cluster.folder.joinpath('/etc/passwd').read_text() }}",
        "{{ cluster.folder.parent }}",
        "{{ (cluster.folder | attr('joinpath'))('/etc/passwd') }}",
        "{{ [cluster.folder] | map('attr', 'exists') | list | first | string }}{{ (cluster.folder | attr('exists'))() }}",
        "{{ [].append(1) }}",
        "{{ {}.update({'a': 1}) }}",
        "{{ cluster.pod_cidr.subnets(new_prefix=30) | list }}",
        "{{ host.tuning.clear() }}",
        "{{ caller() }}",
        "{% include '/etc/passwd' %}",
        "{% include '../../etc/passwd' %}",
        "{% extends '../x' %}",
    ],
)
def test_a_template_cannot_reach_beyond_what_it_is_given(text: str) -> None:
    with pytest.raises(TemplateError):
        rendered(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [0] * 10**9 }}",
        "{{ 'a' * 99999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x | replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] | join(ns.x) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
        "{{ range(10**9) | list }}",
        "{% for a in cluster.pod_cidr %}{% for b in cluster.pod_cidr %}{% for c in cluster.pod_cidr %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ '%99999999d' % 1 }}",
        "{{ 'a' | center(10**9) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a'.ljust(10**9) }}",
        "{{ 'a\n' | indent(10**9) }}",
        "{{ [1] | tojson(indent=10**9) }}",
        "{{ lipsum(n=10**9) }}",
        "{{ ('a' * 4000) | replace('a', 'b' * 4000) }}",
        "{{ wide | list }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{{ m(n - 1) ~ m(n - 1) if n else '' }}{% endmacro %}{{ m(60) }}",
        "{{ 'x' * 1000 * 1000 }}" + "y" * (1 << 20),
    ],
)
def test_a_template_cannot_keep_us_busy(text: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError):
        rendered(text, wide=IPv4Network("10.0.0.0/8"))
    assert time.process_time() - began < 10


def test_a_template_still_renders_what_templates_need() -> None:
    text = (
        "{% macro flag(name, value) %}--{{ name }}={{ value }}{% endmacro %}"
        "{% set ns = namespace(count=0) %}"
        "{% for one in cluster.having('node') %}{% set ns.count = ns.count + 1 %}{{ loop.index }}/{{ loop.length }} {% endfor %}"
        "{% for key, value in {'a': 1}.items() %}{{ flag(key, value) }}{% endfor %} "
        "{{ ns.count }} {{ cluster.name ~ '-' ~ 7 }} {{ [3, 1] | sort | join(',') }} {{ 'a b'.split() | length }} {{ '-' * 3 }}"
    )
    assert rendered(text) == "1/2 2/2 --a=1 2 lab-7 1,3 2 ---"


def test_templates_are_files_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to(folder / "sub/real")
    (folder / "sub/real").write_text("{{ 1 + 1 }}")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "large").write_text(" " * (1 << 21))
    (folder / "latin").write_bytes(b"\xff\xfe")
    (folder / "self").write_text("{% include 'self' %}")
    (folder / "twice").write_text("x{% include 'twice' %}{% include 'twice' %}")
    os.mkfifo(folder / "fifo")
    renderer = Renderer([folder])
    assert renderer.file("in", {}, "m1") == b"2"
    for name, words in (
        ("out", "leads out of its folder"),
        ("fifo", "there is no template fifo"),
        ("loop", "there is no template loop"),
        ("large", "has more than 1 MiB"),
        ("latin", "not UTF-8 text"),
        ("self", "recursion"),
        ("twice", "recursion"),
        ("../secret", "there is no template"),
        ("x" * 5000, "there is no template"),
    ):
        with pytest.raises(TemplateError, match=words):
            renderer.file(name, {}, "m1")
