"""Container images that the runtime has by a name: its id of it, or absent. How it is asked, and gets one. Pure.

An image comes from an archive on the host, called as its id. Scripts run by POSIX sh on CentOS 7.
"""

from __future__ import annotations

from k8s_installer.host.family import ABSENT, Family
from k8s_installer.host.runtimes import DOCKER as RUNTIME
from k8s_installer.host.statedir import STATE

NAME = "image"
ARCHIVES = f"{STATE}/bundle/images"

# One process where all are there, as they mostly are. A runtime that does not run has none: they are loaded when it
# does, and loading one that is there changes nothing. One that hangs is not asked for each again.
_ASK = f"""\
ask_image() {{ # references
  each=
  if [ -S "$root{RUNTIME.socket}" ]; then
    if found=$({RUNTIME.image_id} "$@" 2>/dev/null); then
      for name do
        set -- $found
        echo "setting $1 $1 {NAME} $name"
        shift
        found=$*
      done
      return
    else
      [ $? -ne 1 ] || each=yes
    fi
  fi
  for name do
    id=
    [ -z "$each" ] || id=$({RUNTIME.image_id} "$name" 2>/dev/null)
    echo "setting ${{id:-{ABSENT}}} ${{id:-{ABSENT}}} {NAME} $name"
  done
}}
"""
# The archive may have the image under other names, or an older one's id may have this name. A container that uses an
# image keeps it, without the name.
_SET = f"""\
set_image() {{ # reference id
  if [ "$2" = {ABSENT} ]; then
    [ ! -S "$root{RUNTIME.socket}" ] || {RUNTIME.remove} "$1"
    return
  fi
  {RUNTIME.image_id} "$2" >/dev/null 2>&1 || {RUNTIME.load} "$root{ARCHIVES}/${{2#sha256:}}.tar" || return 1
  {RUNTIME.tag} "$2" "$1"
}}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    has = seen or ABSENT
    if has == wanted:
        return ""
    if wanted == ABSENT:
        return "it is no longer needed"
    return "it is missing" if has == ABSENT else f"{has} instead of {wanted}"


def _words(subject: str, wanted: str) -> str:
    return f"{'remove' if wanted == ABSENT else 'load'} {NAME} {subject}"


def _original(before: str | None) -> str:
    return before or ABSENT


FAMILY = Family(NAME, ask=(_ASK,), set=(_SET,), differs=_differs, original=_original, words=_words)
