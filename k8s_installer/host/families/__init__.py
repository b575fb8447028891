"""The families of host settings: what each can be, the one way to ask for it, and the one way to set it. Pure.

| family | subject | values | a host without it |
|---|---|---|---|
| `selinux` | | enforcing, permissive (disabled is as good), disabled | no SELinux: as wanted |
| `swap` | | on, off | a container, whose swap is its machine's: as wanted |
| `unit` | a systemd service | on, off | no such unit: as wanted |
| `firewalld-port` | 6443/tcp, 30000-32767/udp | open, closed | firewalld does not run: as wanted |
| `firewalld-source` | 10.244.0.0/16 | trusted, other | firewalld does not run: as wanted |
| `yum-proxy` | | http://10.0.0.9:3128, none | no yum.conf: as wanted |
| `hosts-file` | | 10.77.0.11=m1,10.77.0.21=n1, none | no /etc/hosts: it is made |
| `journal` | | persistent, volatile | |
| `user` | a user and its group | system | it is made |
| `addons` | | a,b: those that were applied | one more than is wanted is taken out of the cluster |
| `addon` | a manifest's name | its sum, none (see `addons.py`) | |
| `image` | a container image | docker's id of it | it is loaded |

Each is a state now and one from the next boot on: a value is one word where both are the same, else
`A now, B at boot`. Scripts run by POSIX sh on CentOS 7; `$root` is empty but for tests.
"""

from k8s_installer.host.families.asking import answers, questions, units, value
from k8s_installer.host.families.families import IMAGES, NOTHING, OFF, ON, UNIT
from k8s_installer.host.families.setting import setter, setters
from k8s_installer.host.families.words import block, differs, one_way, words

__all__ = [
    "IMAGES",
    "NOTHING",
    "OFF",
    "ON",
    "UNIT",
    "answers",
    "block",
    "differs",
    "one_way",
    "questions",
    "setter",
    "setters",
    "units",
    "value",
    "words",
]
