"""The way to a host: POSIX sh scripts over SSH. Nothing else imports Fabric, Paramiko or Invoke.

Fabric connects; scripts run on a channel of the connected client and never through Invoke's runner, which polls
in three threads for each command and corrupts what is not text on stdin.

Only the inventory says how a host is reached. ~/.ssh/config, /etc/ssh/ssh_config and Fabric's own files and
environment variables are not read, so that a plan does not depend on who makes it: a jump host is
`ssh.gateway`, a user `ssh.user`. The SSH agent is used; keys of ~/.ssh are tried only where the inventory
names no key.
"""

from k8s_installer.transport.connection import connect
from k8s_installer.transport.exchange import OnLine, OnSent
from k8s_installer.transport.hostkeys import UnknownHostError
from k8s_installer.transport.limits import LimitError, connections
from k8s_installer.transport.pool import Line, Pool
from k8s_installer.transport.session import Result, Transport

__all__ = [
    "LimitError",
    "Line",
    "OnLine",
    "OnSent",
    "Pool",
    "Result",
    "Transport",
    "UnknownHostError",
    "connect",
    "connections",
]
