"""How a host is asked for its settings: the questions, by family, and their answers. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from k8s_installer.host.families import addons
from k8s_installer.host.families.families import (
    ABSENT,
    ADDON,
    ADDONS,
    BEGIN,
    CLOSED,
    END,
    HOSTS_FILE,
    IMAGE,
    JOURNAL,
    NOTHING,
    OFF,
    ON,
    OPEN,
    OTHER,
    PERSISTENT,
    PORT,
    SELINUX,
    SOURCE,
    SWAP,
    SYSTEM,
    TRUSTED,
    UNIT,
    USER,
    VOLATILE,
    YUM_PROXY,
    by_family,
)
from k8s_installer.untrusted.answers import words

# The shell reads the files itself: a look at a host that has none of these costs no process.
_ASK_SELINUX = f"""\
now={ABSENT} boot={ABSENT}
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
now={ABSENT} boot={ABSENT}
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
now={ABSENT}
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
[ ! -f "$root/etc/hosts" ] || now=$(awk -v begin='{BEGIN}' -v end='{END}' '
  $0 == begin {{ names = ""; inside = 1; next }}
  $0 == end {{ if (inside) found = names; inside = 0; next }}
  inside && NF {{ $1 = $1; gsub(/,/, ""); gsub(/ /, "="); names = names (names == "" ? "" : ",") $0 }}
  END {{ print found == "" ? "{NOTHING}" : found }}' "$root/etc/hosts")
[ -z "$now" ] || echo "setting $now $now {HOSTS_FILE}"
"""
# What journald does is seen by where its file is: it moves from /run to /var. The last file that says Storage= counts.
JOURNAL_NOW = f"""\
journal_now() {{
  read -r machine <"$root/etc/machine-id" || :
  if [ -f "$root/var/log/journal/$machine/system.journal" ] &&
    [ ! -f "$root/run/log/journal/$machine/system.journal" ]; then echo {PERSISTENT}; else echo {VOLATILE}; fi
}}
"""
_ASK_JOURNAL = (
    JOURNAL_NOW
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
    echo "setting {ABSENT} {ABSENT} {USER} $name"
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
    echo "setting ${{{{id:-{ABSENT}}}}} ${{{{id:-{ABSENT}}}}} {IMAGE} $name"
  done
fi
"""
# Its programs are Python's and take a quarter of a second each: asked only where firewalld runs, and once for all.
# One that fails is no answer, and so its settings are unknown.
_ASK_FIREWALLD = f"""\
if ! command -v firewall-cmd >/dev/null || ! systemctl is-active firewalld >/dev/null; then
  for name in {{ports}}; do echo "setting {ABSENT} {ABSENT} {PORT} $name"; done
  for name in {{sources}}; do echo "setting {ABSENT} {ABSENT} {SOURCE} $name"; done
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


def questions(names: Iterable[str]) -> str:
    """The part of the one read-only script that asks for these settings; units are asked for with all others."""
    subjects = by_family(names)
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
    return by_family(names).get(UNIT, [])


def answers(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Read what `questions` had said, without the word `setting`: names with values, None where there is no such.

    Raises:
        Malformed: a line is none of theirs.
    """
    for line in lines:
        now, boot, name = words(line, 3, "a setting")
        yield name, None if now == ABSENT else value(now, boot)


def value(now: str, boot: str) -> str:
    """What to call a state now and one at boot."""
    return now if now == boot else f"{now} now, {boot} at boot"
