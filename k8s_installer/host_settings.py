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

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from k8s_installer import addons

SELINUX, SWAP, UNIT, USER, IMAGE = "selinux", "swap", "unit", "user", "image"
IMAGES = "/var/lib/k8s-installer/bundle/images"  # where archives of images are, each called as its id
PORT, SOURCE = "firewalld-port", "firewalld-source"
YUM_PROXY, HOSTS_FILE, JOURNAL = "yum-proxy", "hosts-file", "journal"
ADDONS, ADDON = "addons", "addon"
ON, OFF, OPEN, CLOSED, TRUSTED, OTHER, SYSTEM = "on", "off", "open", "closed", "trusted", "other", "system"
PERSISTENT, VOLATILE, NOTHING = "persistent", "volatile", "none"
_NONE = "absent"  # what a question says where the host has no such thing
_MARKER = "#k8s-installer# "  # before the lines of fstab that we switched off
# Around our lines of /etc/hosts. A first line without its last one is no block: what follows it is somebody's own.
_BEGIN, _END = "# BEGIN k8s-installer: the hosts of its inventory", "# END k8s-installer"
_JOURNALD = "etc/systemd/journald.conf.d/90-k8s-installer.conf"
_NAMED = 3  # hosts that are named in a reason; the rest is counted

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
_ASK_HOSTS_FILE = f"""\
now={NOTHING}
[ ! -f "$root/etc/hosts" ] || now=$(awk -v begin='{_BEGIN}' -v end='{_END}' '
  $0 == begin {{ names = ""; inside = 1; next }}
  $0 == end {{ if (inside) found = names; inside = 0; next }}
  inside && NF {{ $1 = $1; gsub(/,/, ""); gsub(/ /, "="); names = names (names == "" ? "" : ",") $0 }}
  END {{ print found == "" ? "{NOTHING}" : found }}' "$root/etc/hosts")
[ -z "$now" ] || echo "setting $now $now {HOSTS_FILE}"
"""
# What journald does is seen by where its file is: it moves from /run to /var. The last file that says Storage= counts.
_JOURNAL_NOW = f"""\
journal_now() {{
  read -r machine <"$root/etc/machine-id" || :
  if [ -f "$root/var/log/journal/$machine/system.journal" ] &&
    [ ! -f "$root/run/log/journal/$machine/system.journal" ]; then echo {PERSISTENT}; else echo {VOLATILE}; fi
}}
"""
_ASK_JOURNAL = (
    _JOURNAL_NOW
    + f"""\
storage=auto
for file in "$root/etc/systemd/journald.conf" "$root/etc/systemd/journald.conf.d"/*.conf; do
  [ -f "$file" ] || continue
  while IFS='= ' read -r key value rest || [ -n "$key" ]; do
    [ "$key" != Storage ] || storage=$value
  done <"$file"
done
case $storage in
  {PERSISTENT}) boot={PERSISTENT} ;;
  auto) if [ -d "$root/var/log/journal" ]; then boot={PERSISTENT}; else boot={VOLATILE}; fi ;;
  *) boot={VOLATILE} ;;
esac
echo "setting $(journal_now) $boot {JOURNAL}"
"""
)
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
_SET_HOSTS_FILE = f"""\
set_hosts_file() {{ # names
  file=$root/etc/hosts
  [ -f "$file" ] || (umask 022; : >"$file") || return 1
  text=$(awk -v names="$1" -v begin='{_BEGIN}' -v end='{_END}' '
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
    _JOURNAL_NOW
    + f"""\
