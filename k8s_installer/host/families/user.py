"""System users, each with a group of its own: the user is there (`system`), only its group is (`group`), or neither."""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, Family

NAME = "user"
SYSTEM, GROUP = "system", "group"

_ASK = f"""\
ask_user() {{ # names
  for name do
    if getent passwd "$name" >/dev/null; then
      echo "setting {SYSTEM} {SYSTEM} {NAME} $name"
    elif [ $? -ne 2 ]; then :
    elif getent group "$name" >/dev/null; then
      echo "setting {GROUP} {GROUP} {NAME} $name"
    elif [ $? -eq 2 ]; then
      echo "setting {ABSENT} {ABSENT} {NAME} $name"
    fi
  done
}}
"""
# A user that we made may be a package's by now, whose scriptlets make one only where there is none. userdel takes the
# user's own group along where login.defs says so, as on CentOS 7; one that was there first has files of its own, so it
# gets its number back.
_SET = f"""\
set_user() {{ # name state
  if [ "$2" != {SYSTEM} ]; then
    unit=$(grep -lsx "User=$1" "$root{paths.UNITS}"/*.service "$root{paths.PACKAGED_UNITS}"/*.service)
    [ -z "$unit" ] || {{ echo "user $1 is needed by" $unit >&2; return 1; }}
    gid=$(getent group "$1" | cut -d : -f 3)
    ! getent passwd "$1" >/dev/null || userdel "$1" || return 1
    if [ "$2" = {GROUP} ]; then getent group "$1" >/dev/null || groupadd -r ${{gid:+-g "$gid"}} "$1"
    elif getent group "$1" >/dev/null; then groupdel "$1"
    fi
    return
  fi
  getent group "$1" >/dev/null || groupadd -r "$1" || return 1
  getent passwd "$1" >/dev/null || useradd -r -M -d / -s /sbin/nologin -g "$1" -c 'made by k8s-installer' "$1"
}}
"""


def _differs(subject: str, seen: str | None, wanted: str) -> str:
    has = seen or ABSENT
    if has == wanted:
        return ""
    return f"there is no user {subject}" if wanted == SYSTEM else "nothing runs as this user any more"


def _words(subject: str, wanted: str) -> str:
    return f"set {NAME} {subject} to {wanted}" if wanted == SYSTEM else f"remove user {subject}"


def _original(before: str | None) -> str:
    return before or ABSENT


FAMILY = Family(NAME, ask=(_ASK,), set=(_SET,), differs=_differs, original=_original, words=_words)
