"""The one script by which `init --from-hosts` asks a host, and what it answers. Pure.

The script reads only. Every answer is a line with a word in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface

from k8s_installer.host import paths, placed
from k8s_installer.host.statedir import STATE
from k8s_installer.preflight.answer import assignments, networks, offers
from k8s_installer.preflight.tables import SYSTEM_VERSION, YUM_SECONDS
from k8s_installer.untrusted import answers

KUBERNETES, ETCD, DOCKER = "kubernetes-master", "etcd", "docker"
# What a host may have already; the first ones bring the programs of Kubernetes.
PACKAGES = (KUBERNETES, "kubernetes-node", "kubernetes", ETCD, DOCKER, "docker-ce", "flannel")
ASK_SECONDS = 30.0 + YUM_SECONDS  # how long the script may take
_END = "end-of-init"
_CENTOS = "centos"

SCRIPT = f"""\
sed 's/^/os /' {paths.OS_RELEASE} 2>/dev/null
echo "hostname $(uname -n)"
ip -4 -o addr show 2>/dev/null | sed 's/^/address /'
ip -4 route show default 2>/dev/null | sed -n '1s/.* dev \\([^ ]*\\).*/device \\1/p'
systemd-detect-virt --quiet --container 2>/dev/null && echo container
rpm -q --qf 'rpm %{{NAME}} %{{VERSION}}\\n' {" ".join(PACKAGES)} 2>/dev/null | grep '^rpm '
sed -n 's/.*"cluster": *"\\([^"]*\\)".*/cluster \\1/p' {STATE}/{placed.NAME} 2>/dev/null | sort -u | head -n 3
answer=$(timeout -k 5 {YUM_SECONDS} yum -q list available --showduplicates {KUBERNETES} {ETCD} {DOCKER} 2>/dev/null)
printf '%s\\n' "$answer" | sed 's/^/yum /'
echo {_END}
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host says of itself.

    `system` is its operating system as it calls it, `centos` whether that is CentOS 7, `device` the interface of its
    default route (empty: none), `installed` the versions of packages that are there, `offered` those that yum can
    install, by package, and `clusters` the names of clusters that this program made there.
    """

    hostname: str
    system: str
    centos: bool
    networks: tuple[tuple[str, IPv4Interface], ...]
    device: str
    container: bool
    installed: Mapping[str, str]
    offered: Mapping[str, frozenset[str]]
    clusters: tuple[str, ...]


def parse(output: str) -> Facts | None:
    """Read what `SCRIPT` printed; None where it was cut off.

    Raises:
        Malformed: a line is not what its question prints.
    """
    lines = answers.lines(output)
    if _END not in lines:
        return None
    replies: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        replies.setdefault(word, []).append(rest)
    system = dict(assignments(replies.get("os", ())))
    version = system.get("VERSION_ID", "").partition(".")[0]
    found = offers(replies.get("yum", ()))
    return Facts(
        hostname=replies.get("hostname", [""])[0],
        system=system.get("PRETTY_NAME", ""),
        centos=(system.get("ID"), version) == (_CENTOS, SYSTEM_VERSION),
        networks=tuple(networks(replies.get("address", ()))),
        device=replies.get("device", [""])[0],
        container="container" in replies,
        installed=dict(_package(line) for line in replies.get("rpm", ())),
        offered={name: frozenset(one.partition("-")[0] for one in versions) for name, versions in found.items()},
        clusters=tuple(replies.get("cluster", ())),
    )


def _package(line: str) -> tuple[str, str]:
    name, version = answers.words(line, 2, "a package")
    return name, version