set_journal() {{ # now boot
  file=$root/{_JOURNALD}
  (umask 022; mkdir -p "${{file%/*}}"; [ -f "$file" ] || : >"$file") || return 1
  printf '# written by k8s-installer\\n[Journal]\\nStorage=%s\\n' "$2" | replace "$file" || return 1
  [ "$1" = {PERSISTENT} ] || return 0
  (umask 022; mkdir -p "$root/var/log/journal") && systemd-tmpfiles --create --prefix /var/log/journal &&
    systemctl kill -s USR1 systemd-journald || return 1
  waited=0
  until [ "$(journal_now)" = {PERSISTENT} ]; do
    [ "$waited" -lt 20 ] || {{
      echo 'journald keeps its journal in memory until it starts anew: reboot the host, or restart systemd-journald' \
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


def questions(names: Iterable[str]) -> str:
    """The part of the one read-only script that asks for these settings; units are asked for with all others."""
    subjects = _by_family(names)
    of_files = (
        (SELINUX, _ASK_SELINUX), (SWAP, _ASK_SWAP), (YUM_PROXY, _ASK_YUM_PROXY), (HOSTS_FILE, _ASK_HOSTS_FILE),
        (JOURNAL, _ASK_JOURNAL),
    )  # fmt: skip
    parts = [text for family, text in of_files if family in subjects]
    if USER in subjects:
        parts.append(_ASK_USERS.format(names=shlex.join(subjects[USER])))
    if IMAGE in subjects:
        parts.append(_ASK_IMAGES.format(names=shlex.join(subjects[IMAGE])))
    if PORT in subjects or SOURCE in subjects:
        ports, sources = subjects.get(PORT, []), subjects.get(SOURCE, [])
        parts.append(_ASK_FIREWALLD.format(ports=shlex.join(ports), sources=shlex.join(sources)))
    if ADDONS in subjects:
        parts.append(addons.ask_names(ADDONS))
    if ADDON in subjects:
        parts.append(addons.ask(ADDON, subjects[ADDON]))
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
    if family in _OWN_WORDS:
        return _OWN_WORDS[family](seen, wanted)
    (now, boot), (wanted_now, wanted_boot) = _states(seen), _states(wanted)
    if family == JOURNAL and wanted_now == VOLATILE and boot == wanted_boot:
        return ""  # a journal that is on the disk stays there until the next boot
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


def words(name: str, wanted: str) -> str:
    """What setting a setting does, for people."""
    family, _, subject = name.partition(" ")
    if family == IMAGE:
        return f"load {name}"
    if family == ADDON:
        return f"{'take out' if wanted == addons.NONE else 'apply'} addon {subject}"
    return "take out addons" if family == ADDONS else f"set {name} to {_shown(name, wanted)}"


def one_way(name: str) -> bool:
    """Whether a rollback cannot bring back what was there: the manifest of an addon that is gone is the user's."""
    return name == ADDONS


def _shown(name: str, wanted: str) -> str:
    if name != HOSTS_FILE or wanted == NOTHING:
        return wanted
    count = wanted.count(",") + 1
    return f"{count} name{'s' * (count != 1)}"


def block(name: str, text: str) -> tuple[str, bytes] | None:
    """The file that a setting has lines in, and these lines; None where a value is all that there is to show."""
    if name != HOSTS_FILE:
        return None
    lines = () if text == NOTHING else text.split(",")
    return "/etc/hosts", "".join(f"{line.replace('=', ' ')}\n" for line in lines).encode()


def _names_differ(seen: str, wanted: str) -> str:
    if seen == wanted:
        return ""
    old, new = ({} if text == NOTHING else dict.fromkeys(text.split(",")) for text in (seen, wanted))
    said = (
        ("without", [entry for entry in new if entry not in old]),
        ("with", [entry for entry in old if entry not in new]),
    )
    parts = [f"{word} {_some(entries)}" for word, entries in said if entries]
    return f"it is {', '.join(parts)}" if parts else "its names stand in another order"


def _some(entries: Sequence[str]) -> str:
    text = ", ".join(entry.replace("=", " ") for entry in entries[:_NAMED])
    return f"{text} and {len(entries) - _NAMED} more" if len(entries) > _NAMED else text


_OWN_WORDS: Mapping[str, Callable[[str, str], str]] = {
    HOSTS_FILE: _names_differ,
    ADDONS: addons.beyond,
    ADDON: addons.differs,
}


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
