"""Objects of the API that a test counts before and after: a namespace of its own with 1,000, of which 100 are Secrets."""

from __future__ import annotations

import base64

from tests.fleet.conftest import Cluster

COUNT = 1000
EXPECTED = {f"kept-{i}": f"value {i}" for i in range(COUNT)}
_CREATE = """\
kubectl create namespace kept >/dev/null
for part in 0 1 2 3; do
  awk -v part=$part 'BEGIN {{ for (i = part; i < {count}; i += 4) printf "apiVersion: v1\\nkind: %s\\nmetadata: {{name: kept-%d, \\
namespace: kept}}\\n%s: {{word: \\"value %d\\"}}\\n---\\n", i % 10 ? "ConfigMap" : "Secret", i, i % 10 ? "data" : "stringData", i }}' |
    kubectl create -f - >/dev/null &
done
wait
"""
_ASK = "kubectl -n kept get configmaps,secrets -o jsonpath='{range .items[*]}{.kind} {.metadata.name} {.data.word}{\"\\n\"}{end}'"


def create(cluster: Cluster) -> None:
    cluster.on("m1", _CREATE.format(count=COUNT))
    assert kept(cluster) == EXPECTED


def create_late(cluster: Cluster, number: int) -> None:
    """One more, after the backup; `kept` shows it."""
    cluster.on("m1", f"kubectl -n kept create configmap kept-{COUNT + number} --from-literal=word=late")


def kept(cluster: Cluster) -> dict[str, str]:
    """Every object that the test made, by name, with what is in it; Secrets as the API decrypts them."""
    found = [line.split(maxsplit=2) for line in cluster.on("m1", _ASK).splitlines() if " kept-" in line]
    return {name: base64.b64decode(word).decode() if kind == "Secret" else word for kind, name, word in found}
