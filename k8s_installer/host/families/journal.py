"""The journal: persistent (on the disk) or volatile (in memory).

It can also be set to `default`: our drop-in is removed, and journald uses its own configuration from the next boot on.
What it has written to the disk stays, since logs are not ours to remove. Unless Storage= is set elsewhere, journald
keeps writing there.
"""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import REPLACE, Family, Value

NAME = "journal"
PERSISTENT, VOLATILE = "persistent", "volatile"
DEFAULT = "default"

# What journald does is seen by where its file is: it moves from /run to /var.
_NOW = f"""\
journal_now() {{
  read -r machine <"$root{paths.MACHINE_ID}" || :
  if [ -f "$root{paths.JOURNAL_ON_DISK}/$machine/system.journal" ] &&
    [ ! -f "$root{paths.JOURNAL_IN_MEMORY}/$machine/system.journal" ]; then echo {PERSISTENT}; else echo {VOLATILE}; fi
}}
"""
# The last file that says Storage= counts.
_ASK = f"""\
ask_journal() {{
  storage=auto
  for file in "$root{paths.JOURNALD_CONF}" "$root{paths.JOURNALD_DROP_INS}"/*.conf; do
    [ -f "$file" ] || continue
    while IFS='= ' read -r key value rest || [ -n "$key" ]; do
      [ "$key" != Storage ] || storage=$value
    done <"$file"
  done
  case $storage in
    {PERSISTENT}) boot={PERSISTENT} ;;
    auto) if [ -d "$root{paths.JOURNAL_ON_DISK}" ]; then boot={PERSISTENT}; else boot={VOLATILE}; fi ;;
    *) boot={VOLATILE} ;;
  esac
  echo "setting $(journal_now) $boot {NAME}"
}}
"""
# Never a restart of journald: with systemd 219 services that run lose their way to it, and docker's own log ends. A
# signal has it move to /var, if it does not run with Storage=volatile or none.
_SET = f"""\
set_journal() {{ # now boot
  file=$root{paths.JOURNALD_DROP_IN}
  if [ "$2" = {DEFAULT} ]; then
    keep "$file" && rm -f "$file" && {{ rmdir "${{file%/*}}" 2>/dev/null || :; }}
    return
  fi
  (umask 022; mkdir -p "${{file%/*}}"; [ -f "$file" ] || : >"$file") || return 1
  printf '# written by k8s-installer\\n[Journal]\\nStorage=%s\\n' "$2" | replace "$file" || return 1
  [ "$1" = {PERSISTENT} ] || return 0
  (umask 022; mkdir -p "$root{paths.JOURNAL_ON_DISK}") && systemd-tmpfiles --create --prefix {paths.JOURNAL_ON_DISK} &&
    systemctl kill -s USR1 systemd-journald || return 1
  waited=0
  until [ "$(journal_now)" = {PERSISTENT} ]; do
    [ "$waited" -lt 20 ] || {{
      echo 'journald keeps its journal in memory until it restarts: reboot the host, or restart systemd-journald' \\
        'and then all services that log through it' >&2
      return 1
    }}
    sleep 0.5
    waited=$((waited + 1))
  done
}}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if wanted == DEFAULT:  # what is seen does not say whose configuration it is
        return "the drop-in that set it is no longer wanted"
    if seen is None or seen == wanted:
        return ""
    has, wants = Value.parse(seen), Value.parse(wanted)
    if wants.now == VOLATILE and has.boot == wants.boot:
        return ""  # a journal that is on the disk stays there until the next boot
    return f"{seen} instead of {wanted}"


def _words(_subject: str, wanted: str) -> str:
    value = "journald's own default" if wanted == DEFAULT else wanted
    return f"set {NAME} to {value}"


def _original(_before: str | None) -> str:
    return DEFAULT


FAMILY = Family(NAME, ask=(_NOW, _ASK), set=(REPLACE, _NOW, _SET), differs=_differs, original=_original, words=_words)
