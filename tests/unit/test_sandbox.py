"""Templates of somebody else: what they may not do, and that they end."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from k8s_installer import profiles
from k8s_installer.desired import desire
from k8s_installer.errors import TemplateError
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, placeholder
from tests.unit.clusters import cluster as a_cluster

CLUSTER = a_cluster()


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
        "{% set b = 'x' * 1000 * 1000 %}{% for i in range(99) %}{{ b }}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
        "{% macro m(x) %}" + "{{ x }}" * 99 + "{% endmacro %}{{ m('x' * 1000 * 1000) }}",
        "{% filter upper %}" + "{{ 'x' * 1000 * 1000 }}" * 99 + "{% endfilter %}",
        "{% for x in [0] recursive %}{% if loop.depth < 6 %}{{ loop(range(99999)) }}{% endif %}{% endfor %}",
        "{% for i in range(99999) %}{% set x = [" + "1," * 9000 + "] %}{% endfor %}",
        "{% set x = [" + "1," * 60_000 + "] %}",
        "{% set x = [1] * 1000000 %}{% set y = [1] * 1000000 %}{% for i in range(9999) %}{{ 'a' if x == y }}{% endfor %}",
        "{% set x = [1] * 1000000 %}{% for i in range(9999) %}{{ 'a' if 2 in x }}{% endfor %}",
        "{% set x = [1] * 1000000 %}{% for i in range(9999) %}{{ 'a' if x is eq([1]) }}{% endfor %}",
        "{% set x = [1] * 1000000 %}{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
        "{% set b = 'x' * 1000000 %}{% for i in range(99999) %}{% set c = b[1:] %}{% endfor %}",
        "{% set b = 'x' * 1000000 %}{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [b ~ i] %}{% endfor %}",
        "{{ ('x' * 500000) | wordwrap(1) }}",
        "{{ ('www.' ~ '(' * 100000 ~ 'a.com' ~ ')' * 100000) | urlize }}",
        "{{ ([[1]] * 100000) | sum(start=[]) }}",
        "{{ ('\t' * 1000000).expandtabs(10000) }}",
        "{{ ('\n' * 1000000) | indent(10000, true, true) }}",
        "{{ ['x' * 1000000] * 2 | length }}{{ ['x' * 1000000, 'x' * 1000000] | join }}",
        "{{ [cluster] * 100000 }}",
        "{{ ([cluster] * 100000) | string }}",
        "{{ ([cluster] * 100000) | join(',') }}",
        "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{{ [1][1:2, 3] }}",
    ],
)
def test_a_template_cannot_keep_us_busy(text: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError):
        rendered(text, wide=IPv4Network("10.0.0.0/8"))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("double", [
    "[x, x]", "(x, x)", "{'a': x, 'b': x}", "dict(a=x, b=x)", "[x] * 2", "[x] + [x]", "([x, x] | map('list') | list)",
    "([x] | batch(2, x) | list)",
])  # fmt: skip
@pytest.mark.parametrize("use", [
    "{{ x }}", "{{ x ~ '' }}", "{{ x | string }}", "{{ x | join }}", "{{ [x] | join(',') }}", "{{ x | to_yaml }}", "{{ x | tojson }}",
    "{{ x == y }}", "{{ 1 if x in [y] }}", "{{ x is eq(y) }}", "{{ [x] | select('eq', y) | list | length }}", "{{ [x].index(y) }}",
    "{{ [x, y] | sort | length }}", "{{ [x, y] | unique | list | length }}", "{{ {}.get(x) }}", "{{ {}[x] }}", "{{ {x: 1} | length }}",
    "{{ {'a': x}.items() }}", "{{ {'a': x}.values() }}",
])  # fmt: skip
def test_lists_that_share_members_are_neither_written_nor_compared_without_end(double: str, use: str) -> None:
    """Forty of them are a text of 2^40 characters, which Python would write in one step that nothing can stop."""
    make = (
        "{% set ns = namespace(x=('a',), y=('a',)) %}{% for i in range(40) %}"
        + "".join(
            f"{{% set ns.{name} = {double.replace('x', f'ns.{name}').replace(f'ma{name}', 'map')} %}}" for name in "xy"
        )
        + "{% endfor %}{% set x, y = ns.x, ns.y %}"
    )
    began = time.process_time()
    with pytest.raises(TemplateError):
        rendered(make + use)
    assert time.process_time() - began < 2


def test_a_namespace_is_never_written_out() -> None:
    text = "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = namespace(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}"
    assert rendered(text) == "<Namespace>"


def test_lists_for_thousands_of_hosts_are_made_as_templates_make_them() -> None:
    text = (
        "{% set ns = namespace(names=[], text='') %}{% for i in range(5000) %}{% set name = 'host-' ~ i %}"
        "{% if name not in ns.names %}{% set ns.names = ns.names + [name] %}{% endif %}"
        "{% set ns.text = ns.text ~ name ~ ',' %}{% endfor %}"
        "{{ ns.names | length }} {{ ns.names | join(',') == ns.text[:-1] }} {{ ns.names | unique | list | length }}"
    )
    assert rendered(text) == "5000 True 5000"
    assert rendered("{{ hosts | join(',', attribute='name') | length }}", hosts=CLUSTER.hosts * 1000) == "8999"


@pytest.mark.parametrize(("version", "security"), MODES)
@pytest.mark.parametrize("network", ["routes", "flannel"])
def test_every_file_of_ours_is_the_same_in_the_sandbox(version: str, security: str, network: str) -> None:
    made = a_cluster(version, security, "etcd-apart", network=network)
    plain, bounded = (
        desire(made, profiles.profile_of(made), placeholder(made), Renderer(sandboxed=sandboxed))
        for sandboxed in (False, True)
    )
    assert plain == bounded


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
        ("fifo", "template fifo is missing"),
        ("loop", "template loop is missing"),
        ("large", "has more than 1 MiB"),
        ("latin", "not UTF-8 text"),
        ("self", "recursion"),
        ("twice", "recursion"),
        ("../secret", "template .* is missing"),
        ("x" * 5000, "template .* is missing"),
    ):
        with pytest.raises(TemplateError, match=words):
            renderer.file(name, {}, "m1")
