"""What yum 3.4's messages mean, and what to do about them: one table for `preflight` and `apply`. Pure.

The messages are matched, never what was wanted.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from k8s_installer.host.paths import YUM_PID


class Trouble(NamedTuple):
    """A kind of failure: its name, how yum, urlgrabber, rpm or curl say it, and what to do."""

    name: str
    words: re.Pattern[str]
    hint: str

    def line(self, output: str) -> str:
        """The first line of `output` that says it; empty where none does."""
        return next((line for line in output.splitlines() if self.words.search(line)), "")


def _trouble(name: str, words: str, hint: str) -> Trouble:
    return Trouble(name, re.compile(words), hint)


# The first that fits is the cause: a full disk or a held lock makes yum complain of other things, too, and where a
# repository cannot be reached its packages are not available, either.
TROUBLES = (
    _trouble(
        "locked",
        r"yum is locked by|Another app is currently holding the yum lock|Existing lock \S*yum\.pid|"
        r"can't create transaction lock|Waiting for process with pid \d+ to finish",
        f"another yum runs, or another program that installs packages: wait for it or end it (`cat {YUM_PID}` has "
        "yum's process), then try again",
    ),
    _trouble(
        "disk",
        r"No space left on device|Insufficient space in download directory|Failed writing received data|curl#23|"
        r"needs \d+\s?[KMG]B on the \S+ filesystem|At least \d+\s?[KMG]B more space needed",
        "free space on the host: check `df -h`; `yum clean all` empties yum's own cache in /var/cache/yum",
    ),
    _trouble(
        "signature",
        r"Public key for \S+ is not installed|NOKEY|BAD GPG|GPG key retrieval failed|is not signed|"
        r"GPG keys? listed for|repomd\.xml signature could not be verified",
        "the package is not signed by a key that the host trusts: import the repository's key (`rpm --import`), and "
        "never turn gpgcheck off for a repository that others can write to",
    ),
    _trouble(
        "name",
        r"mirrorlist\.centos\.org",
        "the mirrors of CentOS 7 are gone: `repos: vault` in the inventory uses its archive, `repos: {mirror: URL}` a "
        "copy of your own",
    ),
    _trouble(
        "name",
        r"Could not resolve host|Couldn't resolve host|Name or service not known|Temporary failure in name resolution",
        "the host cannot resolve a repository's name: fix its /etc/resolv.conf, or set a proxy "
        "(`host_settings.proxy` in the inventory)",
    ),
    _trouble(
        "route",
        r"Network is unreachable|No route to host|Connection timed out|Connection refused|Operation too slow|"
        r"Failed to connect|Failed connect to|[Cc]ouldn't connect to|\bTimeout on http",
        "a repository does not answer: fix the route or the firewall in between (`curl -v` its baseurl from the host), "
        "or set `repos: {mirror: URL}` or `host_settings.proxy` in the inventory",
    ),
    _trouble(
        "certificate",
        r"Peer's Certificate|certificate (?:issuer|has expired|verify failed)|SSL connect error|"
        r"Peer certificate cannot be authenticated",
        "the host does not trust the repository's certificate: set its clock, update ca-certificates, or use http",
    ),
    _trouble(
        "damaged",
        r"checksum doesn't match|does not match checksum|does not match metalink|does not match intended download",
        "the download does not match the repository's metadata: a full disk (`df -h`), a proxy that serves old "
        "files, or a mirror in the middle of an update; `yum clean all` on the host, then try again",
    ),
    _trouble(
        "unread",
        r"(?s)\A(?!.*\b404\b).*Failed to download metadata for repo",
        "a repository does not answer this host: `yum makecache` there shows why (dnf -q hides the reason)",
    ),
    _trouble(
        "none",
        r"no enabled repos|no repositories available",
        "enable one of the host's repositories (`enabled=1` in a file of /etc/yum.repos.d), or set `repos` in the "
        "inventory",
    ),
    _trouble(
        "metadata",
        r"repomd\.xml|\b404\b|Could not retrieve mirrorlist|Cannot find a valid baseurl|"
        r"Cannot retrieve repository metadata|failure: repodata/",
        "a repository's address is wrong: fix its baseurl in /etc/yum.repos.d, or let the inventory set it: `repos: "
        "vault` is CentOS 7's archive, `repos: {mirror: URL}` a copy of your own",
    ),
    _trouble(
        "package",
        r"No package \S+ available|Nothing to do|Unable to find a match|No packages marked for",
        "no repository of the host has this package in this version: `yum list --showduplicates NAME` lists what "
        "exists; etcd, docker and Kubernetes 1.5.2 are in CentOS 7's extras",
    ),
    _trouble(
        "conflict",
        r"Transaction [Cc]heck [Ee]rror|conflicts (?:between|with)|Requires: |Protected multilib versions",
        "another package on the host conflicts: remove it, or the repository that it came from",
    ),
)


OTHERWISE = "`yum repolist -v` on the host shows more"  # what to do about words that no trouble has


def hint(output: str) -> str:
    """What to do about a failed transaction; empty where its message is not known."""
    trouble = classify(output)
    return trouble.hint if trouble else ""


def classify(output: str) -> Trouble | None:
    """The trouble that yum's output tells of; None where it is not known."""
    return next((trouble for trouble in TROUBLES if trouble.words.search(output)), None)
