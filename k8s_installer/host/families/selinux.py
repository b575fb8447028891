"""SELinux: enforcing, permissive or disabled. A host without its configuration has no SELinux."""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, REPLACE, Family, Value

NAME = "selinux"
ENFORCING, PERMISSIVE, DISABLED = "enforcing", "permissive", "disabled"

# The shell reads the files itself. The kernel ends its own without a line's end.
_ASK = f"""\
ask_selinux() {{
  now={ABSENT} boot={ABSENT}
  if [ -f "$root{paths.SELINUX_CONFIG}" ]; then
    now={DISABLED} boot={ENFORCING}
    if [ -r "$root{paths.SELINUX_ENFORCE}" ]; then
      now={PERMISSIVE}
      read -r mode <"$root{paths.SELINUX_ENFORCE}" || :
      [ "$mode" != 1 ] || now={ENFORCING}
    fi
    while IFS='= ' read -r key value rest || [ -n "$key" ]; do
      [ "$key" != SELINUX ] || boot=$value
    done <"$root{paths.SELINUX_CONFIG}"
  fi
  echo "setting $now $boot {NAME}"
}}
"""
_SET = f"""\
set_selinux() {{ # now boot
  file=$root{paths.SELINUX_CONFIG}
  text=$(awk -v boot="$2" '/^SELINUX[ =]/ {{ $0 = "SELINUX=" boot; there = 1 }} {{ print }}
    END {{ if (!there) print "SELINUX=" boot }}' "$file") && printf '%s\\n' "$text" | replace "$file" || return 1
  [ -e "$root{paths.SELINUX_ENFORCE}" ] || return 0
  if [ "$1" = {ENFORCING} ]; then setenforce 1; else setenforce 0; fi
}}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if seen is None:
        return ""
    has, wants = Value.parse(seen), Value.parse(wanted)
    if wanted == PERMISSIVE:  # disabled is as good
        has = Value(has.now.replace(DISABLED, PERMISSIVE), has.boot.replace(DISABLED, PERMISSIVE))
    # SELinux comes and goes with a boot alone: until then permissive is as good as disabled, and disabled stays
    pending = DISABLED in (has.now, wants.now) and has.now != wants.now
    if has.boot == wants.boot and (has.now == wants.now or (pending and has.now != ENFORCING)):
        return ""
    reason = f"{seen} instead of {wanted}"
    if not pending:
        return reason
    until = PERMISSIVE if wants.now == DISABLED else DISABLED
    return f"{reason}; {until} until the host is rebooted"


FAMILY = Family(NAME, ask=(_ASK,), set=(REPLACE, _SET), differs=_differs)
