"""What yum 3.4.3, urlgrabber, rpm 4.11 and (in the lab) dnf print, by what is wrong."""

from __future__ import annotations

import pytest

from k8s_installer.yum import TROUBLES, classify, hint

SAID = [
    ("locked", "Another app is currently holding the yum lock; waiting for it to exit..."),
    ("locked", "Existing lock /var/run/yum.pid: another copy is running as pid 4711."),
    ("locked", "yum is locked by process 4711 for 300 s: /usr/bin/python /usr/bin/yum -y update"),
    ("locked", "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)"),
    ("disk", "Error Downloading Packages:\n  docker-1.13.1: Insufficient space in download directory /var/cache/yum/x86_64/7/extras/packages\n    * free   1.2 M\n    * needed 18 M"),
    ("disk", "Transaction check error:\n  installing package kubernetes-node-1.5.2 needs 82MB on the / filesystem\n\nError Summary\n-------------\nDisk Requirements:\n  At least 82MB more space needed on the / filesystem."),
    ("disk", "http://vault.centos.org/7.9.2009/os/x86_64/repodata/repomd.xml: [Errno 5] [Errno 28] No space left on device"),
    ("signature", "warning: /var/cache/yum/etcd.rpm: Header V4 RSA/SHA256 Signature, key ID f4a80eb5: NOKEY\nPublic key for etcd-3.3.11-2.el7.centos.x86_64.rpm is not installed"),
    ("signature", "Package etcd-3.3.11-2.el7.centos.x86_64.rpm is not signed"),
    ("signature", "GPG key retrieval failed: [Errno 14] curl#37 - \"Couldn't open file /etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7\""),
    ("signature", 'The GPG keys listed for the "CentOS-7 - Base" repository are already installed but they are not correct for this package.'),
    ("name", 'Could not retrieve mirrorlist http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os&infra=stock error was\n14: curl#6 - "Could not resolve host: mirrorlist.centos.org; Unknown error"'),
    ("route", 'http://10.0.0.9/repodata/repomd.xml: [Errno 14] curl#7 - "Failed connect to 10.0.0.9:80; Connection refused"\nTrying other mirror.'),
    ("route", 'http://vault.centos.org/7.9.2009/os/x86_64/repodata/repomd.xml: [Errno 14] curl#7 - "Failed to connect to 2600:9000::1: Network is unreachable"'),
    ("route", "http://10.0.0.9/repodata/repomd.xml: [Errno 12] Timeout on http://10.0.0.9/repodata/repomd.xml: (28, 'Connection timed out after 30001 milliseconds')"),
    ("route", "Errors during downloading metadata for repository 'lab':\n  - Curl error (7): Couldn't connect to server for http://10.77.0.1/repodata/repomd.xml"),
    ("certificate", "https://mirror/repodata/repomd.xml: [Errno 14] curl#60 - \"Peer's Certificate has expired.\""),
    ("certificate", "https://mirror/repodata/repomd.xml: [Errno 14] curl#60 - \"Peer's Certificate issuer is not recognized.\""),
    ("metadata", "http://mirror/centos/7/os/x86_64/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found\nTrying other mirror."),
    ("metadata", " One of the configured repositories failed (Unknown),\n Cannot find a valid baseurl for repo: base/7/x86_64"),
    ("metadata", "failure: repodata/repomd.xml from extras: [Errno 256] No more mirrors to try."),
    ("package", "No package kubernetes-master-1.20.2 available.\nError: Nothing to do"),
    ("package", "No match for argument: etcd\nError: Unable to find a match: etcd"),
    ("conflict", "Transaction check error:\n  file /usr/bin/docker from install of docker-1.13.1 conflicts with file from package docker-ce-cli-19.03"),
    ("conflict", "Error: Package: docker-1.13.1 (extras)\n           Requires: container-selinux >= 2:2.2-2"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words"), SAID)
def test_what_yum_says_is_told_apart(name: str, words: str) -> None:
    found = classify(words)
    assert found is not None
    assert found.name == name
    assert hint(words) == found.hint


def test_every_kind_of_trouble_has_words_that_were_seen() -> None:
    assert {trouble.name for trouble in TROUBLES} == {name for name, _ in SAID}


def test_words_that_nobody_knows_get_no_hint() -> None:
    assert hint("Segmentation fault") == ""
