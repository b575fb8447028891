"""What firewalld lets through: ports (`6443/tcp`) that are open or closed, sources (networks) in the zone `trusted`.

Of a firewalld that is down this is what it starts with. A host has no such settings if firewalld neither runs nor
starts at a boot, and nothing of it was ever placed there.
"""

from __future__ import annotations

from k8s_installer.host.family import ABSENT, Family

UNIT = "firewalld"
PORT, SOURCE = "firewalld-port", "firewalld-source"
OPEN, CLOSED = "open", "closed"
TRUSTED, OTHER = "trusted", "other"

# Its programs are Python's and take a quarter of a second each: asked only where it matters, and once for all
# subjects. One that fails is no answer, and so its settings are unknown. Of one that is down firewall-offline-cmd knows
# the permanent configuration, which is all that there is of it then.
_ANSWER = f"""\
firewalld_is() {{ # sets firewalld to up, down or none
  [ -z "${{firewalld-}}" ] || return 0
  firewalld=none
  command -v firewall-cmd >/dev/null || return 0
  if systemctl is-active {UNIT} >/dev/null; then firewalld=up
  elif ! command -v firewall-offline-cmd >/dev/null; then :
  elif systemctl is-enabled {UNIT} >/dev/null || grep -qs {UNIT} "$state/placed"; then firewalld=down
  fi
}}
asked_firewalld() {{ # option...: sets now and boot
  if [ "$firewalld" = up ]; then now=$(firewall-cmd "$@") && boot=$(firewall-cmd --permanent "$@")
  else boot=$(firewall-offline-cmd "$@") && now=$boot
  fi
}}
listed() {{ # family yes no subjects...
  family=$1 yes=$2 no=$3
  shift 3
  for name do
    case " $now " in *" $name "*) a=$yes ;; *) a=$no ;; esac
    case " $boot " in *" $name "*) b=$yes ;; *) b=$no ;; esac
    [ "$firewalld" != none ] || a={ABSENT} b={ABSENT}
    echo "setting $a $b $family $name"
  done
}}
"""
_ASK_PORT = f"""\
ask_firewalld_port() {{ # ports
  firewalld_is
  [ "$firewalld" = none ] || asked_firewalld --list-ports || return
  listed {PORT} {OPEN} {CLOSED} "$@"
}} 2>/dev/null
"""
_ASK_SOURCE = f"""\
ask_firewalld_source() {{ # networks
  firewalld_is
  [ "$firewalld" = none ] || asked_firewalld --zone=trusted --list-sources || return
  listed {SOURCE} {TRUSTED} {OTHER} "$@"
}} 2>/dev/null
"""
# Never a reload: that would drop the rules of docker and kube-proxy. Whether it runs may have changed in this script.
_SET = f"""\
in_firewalld() {{ # option for now, option for the next start [zone]
  if systemctl is-active {UNIT} >/dev/null; then firewall-cmd ${{3-}} "$1" && firewall-cmd --permanent ${{3-}} "$2"
  else firewall-offline-cmd ${{3-}} "$2"
  fi
}}
"""
_SET_PORT = f"""\
set_firewalld_port() {{ # port now boot
  case $2 in {OPEN}) now=add ;; *) now=remove ;; esac
  case $3 in {OPEN}) boot=add ;; *) boot=remove ;; esac
  in_firewalld "--$now-port=$1" "--$boot-port=$1"
}}
"""
_SET_SOURCE = f"""\
set_firewalld_source() {{ # network now boot
  case $2 in {TRUSTED}) now=add ;; *) now=remove ;; esac
  case $3 in {TRUSTED}) boot=add ;; *) boot=remove ;; esac
  in_firewalld "--$now-source=$1" "--$boot-source=$1" --zone=trusted
}}
"""

FAMILIES = (
    Family(PORT, ask=(_ANSWER, _ASK_PORT), set=(_SET, _SET_PORT), unit=UNIT),
    Family(SOURCE, ask=(_ANSWER, _ASK_SOURCE), set=(_SET, _SET_SOURCE), unit=UNIT),
)
