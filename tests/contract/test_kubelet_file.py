"""What validation says of the keys of the kubelet's file is what the real kubelet says of the file.

Needs the programs of the lab, as tests/contract/test_values.py does; with `EVERY_FLAG=1` every key is asked for.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from k8s_installer.desired.keys import wrong_keys
from k8s_installer.profiles.schema import ConfigSchema, Shape
from tests.contract.programs import EVERY, PROFILE, ends_well, needs_programs
from tests.contract.test_values import UNSEEN, around

pytestmark = needs_programs
Asked = tuple[tuple[str, ...], object]  # the path of a key, and its value

WHOLE: Sequence[object] = [1, "1", 1.5, 2**31, 2**63, True, [1]]
OF_KIND: Mapping[str, Sequence[object]] = {
    "string": ["a", 5, True, 5.5, ["a"], {"a": "b"}],
    "bool": [True, False, "true", 1, "yes", [True]],
    "int32": WHOLE,
    "int64": WHOLE,
    "duration": ["10s", "1h30m", "0", "10", 10, 0, "5min", True, ["10s"]],
}
OF_LIST: Sequence[object] = [["a"], "a", [5], [["a"]], {"a": "b"}]
OF_MAP: Sequence[object] = ["a", ["a"], 5]
# Keys that are right only beside others, or that name files.
BESIDE_OTHERS = {
    "cgroupsPerQOS", "cpuCFSQuotaPeriod", "enforceNodeAllocatable", "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent", "shutdownGracePeriod", "shutdownGracePeriodCriticalPods", "systemCgroups",
    "tlsCertFile", "tlsPrivateKeyFile", "authentication.x509.clientCAFile",
}  # fmt: skip
# Keys whose values the kubelet looks at when it runs, or ignores.
UNSEEN_KEYS = {"address", "healthzBindAddress", "configMapAndSecretChangeDetectionStrategy"}
HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def leaves(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[Asked]:
    """Keys of the file by path, each with values of the right and of the wrong type."""
    if isinstance(shape, str):
        yield from ((path, value) for value in OF_KIND[shape])
    elif isinstance(shape, list):
        yield from ((path, value) for value in OF_LIST)
    else:
        yield from ((path, value) for value in OF_MAP if path)
        for key, inner in shape.items():
            yield from leaves(inner, (*path, "some" if key == "*" else key))
        yield from [] if "*" in shape else [((*path, "unknown"), 1)]


def choices(schema: ConfigSchema) -> Iterator[Asked]:
    """Keys of which more is known than their type, with values on both sides of it."""
    for name, spec in schema.values.items():
        path = tuple(name.split("."))
        for value in around(spec):
            if isinstance(schema.keys.get(name), list):
                yield path, list(value) if isinstance(value, tuple) else [value]
            elif spec.keys:
                key, _, word = str(value).partition("=")
                yield (*path, key), {"true": True, "false": False}.get(word, word)
            else:
                yield path, value


def asked_of(schema: ConfigSchema) -> Iterator[Asked]:
    """What the kubelet can be asked; a sample has two keys for each value."""
    later = [PROFILE.known_flags[name][flag] for name, flag in UNSEEN if name == "kubelet"]
    counts: Counter[str] = Counter()
    for path, value in [*leaves(schema.keys), *choices(schema)]:
        name = ".".join(path)
        spec = schema.values.get(name, schema.values.get(path[0]))
        unseen = path[0] in UNSEEN_KEYS or spec in later
        if name in BESIDE_OTHERS or (unseen and (isinstance(value, str | list) or len(path) > 1)):
            continue
        kind = f"{len(path)} {value!r}"
        counts[kind] += 1
        if EVERY or counts[kind] <= 2:
            yield path, value


def test_a_file_is_right_where_the_kubelet_takes_it(tmp_path: Path) -> None:
    schema = PROFILE.config_schemas["kubelet"]
    asked = list(asked_of(schema))

    def ask(number: int) -> str:
        path, value = asked[number]
        inner = functools.reduce(lambda below, key: {key: below}, reversed(path), value)
        assert isinstance(inner, dict)
        file = tmp_path / f"{number}.yaml"
        file.write_text(HEAD + yaml.safe_dump(inner), encoding="utf-8")
        ours = not list(wrong_keys(schema, path[0], inner[path[0]]))
        theirs = ends_well("kubelet", tmp_path, (f"--config={file}",))
        return "" if ours == theirs else f"{'.'.join(path)}: {value!r}: we {ours}, the kubelet {theirs}"

    assert ends_well("kubelet", tmp_path, ())  # and makes its certificate for the others
    with ThreadPoolExecutor(max_workers=4) as pool:
        assert [answer for answer in pool.map(ask, range(len(asked))) if answer] == []
