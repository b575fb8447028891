"""What yum 3.4's words mean, and what to do about them. Pure: the words are matched, never what was wanted."""

from __future__ import annotations

import re
from typing import NamedTuple


class Trouble(NamedTuple):
    """A kind of failure: its name, how yum, urlgrabber, rpm or curl say it, and what to do."""

    name: str
    words: re.Pattern[str]
    hint: str


def _trouble(name: str, words: str, hint: str) -> Trouble:
    return Trouble(name, re.compile(words), hint)


# The first that fits is the cause: a full disk or a held lock makes yum complain of other things, too, and where a
# repository cannot be reached its packages are not available, either.
TROUBLES = (
    _trouble(
        "locked",
        r"yum is locked by|Another app is currently holding the yum lock|Existing lock \S*yum\.pid|"
        r"can't create transaction lock|Waiting for process with pid \d+ to finish",
        "another program installs packages: wait for it, or end it, then run `apply` again",
    ),
    _trouble(
        "disk",
        r"No space left on device|Insufficient space in download directory|Failed writing received data|curl#23|"
        r"needs \d+\s?[KMG]B on the \S+ filesystem|At least \d+\s?[KMG]B more space needed",
        "make room on the host: `df -h`, and `yum clean all` empties yum's own cache in /var/cache/yum",
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
        r"Could not resolve host|Couldn't resolve host|Name or service not known|Temporary failure in name resolution",
        "the host cannot find its repositories by name: fix /etc/resolv.conf; CentOS 7's mirror lists are gone: "
        "`repos: vault` in the inventory, or `repos: {mirror: URL}` for a copy of your own",
    ),
    _trouble(
        "route",
        r"Network is unreachable|No route to host|Connection timed out|Connection refused|Operation too slow|"
        r"Failed to connect|Failed connect to|[Cc]ouldn't connect to|\bTimeout on http",
        "the host cannot reach its repositories: fix the route or the firewall between, or give it a copy that it "
        "reaches with `repos: {mirror: URL}` in the inventory",
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
        "what came is not what the repository promised: a full disk (`df -h`), a proxy that keeps old files, or a "
        "mirror in the middle of an update; `yum clean all` on the host, then run `apply` again",
    ),
    _trouble(
        "unread",
        r"(?s)\A(?!.*\b404\b).*Failed to download metadata for repo",
        "the host could not read its repositories: `yum makecache` on it says why (dnf keeps that to itself with -q)",
    ),
    _trouble(
        "metadata",
        r"repomd\.xml|\b404\b|Could not retrieve mirrorlist|Cannot find a valid baseurl|"
        r"Cannot retrieve repository metadata|failure: repodata/",
        "the repository is not where the host looks for it: `repos: vault` in the inventory uses CentOS 7's archive, "
        "`repos: {mirror: URL}` a copy of your own",
    ),
    _trouble(
        "package",
        r"No package \S+ available|Nothing to do|Unable to find a match|No packages marked for",
        "no repository of the host has this package in this version: `yum list --showduplicates NAME` says what there "
        "is; etcd, docker and Kubernetes 1.5.2 are in CentOS 7's extras",
    ),
    _trouble(
        "conflict",
        r"Transaction [Cc]heck [Ee]rror|conflicts (?:between|with)|Requires: |Protected multilib versions",
        "another package on the host is in the way: remove it, or the repository that it came from",
    ),
)


def hint(output: str) -> str:
    """What to do about a failed transaction; empty where its words are not known."""
    trouble = classify(output)
    return trouble.hint if trouble else ""


def classify(output: str) -> Trouble | None:
    """The trouble that yum's words tell of."""
    return next((trouble for trouble in TROUBLES if trouble.words.search(output)), None)
