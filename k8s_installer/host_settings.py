"""The families of host settings: what each can be, the one way to ask for it, and the one way to set it. Pure.

| family | subject | values | a host without it |
|---|---|---|---|
| `selinux` | | enforcing, permissive (disabled is as good), disabled | no SELinux: as wanted |
| `swap` | | on, off | a container, whose swap is its machine's: as wanted |
| `unit` | a systemd service | on, off | no such unit: as wanted |
| `firewalld-port` | 6443/tcp, 30000-32767/udp | open, closed | firewalld does not run: as wanted |
| `firewalld-source` | 10.244.0.0/16 | trusted, other | firewalld does not run: as wanted |
| `yum-proxy` | | http://10.0.0.9:3128, none | no yum.conf: as wanted |
| `user` | a user and its group | system | it is made |
| `image` | a container image | docker's id of it | it is loaded |

Each is a state now and one from the next boot on: a value is one word where both are the same, else
`A now, B at boot`. Scripts run by POSIX sh on CentOS 7; `$root` is empty but for tests.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

SELINUX, SWAP, UNIT, USER, IMAGE = "selinux", "swap", "unit", "user", "image"
IMAGES = "/var/lib/k8s-installer/bundle/images"  # where archives of images are, each called as its id
PORT, SOURCE = "firewalld-port", "firewalld-source"
YUM_PROXY = "yum-proxy"
ON, OFF, OPEN, CLOSED, TRUSTED, OTHER, SYSTEM = "on", "off", "open", "closed", "trusted", "other", "system"
_NONE = "absent"  # what a question says where the host has no such thing
_MARKER = "#k8s-installer# "  # before the lines of fstab that we switched off

# The shell reads the files itself: a look at a host that has none of these costs no process.
_ASK_SELINUX = f"""\
now={_NONE} boot={_NONE}
if [ -f "$root/etc/selinux/config" ]; then
  now=disabled boot=enforcing
  if [ -r "$root/sys/fs/selinux/enforce" ]; then
    now=permissive
    # the kernel ends it without a line's end
    read -r mode <"$root/sys/fs/selinux/enforce" || :
    [ "$mode" != 1 ] || now=enforcing
  fi
  while IFS='= ' read -r key value rest || [ -n "$key" ]; do
    [ "$key" != SELINUX ] || boot=$value
  done <"$root/etc/selinux/config"
fi
echo "setting $now $boot {SELINUX}"
"""
_ASK_SWAP = f"""\
now={_NONE} boot={_NONE}
if [ ! -e "$root/run/systemd/container" ] && [ -r "$root/proc/swaps" ]; then
  now={OFF} boot={OFF}
  {{ read -r head; read -r first && now={ON}; }} <"$root/proc/swaps" || :
  if [ -f "$root/etc/fstab" ]; then
    while read -r device point type rest || [ -n "$device" ]; do
      case $device in '#'*) ;; *) [ "$type" != swap ] || boot={ON} ;; esac
    done <"$root/etc/fstab"
  fi
fi
echo "setting $now $boot {SWAP}"
"""
_ASK_YUM_PROXY = f"""\
now={_NONE}
if [ -f "$root/etc/yum.conf" ]; then
  now=none
  while IFS='= ' read -r key value rest || [ -n "$key" ]; do
    [ "$key" != proxy ] || now=$value
  done <"$root/etc/yum.conf"
fi
echo "setting $now $now {YUM_PROXY}"
"""
_ASK_USERS = f"""\
for name in {{names}}; do
  if getent passwd "$name" >/dev/null; then
    echo "setting {SYSTEM} {SYSTEM} {USER} $name"
  elif [ $? -eq 2 ]; then
    echo "setting {_NONE} {_NONE} {USER} $name"
  fi
done
"""
# One process where all are there, as they are mostly. A docker that does not run has none: they are loaded when it
# does, and loading one that is there changes nothing.
_ASK_IMAGES = f"""\
if [ -S "$root/var/run/docker.sock" ] &&
  found=$(timeout 20 docker image inspect --format '{{{{{{{{.Id}}}}}}}}' {{names}} 2>/dev/null); then
  set -- $found
  for name in {{names}}; do echo "setting $1 $1 {IMAGE} $name"; shift; done
else
  # one that hangs is not asked for each again
  [ $? -eq 1 ] && [ -S "$root/var/run/docker.sock" ] && each=yes || each=
  for name in {{names}}; do
    id=
    [ -z "$each" ] ||
      id=$(timeout 20 docker image inspect --format '{{{{{{{{.Id}}}}}}}}' "$name" 2>/dev/null)
    echo "setting ${{{{id:-{_NONE}}}}} ${{{{id:-{_NONE}}}}} {IMAGE} $name"
  done
