from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k8s_installer.planning.equivalence import same

YAML = "/etc/kubernetes/kubelet.yaml"
ENV = "/etc/kubernetes/apiserver"
UNIT = "/etc/systemd/system/docker.service.d/10-kubernetes.conf"


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ENV, 'A="--v=0  --x=1"\n', '# why\n\nA="--v=0 --x=1"\n'),
        (ENV, "A=1\nB=2\n", "B=2\nA=1\n"),
        (ENV, 'A=""\n', "A=\n"),
        ("/etc/sysconfig/docker", "OPTIONS='--a'\n", "OPTIONS='--a'"),
        ("/etc/etcd/etcd.conf", "#[Member]\nETCD_NAME=m1\n", "ETCD_NAME=m1\n"),
        ("/etc/sysctl.d/90-kubernetes.conf", "net.ipv4.ip_forward = 1\n", "; on\nnet.ipv4.ip_forward=1\n"),
        (ENV, "A = 1\n", "\t A=1 \n"),
        (YAML, "a: .nan\nb: 2001-01-01\nc: [-0.0, 1e3]\n", "c:\n- -0.0\n- 1e3\nb: 2001-01-01\na: .nan\n"),
        (YAML, "a: 'x y'\n", 'a: "x y"\n'),
        (YAML, "a: {b: {c: [1, {d: 2}]}, e: }\n", "a:\n  e:\n  b:\n    c:\n    - 1\n    - d: 2\n"),
        (YAML, "a: &x 1\nb: *x\n", "a: &x 1\nb: *x\n"),
        (YAML, "a: 1\n---\nb: 2\n", "# two\na: 1\n---\nb: 2\n"),
        (UNIT, "[Service]\nNice=1\n", "# why\n[Service]\n  Nice=1\n\n"),
        ("/etc/kubernetes/kubelet.yaml", "a: 1\nb: [1, 2]\n", "# why\nb:\n- 1\n- 2\na: 1\n"),
        ("/etc/kubernetes/pki/ca.crt", "x", "x"),
    ],
)
def test_comments_blanks_and_order_that_mean_nothing_are_nothing(path: str, old: str, new: str) -> None:
    assert same(path, old.encode(), new.encode())


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("/etc/kubernetes/addons/a.yaml", "a: 1\n", "# why\na: 1\n"),
        (ENV, 'A="--v=0"\n', 'A="--v=1"\n'),
        (ENV, "A=1\n", "A=1\nA=2\n"),
        (ENV, "A=1\n", "#A=1\n"),
        (UNIT, "[Service]\nExecStartPre=/a\nExecStartPre=/b\n", "[Service]\nExecStartPre=/b\nExecStartPre=/a\n"),
        ("/etc/kubernetes/kubelet.yaml", "a: 1\n", "a: '1'\n"),
        ("/etc/kubernetes/kubelet.yaml", "a: 1\n", "a: [\n"),
        # what Python takes for equal
        (YAML, "a: false\n", "a: 0\n"),
        (YAML, "a: true\n", "a: 1\n"),
        (YAML, "a: 50\n", "a: 50.0\n"),
        (YAML, "a: 0.0\n", "a: -0.0\n"),
        (YAML, "a: 1e3\n", "a: 1000.0\n"),
        (YAML, "a: 1.0e+3\n", "a: 1000.0\n"),
        (YAML, "true: a\n", "1: a\n"),
        (YAML, "a: [false]\n", "a: [0]\n"),
        # what PyYAML takes for equal, and a reader of YAML 1.2 or of JSON does not
        (YAML, "a: yes\n", "a: true\n"),
        (YAML, "a: 0o10\n", "a: '0o10'\n"),
        (YAML, "a: 010\n", "a: 8\n"),
        (YAML, "a: 1_000\n", "a: 1000\n"),
        (YAML, "a: 1:30\n", "a: 90\n"),
        (YAML, "a: ~\n", "a: null\n"),
        (YAML, "a: 2001-01-01\n", "a: '2001-01-01'\n"),
        (YAML, "a: on\n", "a: 'on'\n"),
        (YAML, "a: !!str 1\n", "a: 1\n"),
        (YAML, "a: !x [1]\n", "a: [1]\n"),
        (YAML, "%YAML 1.1\n---\na: 010\n", "%YAML 1.2\n---\na: 010\n"),
        # where readers differ
        (YAML, "1: a\n'1': b\n", "'1': b\n1: a\n"),
        ("/etc/kubernetes/pki/token", "a=1\n", "a = 1\n"),
        (YAML, "a: 1\na: 2\n", "a: 2\n"),
        (YAML, "a: 1\na: 2\n", "# why\na: 1\na: 2\n"),
        (YAML, "a: &x 1\nb: *x\n", "# why\na: &x 1\nb: *x\n"),
        (YAML, "a: 1\n", "a: 1\n---\na: 1\n"),
        (YAML, "a: " + "[" * 5000 + "]" * 5000 + "\n", "# why\na: " + "[" * 5000 + "]" * 5000 + "\n"),
        (ENV, "A=1 \\\nB=2\n", "A=1 \\\n\nB=2\n"),
        (ENV, "A='\"x\"'\n", "A=x\n"),
        (ENV, 'A="x"y\n', "A=xy\n"),
        (ENV, 'A="a\\nb"\n', '# why\nA="a\\nb"\n'),
        (ENV, "A=1\nexport B=2\n", "A=1\n"),
        (ENV, "A=1\nB\n", "A=1\nB=\n"),
        (ENV, "A=1\x0cB=2\n", "A=1\nB=2\n"),
        (ENV, "A=1\r\n", "A=1\n"),
        ("/etc/etcd/etcd.conf", 'ETCD_NAME="a  b"\n', 'ETCD_NAME="a b"\n'),
        ("/etc/etcd/etcd.conf", 'ETCD_NAME="a"\n', 'ETCD_NAME="a "\n'),
        ("/etc/sysctl.d/90-kubernetes.conf", "a=1\nb=2\n", "b=2\na=1\n"),
        ("/etc/sysctl.d/90-kubernetes.conf", "a=1\nb\n", "a=1\nb=\n"),
        (UNIT, "[Service]\nExecStart=/a \\\n  --b\n", "[Service]\nExecStart=/a \\\n# why\n  --b\n"),
        (UNIT, "[Service]\nNice=1\n", "[Service]\nNice=1.0\n"),
        ("/etc/kubernetes/pki/ca.crt", "x", "x\n"),
        ("/etc/kubernetes/network/routes.sh", "# a\ntrue\n", "# b\ntrue\n"),
        ("/etc/kubernetes/abac.jsonl", "{}\n", "{} \n"),
        ("/usr/bin/x", "a", "a "),
        (ENV, "A=\xff\n", "A=\xff \n"),
    ],
)
def test_whatever_a_program_could_tell_apart_is_a_change(path: str, old: str, new: str) -> None:
    assert not same(path, old.encode("latin-1"), new.encode("latin-1"))


SCALARS = st.sampled_from(
    [
        "0",
        "1",
        "false",
        "true",
        "no",
        "0.0",
        "-0.0",
        "1.0",
        "1e0",
        "'1'",
        '"1"',
        "x",
        "'x'",
        "~",
        "null",
        ".nan",
        "2001-01-01",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(SCALARS, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_whatever_is_the_same_is_the_same_to_python_and_of_the_same_types(one: str, other: str) -> None:
    old, new = f"a: {one}\n", f"a: {other}\n"
    if same(YAML, old.encode(), new.encode()):
        assert _typed(yaml.safe_load(old)) == _typed(yaml.safe_load(new))
    assert same(YAML, old.encode(), old.encode())


def _typed(value: object) -> object:
    """A value with the types of all that is in it, by their words: NaN is itself, and 0 is not false."""
    if isinstance(value, dict):
        return sorted((repr(key), repr(_typed(inner))) for key, inner in value.items())
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return repr(value)


def test_a_no_break_space_parts_no_arguments_as_systemd_reads_them() -> None:
    assert not same(ENV, 'A="--a=1\u00a0--b=2"\n'.encode(), b'A="--a=1 --b=2"\n')
