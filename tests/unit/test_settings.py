from __future__ import annotations

import pytest

from k8s_installer.settings import same

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
        ("/etc/kubernetes/pki/ca.crt", "x", "x\n"),
        ("/etc/kubernetes/network/routes.sh", "# a\ntrue\n", "# b\ntrue\n"),
        ("/etc/kubernetes/abac.jsonl", "{}\n", "{} \n"),
        ("/usr/bin/x", "a", "a "),
        (ENV, "A=\xff\n", "A=\xff \n"),
    ],
)
def test_whatever_a_program_could_tell_apart_is_a_change(path: str, old: str, new: str) -> None:
    assert not same(path, old.encode("latin-1"), new.encode("latin-1"))
