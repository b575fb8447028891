"""Flags of components among the keys of an inventory: the finding says where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import InventoryError
from k8s_installer.flows import resolve

INVENTORY = """\
cluster: {name: lab, version: "%s"}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master, node]%s}
"""


@pytest.mark.parametrize(
    ("version", "more", "words"),
    [
        ("1.20.2", ", max-pods: 50", "hosts.m1.max-pods (max-pods is a flag of kubelet: components: {kubelet: {args: {max-pods: 50}}})"),
        ("1.5.2", ", feature-gates: [a]", "(feature-gates is a flag of kube-apiserver: components: {kube-apiserver: {args: {feature-gates: ...}}})"),
        ("1.20.2", ", components: {kubelet: {feature-gates: A=true}}", '(feature-gates is a flag of kubelet: components: {kubelet: {args: {feature-gates: "A=true"}}})'),
        ("1.20.2", ", adress: a", "hosts.m1.adress (did you mean address?)"),
        ("9.9.9", ", max-pods: 50", "unknown key hosts.m1.max-pods"),
        ("1.20.2", ", zzz: 50", "unknown key hosts.m1.zzz"),
    ],
)  # fmt: skip
def test_a_flag_among_the_keys_of_a_host_is_told_with_its_place(
    version: str, more: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(INVENTORY % (version, more))
    with pytest.raises(InventoryError) as raised:
        resolve.checked(path)
    assert str(raised.value.message).splitlines()[0].endswith(words)
