"""Container images that docker has by a name: docker's id of it, or absent. How docker is asked, and gets one. Pure.

An image comes from an archive on the host, called as its id. Scripts run by POSIX sh on CentOS 7.
"""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, Family
from k8s_installer.host.statedir import STATE

NAME = "image"
ARCHIVES = f"{STATE}/bundle/images"

_ID = "timeout 20 docker image inspect --format '{{.Id}}'"
# One process where all are there, as they mostly are. A docker that does not run has none: they are loaded when it
# does, and loading one that is there changes nothing. One that hangs is not asked for each again.
_ASK = f"""\
ask_image() {{ # references
  each=
  if [ -S "$root{paths.DOCKER_SOCKET}" ]; then
    if found=$({_ID} "$@" 2>/dev/null); then
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
    [ -z "$each" ] || id=$({_ID} "$name" 2>/dev/null)
    echo "setting ${{id:-{ABSENT}}} ${{id:-{ABSENT}}} {NAME} $name"
  done
}}
"""
# The archive may have the image under other names, or an older one's id may have this name. A container that uses an
# image keeps it, without the name.
_SET = f"""\
set_image() {{ # reference id
  if [ "$2" = {ABSENT} ]; then
    [ ! -S "$root{paths.DOCKER_SOCKET}" ] || docker rmi -f "$1"
    return
  fi
  {_ID} "$2" >/dev/null 2>&1 || docker load -i "$root{ARCHIVES}/${{2#sha256:}}.tar" || return 1
  docker tag "$2" "$1"
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
