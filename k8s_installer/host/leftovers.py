"""What the programs of a component leave on a host when they end: how it is asked for, and removed. Pure.

Folders and files, mounts below them, network interfaces, rules of iptables, routes: none of it belongs to a package,
and nobody else takes it away.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from k8s_installer.model.resources import Leaves, SeenLeftovers
from k8s_installer.untrusted.answers import words

WORD = "left"

WITHOUT = r"""\
without() { # pieces, one a line: of the rules that come on stdin, the lines that hold none of these
  if [ -z "$1" ]; then cat; else grep -vF -e "$1" || [ $? -eq 1 ]; fi
}
"""
_ASK = r"""\
left() { # name folders links rules routes units
  for path in $2; do [ ! -e "$path" ] || echo "left $1 $path"; done
  for link in $3; do [ ! -e "/sys/class/net/$link" ] || echo "left $1 $link"; done
  for protocol in $5; do [ -z "$(ip -4 route show proto "$protocol")" ] || echo "left $1 routes of $protocol"; done
  for unit in $6; do ! systemctl is-active "$unit" >/dev/null || echo "left $1 $unit"; done
  [ -n "$4" ] && command -v iptables-save >/dev/null || return 0
  for tables in iptables ip6tables; do
    rules=$($tables-save 2>/dev/null) || continue
    others=$(printf '%s\n' "$rules" | without "$4") || continue
    [ "$rules" = "$others" ] || echo "left $1 rules of $tables"
  done
}
"""
CLEAN = (
    WITHOUT
    + r"""\
mounts_below() { # path without links: the deepest first
  awk -v below="$1/" 'index($2 "/", below) == 1 { print $2 }' "$root/proc/mounts" | sort -r
}
clean() { # folders links rules routes units
  for unit in $5; do systemctl stop "$unit" || return 1; done
  for folder in $1; do
    [ -e "$folder" ] || [ -L "$folder" ] || continue
    real=$(readlink -f "$folder") || return 1
    # a server that is gone does not answer umount either
    mounts_below "$real" | while read -r mount; do
      mount=$(printf %b "$mount")
      timeout -s KILL 20 umount "$mount" || umount -l "$mount" || exit 1
    done || return 1
    # what is mounted there is somebody's data, and a bind mount is of the same file system
    if [ -n "$(mounts_below "$real")" ]; then
      echo "something is still mounted below $real: it is not removed"
      return 1
    fi
    rm -rf --one-file-system "$real" || return 1
    [ ! -L "$folder" ] || rm -f "$folder" || return 1
  done
  for link in $2; do [ ! -e "/sys/class/net/$link" ] || ip link delete "$link" || return 1; done
  for protocol in $4; do ip -4 route flush proto "$protocol" || return 1; done
  [ -n "$3" ] && command -v iptables-save >/dev/null || return 0
  for tables in iptables ip6tables; do
    rules=$($tables-save 2>/dev/null) || continue
    others=$(printf '%s\n' "$rules" | without "$3") || return 1
    [ "$rules" = "$others" ] || printf '%s\n' "$others" | $tables-restore || return 1
  done
}
"""
)


def questions(wanted: Sequence[Leaves]) -> str:
    """The part of the one read-only script that asks what there is of these; nothing where none is asked for."""
    if not wanted:
        return ""
    asked = (shlex.join(["left", leaves.name, *_words(leaves)]) for leaves in wanted)
    return WITHOUT + _ASK + "".join(f"{command}\n" for command in asked)


def cleaner(leaves: Leaves) -> str:
    """The command that removes it; it uses the function of `CLEAN`."""
    return shlex.join(["clean", *_words(leaves)])


def _words(leaves: Leaves) -> tuple[str, ...]:
    blanks = (" ".join(words) for words in (leaves.folders, leaves.links, leaves.routes, leaves.units))
    folders, links, routes, units = blanks
    return folders, links, "\n".join(leaves.rules), routes, units


def parse(lines: Iterable[str], wanted: Sequence[Leaves]) -> Mapping[str, SeenLeftovers]:
    """Read the answers, without their word: what there is, by name.

    Raises:
        Malformed: a line is none of theirs.
    """
    found: dict[str, list[str]] = {leaves.name: [] for leaves in wanted}
    for line in lines:
        name, left = words(line, 2, "what programs left")
        if name in found:
            found[name].append(left)
    return {name: SeenLeftovers(tuple(left)) for name, left in found.items()}
