"""How a setting is set: a function of the shell for each family. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from k8s_installer.host.families import addons
from k8s_installer.host.families.asking import JOURNAL_NOW
from k8s_installer.host.families.families import (
    ADDON,
    ADDONS,
    BEGIN,
    END,
    HOSTS_FILE,
    IMAGE,
    IMAGES,
    JOURNAL,
    JOURNALD,
    MARKER,
    NOTHING,
    ON,
    OPEN,
    PERSISTENT,
    PORT,
    SELINUX,
    SOURCE,
    SWAP,
    TRUSTED,
    UNIT,
    USER,
    YUM_PROXY,
    by_family,
    states,
)

_REPLACE = """\
replace() { # path: its new text comes on stdin; who owns it and its mode stay, and what was there is kept
  [ ! -L "$1" ] || set -- "$(readlink -f "$1")" # a link stays one, and leads to the new text
  new=$(umask 077; mktemp "${1%/*}/.k8s-installer.XXXXXX") || return 1
  dd of="$new" conv=fsync status=none && keep "$1" && chown --reference="$1" "$new" &&
    chmod --reference="$1" "$new" && mv -T "$new" "$1" || { rm -f "$new"; return 1; }
  [ ! -x /usr/sbin/restorecon ] || restorecon "$1"
}
"""
_SET_SELINUX = """\
set_selinux() { # now boot
  file=$root/etc/selinux/config
  text=$(awk -v boot="$2" '/^SELINUX[ =]/ { $0 = "SELINUX=" boot; there = 1 } { print }
    END { if (!there) print "SELINUX=" boot }' "$file") && printf '%s\\n' "$text" | replace "$file" || return 1
  [ -e "$root/sys/fs/selinux/enforce" ] || return 0
  if [ "$1" = enforcing ]; then setenforce 1; else setenforce 0; fi
}
"""
_SET_SWAP = f"""\
set_swap() {{ # now boot
  file=$root/etc/fstab
  if [ -f "$file" ]; then
    text=$(awk -v boot="$2" -v marker='{MARKER}' '
      boot == "off" && $1 !~ /^#/ && $3 == "swap" {{ $0 = marker $0 }}
      boot == "on" && index($0, marker) == 1 {{ $0 = substr($0, length(marker) + 1) }}
      {{ print }}' "$file") && printf '%s\\n' "$text" | replace "$file" || return 1
  fi
  if [ "$1" = on ]; then swapon -a; else swapoff -a; fi
}}
"""
_SET_YUM_PROXY = """\
set_yum_proxy() { # address
  file=$root/etc/yum.conf
  text=$(awk -v proxy="$1" '/^proxy[ =]/ { next } { print }
    /^\\[main\\]/ && proxy != "none" { print "proxy=" proxy }' "$file") && printf '%s\\n' "$text" | replace "$file"
}
"""
_SET_HOSTS_FILE = f"""\
set_hosts_file() {{ # names
  file=$root/etc/hosts
  [ -f "$file" ] || (umask 022; : >"$file") || return 1
  text=$(awk -v names="$1" -v begin='{BEGIN}' -v end='{END}' '
    $0 == begin {{ printf "%s", held; held = $0 "\\n"; inside = 1; next }}
    inside {{ held = held $0 "\\n"; if ($0 == end) {{ inside = 0; held = "" }} next }}
    {{ print }}
    END {{
      printf "%s", held
      if (names == "{NOTHING}") exit
      print begin
      count = split(names, lines, ",")
      for (i = 1; i <= count; i++) {{ gsub(/=/, " ", lines[i]); print lines[i] }}
      print end
    }}' "$file") && printf '%s\\n' "$text" | replace "$file"
}}
"""
# Never a restart of journald: with systemd 219 services that run lose their way to it, and docker's own log ends. A
# signal has it move to /var, if it does not run with Storage=volatile or none.
_SET_JOURNAL = (
    JOURNAL_NOW
    + f"""\
set_journal() {{ # now boot
  file=$root/{JOURNALD}
  (umask 022; mkdir -p "${{file%/*}}"; [ -f "$file" ] || : >"$file") || return 1
  printf '# written by k8s-installer\\n[Journal]\\nStorage=%s\\n' "$2" | replace "$file" || return 1
  [ "$1" = {PERSISTENT} ] || return 0
  (umask 022; mkdir -p "$root/var/log/journal") && systemd-tmpfiles --create --prefix /var/log/journal &&
    systemctl kill -s USR1 systemd-journald || return 1
  waited=0
  until [ "$(journal_now)" = {PERSISTENT} ]; do
    [ "$waited" -lt 20 ] || {{
      echo 'journald keeps its journal in memory until it restarts: reboot the host, or restart systemd-journald' \
        'and then all services that log through it' >&2
      return 1
    }}
    sleep 0.5
    waited=$((waited + 1))
  done
}}
"""
)
_SET_UNIT = f"""\
set_unit() {{ # unit now boot
  case $3 in {ON}) systemctl enable "$1" ;; *) systemctl disable "$1" ;; esac &&
    case $2 in {ON}) systemctl start "$1" ;; *) systemctl stop "$1" ;; esac
}}
"""
_SET_USER = """\
set_user() { # name
  getent group "$1" >/dev/null || groupadd -r "$1" || return 1
  getent passwd "$1" >/dev/null || useradd -r -M -d / -s /sbin/nologin -g "$1" -c 'made by k8s-installer' "$1"
}
"""
# The archive may have the image under other names, or an older one's id may have this name.
_SET_IMAGE = f"""\
set_image() {{ # reference id id
  docker load -i "$root{IMAGES}/${{2#sha256:}}.tar" && docker tag "$2" "$1"
}}
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
_SETTERS: Mapping[str, str] = {
    SELINUX: _REPLACE + _SET_SELINUX,
    SWAP: _REPLACE + _SET_SWAP,
    YUM_PROXY: _REPLACE + _SET_YUM_PROXY,
    HOSTS_FILE: _REPLACE + _SET_HOSTS_FILE,
    JOURNAL: _REPLACE + _SET_JOURNAL,
    UNIT: _SET_UNIT,
    USER: _SET_USER,
    IMAGE: _SET_IMAGE,
    PORT: _SET_PORT,
    SOURCE: _SET_SOURCE,
    ADDONS: addons.SET_NAMES,
    ADDON: addons.SET,
}


def setters(names: Iterable[str]) -> str:
    """The functions that set these settings; they use `keep` and `$root`."""
    return "".join(dict.fromkeys(_SETTERS[family] for family in by_family(names)))


def setter(name: str, wanted: str) -> str:
    """The command that sets a setting: the name of one of `setters`, with its arguments."""
    family, _, subject = name.partition(" ")
    return shlex.join([f"set_{family.replace('-', '_')}", *([subject] if subject else []), *states(wanted)])
