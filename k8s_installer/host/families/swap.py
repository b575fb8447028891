"""Swap: on or off. The swap of a container is its machine's, so a container has none of its own."""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, REPLACE, Family

NAME = "swap"
ON, OFF = "on", "off"

_MARKER = "#k8s-installer# "  # before the lines of fstab that we switched off

_ASK = f"""\
ask_swap() {{
  now={ABSENT} boot={ABSENT}
  if [ ! -e "$root{paths.CONTAINER}" ] && [ -r "$root{paths.SWAPS}" ]; then
    now={OFF} boot={OFF}
    {{ read -r head; read -r first && now={ON}; }} <"$root{paths.SWAPS}" || :
    if [ -f "$root{paths.FSTAB}" ]; then
      while read -r device point type rest || [ -n "$device" ]; do
        case $device in '#'*) ;; *) [ "$type" != swap ] || boot={ON} ;; esac
      done <"$root{paths.FSTAB}"
    fi
  fi
  echo "setting $now $boot {NAME}"
}}
"""
_SET = f"""\
set_swap() {{ # now boot
  file=$root{paths.FSTAB}
  if [ -f "$file" ]; then
    text=$(awk -v boot="$2" -v marker='{_MARKER}' '
      boot == "{OFF}" && $1 !~ /^#/ && $3 == "swap" {{ $0 = marker $0 }}
      boot == "{ON}" && index($0, marker) == 1 {{ $0 = substr($0, length(marker) + 1) }}
      {{ print }}' "$file") && printf '%s\\n' "$text" | replace "$file" || return 1
  fi
  if [ "$1" = {ON} ]; then swapon -a; else swapoff -a; fi
}}
"""

FAMILY = Family(NAME, ask=(_ASK,), set=(REPLACE, _SET))
