"""What firewalld lets through: ports (`6443/tcp`) that are open or closed, sources (networks) in the zone `trusted`.

Where firewalld does not run a host has no such settings.
"""

from __future__ import annotations

from k8s_installer.host.family import ABSENT, Family

PORT, SOURCE = "firewalld-port", "firewalld-source"
OPEN, CLOSED = "open", "closed"
TRUSTED, OTHER = "trusted", "other"

# Its programs are Python's and take a quarter of a second each: asked only where firewalld runs, and once for all
# subjects. One that fails is no answer, and so its settings are unknown.
_ANSWER = f"""\
firewalld_runs() {{
  if [ -z "${{firewalld-}}" ]; then
    firewalld=no
    ! command -v firewall-cmd >/dev/null || ! systemctl is-active firewalld >/dev/null || firewalld=yes
  fi
  [ "$firewalld" = yes ]
}}
without_firewalld() {{ # family subjects...
  family=$1
  shift
  for name do echo "setting {ABSENT} {ABSENT} $family $name"; done
}}
listed() {{ # family yes no now boot subjects...
  family=$1 yes=$2 no=$3 now=" $4 " boot=" $5 "
  shift 5
  for name do
    case $now in *" $name "*) a=$yes ;; *) a=$no ;; esac
    case $boot in *" $name "*) b=$yes ;; *) b=$no ;; esac
    echo "setting $a $b $family $name"
  done
}}
"""
_ASK_PORT = f"""\
ask_firewalld_port() {{ # ports
  firewalld_runs || {{ without_firewalld {PORT} "$@"; return; }}
  now=$(firewall-cmd --list-ports) && boot=$(firewall-cmd --permanent --list-ports) &&
    listed {PORT} {OPEN} {CLOSED} "$now" "$boot" "$@"
}} 2>/dev/null
"""
_ASK_SOURCE = f"""\
ask_firewalld_source() {{ # networks
  firewalld_runs || {{ without_firewalld {SOURCE} "$@"; return; }}
  now=$(firewall-cmd --zone=trusted --list-sources) &&
    boot=$(firewall-cmd --permanent --zone=trusted --list-sources) &&
    listed {SOURCE} {TRUSTED} {OTHER} "$now" "$boot" "$@"
}} 2>/dev/null
"""
# Never a reload: that would drop the rules of docker and kube-proxy.
_SET_PORT = f"""\
set_firewalld_port() {{ # port now boot
  case $2 in {OPEN}) firewall-cmd --add-port="$1" ;; *) firewall-cmd --remove-port="$1" ;; esac &&
    case $3 in
      {OPEN}) firewall-cmd --permanent --add-port="$1" ;;
      *) firewall-cmd --permanent --remove-port="$1" ;;
    esac
}}
"""
_SET_SOURCE = f"""\
set_firewalld_source() {{ # network now boot
  case $2 in
    {TRUSTED}) firewall-cmd --zone=trusted --add-source="$1" ;;
    *) firewall-cmd --zone=trusted --remove-source="$1" ;;
  esac && case $3 in
    {TRUSTED}) firewall-cmd --permanent --zone=trusted --add-source="$1" ;;
    *) firewall-cmd --permanent --zone=trusted --remove-source="$1" ;;
  esac
}}
"""

FAMILIES = (
    Family(PORT, ask=(_ANSWER, _ASK_PORT), set=(_SET_PORT,)),
    Family(SOURCE, ask=(_ANSWER, _ASK_SOURCE), set=(_SET_SOURCE,)),
)
