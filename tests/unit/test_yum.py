"""What yum 3.4.3, urlgrabber, rpm 4.11 and (in the lab) dnf print, by what is wrong."""

from __future__ import annotations

import pytest

from k8s_installer.host.yum import TROUBLES, classify, hint

NO_REPO = "Error: Failed to download metadata for repo 'lab': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried"
ERRORS = "Errors during downloading metadata for repository 'lab':\n"
# what yum prints on a lab's host (it is dnf 4 there), taken over as it was: tests/fleet/test_yum.py makes each happen
ON_THE_LAB = [
    ("locked", "RPM: error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\nThe downloaded packages were saved in cache until the next successful transaction.\nYou can remove cached packages by executing 'yum clean packages'.\nError: Could not run transaction."),
    ("locked", "Waiting for process with pid 263 to finish."),
    ("disk", "[MIRROR] etcd-3.3.25-0.lab.el7.x86_64.rpm: Curl error (23): Failed writing received data to disk/application for http://10.77.0.1/etcd-3.3.25-0.lab.el7.x86_64.rpm [Failure writing output to destination]\nError: Error downloading packages:\n  etcd-3.3.25-0.lab.el7.x86_64: Download failed: Curl error (23): Failed writing received data to disk/application for http://10.77.0.1/etcd-3.3.25-0.lab.el7.x86_64.rpm [Failure writing output to destination]"),
    ("damaged", f"{ERRORS}  - Downloading successful, but checksum doesn't match. Calculated: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855(sha256)  Expected: 2225a52d5f875b362a94b4f37d3a07fe39e0f61bb9ef9529c161ad9a3fba748e(sha256) \nError: Failed to download metadata for repo 'lab': Yum repo downloading error: Downloading error(s): repodata/2225a52d5f875b362a94b4f37d3a07fe39e0f61bb9ef9529c161ad9a3fba748e-primary.xml.gz - Cannot download, all mirrors were already tried without success"),
    ("signature", "Package etcd-3.3.25-0.lab.el7.x86_64.rpm is not signed\nError: GPG check FAILED"),
    ("name", f"{ERRORS}  - Curl error (6): Couldn't resolve host name for http://no-such-host.invalid/repodata/repomd.xml [Could not resolve host: no-such-host.invalid]\n{NO_REPO}"),
    ("route", f"{ERRORS}  - Curl error (7): Couldn't connect to server for http://127.0.0.1:9/repodata/repomd.xml [Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server]\n{NO_REPO}"),
    ("metadata", f"{ERRORS}  - Status code: 404 for http://10.77.0.1/nosuch/repodata/repomd.xml (IP: 10.77.0.1)\n{NO_REPO}"),
    ("unread", NO_REPO),  # with -q that is all
    ("package", "No match for argument: kubernetes-master-9.9.9\nError: Unable to find a match: kubernetes-master-9.9.9"),
]  # fmt: skip
SAID = [
    ("damaged", "repodata/repomd.xml: [Errno -1] Metadata file does not match checksum\nTrying other mirror."),
    ("disk", 'http://mirror/docker-1.13.1.rpm: [Errno 14] curl#23 - "Failed writing body (0 != 1024)"'),
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
    ("none", 'There are no enabled repos.\n Run "yum repolist all" to see the repos you have.'),
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


@pytest.mark.parametrize(("name", "words"), SAID + ON_THE_LAB)
def test_what_yum_says_is_told_apart(name: str, words: str) -> None:
    found = classify(words)
    assert found is not None
    assert found.name == name
    assert hint(words) == found.hint
    assert found.line(words) in words.splitlines()


def test_every_kind_of_trouble_has_words_that_were_seen() -> None:
    assert {trouble.name for trouble in TROUBLES} == {name for name, _ in SAID + ON_THE_LAB}


def test_words_that_nobody_knows_get_no_hint() -> None:
    assert hint("Segmentation fault") == ""