fi
"""
# Its programs are Python's and take a quarter of a second each: asked only where firewalld runs, and once for all.
# One that fails is no answer, and so its settings are unknown.
_ASK_FIREWALLD = f"""\
if ! command -v firewall-cmd >/dev/null || ! systemctl is-active firewalld >/dev/null; then
  for name in {{ports}}; do echo "setting {_NONE} {_NONE} {PORT} $name"; done
  for name in {{sources}}; do echo "setting {_NONE} {_NONE} {SOURCE} $name"; done
else
  listed() {{{{ # family yes no now boot names...
    family=$1 yes=$2 no=$3 now=" $4 " boot=" $5 "
    shift 5
    for name do
      case $now in *" $name "*) a=$yes ;; *) a=$no ;; esac
      case $boot in *" $name "*) b=$yes ;; *) b=$no ;; esac
      echo "setting $a $b $family $name"
    done
  }}}}
  now=$(firewall-cmd --list-ports) && boot=$(firewall-cmd --permanent --list-ports) &&
    listed {PORT} {OPEN} {CLOSED} "$now" "$boot" {{ports}}
  now=$(firewall-cmd --zone=trusted --list-sources) &&
    boot=$(firewall-cmd --permanent --zone=trusted --list-sources) &&
    listed {SOURCE} {TRUSTED} {OTHER} "$now" "$boot" {{sources}}
fi 2>/dev/null
"""

# What sets a family: a function of the subject (where there is one), the state now and the state at boot.
_REPLACE = """\
replace() { # path: its new text comes on stdin; who owns it and its mode stay, and what was there is kept
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
    text=$(awk -v boot="$2" -v marker='{_MARKER}' '
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
    UNIT: _SET_UNIT,
    USER: _SET_USER,
    IMAGE: _SET_IMAGE,
    PORT: _SET_PORT,
    SOURCE: _SET_SOURCE,
}


def questions(names: Iterable[str]) -> str:
    """The part of the one read-only script that asks for these settings; units are asked for with all others."""
    subjects = _by_family(names)
    of_files = ((SELINUX, _ASK_SELINUX), (SWAP, _ASK_SWAP), (YUM_PROXY, _ASK_YUM_PROXY))
    parts = [text for family, text in of_files if family in subjects]
    if USER in subjects:
        parts.append(_ASK_USERS.format(names=shlex.join(subjects[USER])))
    if IMAGE in subjects:
        parts.append(_ASK_IMAGES.format(names=shlex.join(subjects[IMAGE])))
    if PORT in subjects or SOURCE in subjects:
        ports, sources = subjects.get(PORT, []), subjects.get(SOURCE, [])
        parts.append(_ASK_FIREWALLD.format(ports=shlex.join(ports), sources=shlex.join(sources)))
    return "".join(parts)


def units(names: Iterable[str]) -> Sequence[str]:
    """The units that settings are about."""
    return _by_family(names).get(UNIT, [])


def answers(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Read what `questions` had said, without the word `setting`: names with values, None where there is no such."""
    for line in lines:
        now, boot, name = line.split(" ", 2)
        yield name, None if now == _NONE else value(now, boot)


def value(now: str, boot: str) -> str:
    """What to call a state now and one at boot."""
    return now if now == boot else f"{now} now, {boot} at boot"


def differs(name: str, seen: str | None, wanted: str) -> str:
    """Why a setting must be changed, in words, or nothing where it is as wanted; None is a host that has no such."""
    family, _, subject = name.partition(" ")
    if seen is None:
        return {USER: f"there is no user {subject}", IMAGE: "it is not there"}.get(family, "")
    (now, boot), (wanted_now, wanted_boot) = _states(seen), _states(wanted)
    if family == SELINUX and wanted == "permissive":
        now, boot = (state.replace("disabled", "permissive") for state in (now, boot))
    # SELinux comes and goes with a boot alone: until then permissive is as good as disabled, and disabled stays
    pending = family == SELINUX and "disabled" in (now, wanted_now) and now != wanted_now
    if boot == wanted_boot and (now == wanted_now or (pending and now != "enforcing")):
        return ""
    reason = f"{seen} instead of {wanted}"
    if not pending:
        return reason
    until = "permissive" if wanted_now == "disabled" else "disabled"
    return f"{reason}; {until} until the host is rebooted"


def setters(names: Iterable[str]) -> str:
    """The functions that set these settings; they use `keep` and `$root`."""
    return "".join(dict.fromkeys(_SETTERS[family] for family in _by_family(names)))


def setter(name: str, wanted: str) -> str:
    """The command that sets a setting: the name of one of `setters`, with its arguments."""
    family, _, subject = name.partition(" ")
    return shlex.join([f"set_{family.replace('-', '_')}", *([subject] if subject else []), *_states(wanted)])


def _states(text: str) -> tuple[str, str]:
    now, _, boot = text.removesuffix(" at boot").partition(" now, ")
    return now, boot or now


def _by_family(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        family, _, subject = name.partition(" ")
        found.setdefault(family, []).append(subject)
    return found
