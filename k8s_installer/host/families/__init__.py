"""The families of settings: what each can be, the one way to ask for it, and the one way to set it. Pure.

| family | subject | values | a host without it |
|---|---|---|---|
| `selinux` | | enforcing, permissive (disabled is as good), disabled | no SELinux: as wanted |
| `swap` | | on, off | a container, whose swap is its machine's: as wanted |
| `firewalld-port` | 6443/tcp, 30000-32767/udp | open, closed | firewalld is off (`firewalld.py`): as wanted |
| `firewalld-source` | 10.244.0.0/16 | trusted, other | firewalld is off: as wanted |
| `yum-proxy` | | http://10.0.0.9:3128, none | no yum.conf: as wanted |
| `hosts-file` | | 10.77.0.11=m1,10.77.0.21=n1, none | no /etc/hosts: it is made |
| `journal` | | persistent, volatile, default (without our drop-in) | |
| `user` | a user and its group | system, group (without the user), absent | it is made |
| `image` | a container image | docker's id of it, absent | it is loaded |
| `node` | a Node object, asked for on a master | present, absent | it is absent |
| `node-label` | n1 disk: a node and a key | =ssd, none (see `host/nodes.py`) | |
| `node-annotation` | n1 example.com/note | the same | |
| `node-taint` | n1 dedicated:NoSchedule | the same | |
| `node-annotated-taint` | as of `node-taint`, before 1.6 | the same | |
| `drained` | a Node | flags of its drain, drained, released (see `host/drains.py`) | it is released |
| `schedulable` | a Node | released, drained | it is released |
| `secrets` | | key2: the key with which all are written, none | no note of it: as if written with another |
| `tokens` | | a sum of the key that signed those of service accounts, none | no note of it: as if signed with another |
| `addons` | | a,b: those that were applied | one more than is wanted is taken out of the cluster |
| `addon` | a manifest's name | its sum, none (see `host/addons.py`) | |
| `etcd-members` and three more | see `host/etcd.py` | | etcd does not answer |
| `etcd-backups` | | when, how many and where (see `host/backups.py`), none | there is no timer |
| `etcd-restored` and two more | see `host/restored.py` | | etcd's data was not restored |

The first eight are properties of the host itself; images are docker's, Nodes, addons, members and etcd's data the
cluster's. Scripts run by POSIX sh on CentOS 7; `$root` is empty but for tests.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from k8s_installer.host import accounts, addons, backups, drains, etcd, images, nodes, restored, secrets
from k8s_installer.host.families import firewalld, hosts_file, journal, selinux, swap, user, yum_proxy
from k8s_installer.host.family import ABSENT, Family, Value
from k8s_installer.untrusted.answers import words as split

_ALL = (
    selinux.FAMILY, swap.FAMILY, *firewalld.FAMILIES, yum_proxy.FAMILY, hosts_file.FAMILY,
    journal.FAMILY, user.FAMILY, images.FAMILY, *nodes.FAMILIES, *drains.FAMILIES, secrets.FAMILY, accounts.FAMILY,
    *addons.FAMILIES, *etcd.FAMILIES, backups.FAMILY, *restored.FAMILIES,
)  # fmt: skip
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}


def questions(names: Iterable[str]) -> str:
    """The part of the one read-only script that asks for these settings."""
    asked = {FAMILIES[name]: subjects for name, subjects in _by_family(names).items() if FAMILIES[name].ask}
    functions = dict.fromkeys(piece for family in asked for piece in family.ask)
    calls = (shlex.join([f"ask_{family.function}", *filter(None, names)]) + "\n" for family, names in asked.items())
    return "".join((*functions, *calls))


def answers(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Read what `questions` had said, without the word `setting`: names with values, None where there is no such.

    Raises:
        Malformed: a line is none of theirs.
    """
    for line in lines:
        now, boot, name = split(line, 3, "a setting")
        yield name, None if now == ABSENT else str(Value(now, boot))


def setters(names: Iterable[str]) -> str:
    """The functions that set these settings; they use `keep` and `$root`."""
    return "".join(dict.fromkeys(piece for family in _by_family(names) for piece in FAMILIES[family].set))


def setter(name: str, wanted: str) -> str:
    """The command that sets a setting: the name of one of `setters`, with its arguments."""
    family, subject = _family(name)
    value = Value.parse(wanted)
    return shlex.join([f"set_{family.function}", *([subject] if subject else []), value.now, value.boot])


def differs(name: str, seen: str | None, wanted: str) -> str:
    """Why a setting must be changed, in words, or nothing where it is as wanted; None is a host that has no such."""
    family, subject = _family(name)
    return family.differs(subject, seen, wanted)


def original(name: str, before: str | None) -> str | None:
    """The value that puts a setting back to what it was before this program first set it.

    Args:
        name: the setting's.
        before: what was seen then; None where the host had no such.

    Returns:
        A value that can be wanted; None where there is nothing to put back.
    """
    return _family(name)[0].original(before)


def words(name: str, wanted: str) -> str:
    """What setting a setting does, for people."""
    family, subject = _family(name)
    return family.words(subject, wanted) if family.words else f"set {name} to {wanted}"


def unit(name: str) -> str:
    """The service that a setting configures, which starts after it is set; empty if there is none."""
    return _family(name)[0].unit


def node(name: str) -> str:
    """The node that a setting is about, which any master can set; empty where it is about the host itself."""
    family, subject = _family(name)
    return family.node(subject) if family.node else ""


def one_way(name: str) -> bool:
    """Whether a rollback cannot bring back what was there."""
    return _family(name)[0].one_way


def block(name: str, value: str) -> tuple[str, bytes] | None:
    """The file that a setting has lines in, and these lines; None where a value is all that there is to show."""
    family, _ = _family(name)
    return family.lines(value) if family.lines else None


def _family(name: str) -> tuple[Family, str]:
    """The family that a setting is of, and its subject."""
    family, _, subject = name.partition(" ")
    return FAMILIES[family], subject


def _by_family(names: Iterable[str]) -> dict[str, list[str]]:
    """The subjects of each family."""
    found: dict[str, list[str]] = {}
    for name in names:
        family, _, subject = name.partition(" ")
        found.setdefault(family, []).append(subject)
    return found
