"""The steps of docs/adding-a-version.md, done as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.guide import follow


def test_a_made_up_version_is_added_by_the_steps_of_the_guide(tmp_path: Path) -> None:
    said = follow("adding-a-version.md", tmp_path)
    assert said.startswith("cluster.yaml: valid: Kubernetes 1.99.0 on 1 host (profile 1.99.0)\n")
    changed = [line for line in said.splitlines() if re.match(r"[-+](?!--|\+\+|# Rendered by)", line)]
    scheduler = [line for line in changed if "KUBE_SCHEDULER_ARGS" in line]
    assert ["--rebalance-period=10m" in line for line in scheduler] == [False, True]
    assert [line for line in changed if line not in scheduler] == [
        '-KUBELET_POD_INFRA_CONTAINER="--pod-infra-container-image=registry.k8s.io/pause:3.2"',
        '+KUBELET_POD_INFRA_CONTAINER=""',
        "-apiVersion: kubelet.config.k8s.io/v1beta1",
        "+apiVersion: kubelet.config.k8s.io/v1",
    ]
