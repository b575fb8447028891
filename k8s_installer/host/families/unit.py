"""Services that should not run: on or off. systemd is asked for them with all other units, by `observe`."""

from __future__ import annotations

from k8s_installer.host.family import Family, Value

NAME = "unit"
ON, OFF = "on", "off"

_SET = f"""\
set_unit() {{ # unit now boot
  case $3 in {ON}) systemctl enable "$1" ;; *) systemctl disable "$1" ;; esac &&
    case $2 in {ON}) systemctl start "$1" ;; *) systemctl stop "$1" ;; esac
}}
"""


def value(*, runs: bool, enabled: bool) -> str:
    """How a service is, as a value."""
    now, boot = (ON if state else OFF for state in (runs, enabled))
    return str(Value(now, boot))


FAMILY = Family(NAME, ask=(), set=(_SET,))
