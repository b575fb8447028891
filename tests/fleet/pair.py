"""Two replicas on different nodes with a PodDisruptionBudget, and clients that notice if one answer is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from tests.fleet.conftest import Cluster
from tests.fleet.reaching import image

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: pair}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: pair}}}}
  template:
    metadata: {{labels: {{app: pair}}}}
    spec:
      terminationGracePeriodSeconds: 3
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm: {{topologyKey: kubernetes.io/hostname, labelSelector: {{matchLabels: {{app: pair}}}}}}
      containers:
      - name: web
        image: "{image}"
        readinessProbe: {{httpGet: {{port: 80, path: /}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: pair}}
spec: {{selector: {{app: pair}}, ports: [{{port: 80}}]}}
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {{name: pair}}
spec: {{minAvailable: {least}, selector: {{matchLabels: {{app: pair}}}}}}
"""
LONGEST = 2.0  # seconds without an answer: a request takes longer where both cores of a busy machine are taken
# Each 100 ms: how many of the two are ready, and whether one of them answers through the apiserver. A line is when, the
# number of ready ones where that is asked, and the status.
CLIENTS = r"""
cat >/root/clients.sh <<'END'
ask() { # name path
  while [ -e /root/asking ]; do
    echo $(date +%s.%N) $(curl -s -m 3 -w '\n%{http_code}' --cacert $pki/ca.crt --cert $pki/admin.crt --key $pki/admin.key \
      https://127.0.0.1:6443$2 | sed -n 's/.*"readyReplicas": \([0-9]*\).*/\1/p; $p')
    sleep 0.1
  done >/root/asked.$1
}
pki=/etc/kubernetes/pki
ask ready /apis/apps/v1/namespaces/default/deployments/pair/status &
ask answers /api/v1/namespaces/default/services/pair/proxy/ &
wait
END
touch /root/asking
setsid sh /root/clients.sh >/dev/null 2>&1 </dev/null &
"""


def placed(cluster: Cluster, least: int) -> set[str]:
    """Run the two, of which `least` must be up; give the nodes that they are on."""
    text = MANIFEST.format(image=image(cluster), least=least)
    cluster.on("m1", f"kubectl apply -f - <<'END'\n{text}END\nkubectl rollout status --timeout=90s deployment pair")
    return set(cluster.on("m1", "kubectl get pods -l app=pair -o jsonpath='{.items[*].spec.nodeName}'").split())


@contextmanager
def asked(cluster: Cluster) -> Iterator[dict[str, float]]:
    """Assert that every request is answered meanwhile, and that one of the two is always ready; gives the longest gaps.

    A gap is the time in seconds between two good answers, of which 0.1 is the clients' own.
    """
    gaps: dict[str, float] = {}
    cluster.on("m1", CLIENTS)
    yield gaps
    cluster.on("m1", "rm /root/asking; sleep 1")
    for name in ("ready", "answers"):
        lines = [line.split() for line in cluster.on("m1", f"cat /root/asked.{name}").splitlines()]
        assert len(lines) > 50
        wrong = [
            line
            for line in lines
            if line[-1] != "200" or (name == "ready" and line[1:] not in (["1", "200"], ["2", "200"]))
        ]
        assert not wrong, wrong
        gaps[name] = round(max(float(after[0]) - float(before[0]) for before, after in pairwise(lines)), 2)
    cluster.on("m1", "rm /root/clients.sh /root/asked.*")
    assert max(gaps.values()) < LONGEST, gaps
