"""What the programs of a component leave on a host when they end: how it is asked for, and removed. Pure.

Folders and files, mounts below them, network interfaces, rules of iptables, routes: none of it belongs to a package,
and nobody else takes it away. Data that cannot be made again may stay in a folder that goes: volumes of containers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from k8s_installer.model.resources import Leaves, SeenLeftovers
from k8s_installer.untrusted.answers import words

WORD, OWNER, STAYS = "left", "owner", "stays"
_NONE = "-"  # an expression that no chain and no line of iptables-save matches

# Rule by rule, and in one step for a table: what somebody adds meanwhile stays, and so do the counters of all others.
# A comment may say anything, so what is quoted is no jump.
RULES = r"""\
deleting() { # iptables|ip6tables chains rules: what deletes them, for iptables-restore; nothing if there are none
  saved=$("$1-save" 2>/dev/null) || return 0
  printf '%s\n' "$saved" | chains="^($2)$" rules="^($3)$" awk '
    /^[*]/ { table = $0; delete_rules = flush = remove = ""; split("", own) }
    /^:/ && $2 == "-" && substr($1, 2) ~ ENVIRON["chains"] {
      name = substr($1, 2)
      own[name]
      flush = flush "-F " name "\n"
      remove = remove "-X " name "\n"
    }
    /^-A / && !($2 in own) {
      goes = $0 ~ ENVIRON["rules"]
      plain = $0
      gsub(/"(\\.|[^"\\])*"/, "", plain)
      count = split(plain, word, " ")
      for (i = 3; i < count; i++) if ((word[i] == "-j" || word[i] == "-g") && word[i + 1] in own) goes = 1
      if (goes) delete_rules = delete_rules "-D" substr($0, 3) "\n"
    }
    /^COMMIT/ && delete_rules flush != "" { printf "%s\n%s%s%sCOMMIT\n", table, delete_rules, flush, remove }'
}
"""
_DATA = r"""\
data_in() { # folders of data, or patterns: where those really are that have members, volumes or a log of etcd in them
  for folder in $*; do
    [ -z "$(find "$folder/" -mindepth 1 -maxdepth 1 '(' -type d -o -name '*.wal' ')' 2>/dev/null | head -n 1)" ] ||
      echo "$(readlink -f "${folder%/*}")/${folder##*/}"
  done
}
beside() { # command, paths with blanks between, path: the command for all of the path but these
  case " $2 " in
    *" $3 "*) ;;
    *" $3/"*)
      for item in "$3"/* "$3"/.[!.]* "$3"/..?*; do
        if [ -e "$item" ] || [ -L "$item" ]; then beside "$1" "$2" "$item" || return 1; fi
      done ;;
    *) $1 "$3" ;;
  esac
}
"""
# What a runtime starts is a transient unit, and systemd keeps its file for as long as it remembers the unit. It keeps
# a scope that has failed in mind, and so the slices that it was in. A kubelet that is told that these exist does not
# make their control groups, and exits without them. systemd 219 keeps such files beside those of other units.
_KEPT = r"""\
kept_of() { # slice: the files that systemd keeps of it, of the slices below it and of the scopes in all of them
  slice=${1%.slice}
  [ "$slice" != "$1" ] || return 0
  for folder in "$root/run/systemd/transient" "$root/run/systemd/system"; do
    for file in "$folder/$1" "$folder/$slice"-*.slice; do [ ! -e "$file" ] || echo "$file"; done
    grep -lsE "^Slice=$slice(-.*)?[.]slice\$" "$folder"/*.scope "$folder"/*.scope.d/*.conf |
      sed 's|[.]scope[.]d/.*|.scope|' | sort -u
  done
}
"""
_ASK = r"""\
left() { # name folders links routes units chains rules data
  for path in $8; do
    [ -z "$(ls -A "$path" 2>/dev/null)" ] || stat -c "owner $1 %U %G" "$path"
  done
  stays=$(echo $(data_in $8))
  for path in $stays; do echo "stays $1 $path"; done
  for path in $2; do
    [ ! -e "$path" ] || [ -z "$(beside echo "$stays" "$(readlink -f "$path")" | head -n 1)" ] || echo "left $1 $path"
  done
  for link in $3; do [ ! -e "/sys/class/net/$link" ] || echo "left $1 $link"; done
  for protocol in $4; do
    [ -z "$(ip -4 route show proto "$protocol")" ] || echo "left $1 routes of protocol $protocol"
  done
  for unit in $5; do
    ! systemctl is-active "$unit" >/dev/null && [ -z "$(kept_of "$unit")" ] || echo "left $1 $unit"
  done
  [ "$6$7" != -- ] && command -v iptables-save >/dev/null || return 0
  for tables in iptables ip6tables; do
    rules=$(deleting "$tables" "$6" "$7") || continue
    [ -z "$rules" ] || echo "left $1 rules of $tables"
  done
}
"""
CLEAN = (
    RULES
    + _DATA
    + _KEPT
    + r"""\
stop_with_scopes() { # unit: systemd stops what is in a slice before the slice, and forgets what has failed only if told
  kept=$(kept_of "$1")
  units=$(printf '%s\n' "$1" "$kept" | sed 's|.*/||' | sort -u)
  systemctl stop $units || return 1
  systemctl reset-failed $units 2>/dev/null # an error where it has forgotten them by now
  printf '%s\n' "$kept" | while read -r file; do [ -z "$file" ] || rm -rf "$file" "$file.d" || exit 1; done || return 1
  [ -z "$kept" ] || systemctl daemon-reload || return 1
  # systemd removes the groups of its own hierarchy; what a process is still in cannot be removed
  for group in "$root"/sys/fs/cgroup/*/"$1"; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} ';' 2>/dev/null
  done
}
mounts_below() { # path without links: the deepest first, but of data that stays
  awk -v below="$1/" -v stays="$stays" '
    BEGIN { count = split(stays, data, " ") }
    { for (i = 1; i <= count; i++) if (index($2 "/", data[i] "/") == 1) next }
    index($2 "/", below) == 1 { print $2 }' "$root/proc/mounts" | sort -r
}
clean() { # folders links routes units chains rules data
  for unit in $4; do stop_with_scopes "$unit" || return 1; done
  stays=$(echo $(data_in $7))
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
    beside 'rm -rf --one-file-system' "$stays" "$real" || return 1
    [ ! -L "$folder" ] || [ -d "$real" ] || rm -f "$folder" || return 1
  done
  for link in $2; do [ ! -e "/sys/class/net/$link" ] || ip link delete "$link" || return 1; done
  for protocol in $3; do ip -4 route flush proto "$protocol" || return 1; done
  [ "$5$6" != -- ] && command -v iptables-save >/dev/null || return 0
  for tables in iptables ip6tables; do
    rules=$(deleting "$tables" "$5" "$6") || return 1
    [ -n "$rules" ] || continue
    # before CentOS 7.4 it takes no lock, and no -w; without seconds it would wait for ever
    waits=$("$tables-restore" --help </dev/null 2>&1 | grep -q -e --wait && echo '-w 60')
    printf '%s\n' "$rules" | "$tables-restore" $waits --noflush || return 1
  done
}
"""
)


def questions(wanted: Sequence[Leaves]) -> str:
    """The part of the one read-only script that asks what there is of these; nothing where none is asked for.

    Of data that is not among the folders to remove it asks to whom it belongs.
    """
    if not wanted:
        return ""
    asked = (shlex.join(["left", leaves.name, *_words(leaves)]) for leaves in wanted)
    return RULES + _DATA + _KEPT + _ASK + "".join(f"{command}\n" for command in asked)


def cleaner(leaves: Leaves) -> str:
    """The command that removes it; it uses the function of `CLEAN`."""
    return shlex.join(["clean", *_words(leaves)])


def has_data(leaves: Leaves) -> str:
    """The condition that data stays there; it uses a function of `CLEAN`."""
    return f'[ -n "$({shlex.join(["data_in", *leaves.data_that_stays])})" ]'


def _words(leaves: Leaves) -> tuple[str, ...]:
    blanks = (" ".join(words) for words in (leaves.folders, leaves.links, leaves.routes, leaves.units))
    expressions = ("|".join(words) or _NONE for words in (leaves.chains, leaves.rules))
    return (*blanks, *expressions, " ".join(leaves.data_that_stays))


def parse(
    lines: Iterable[str], wanted: Sequence[Leaves], owners: Iterable[str] = (), stays: Iterable[str] = ()
) -> Mapping[str, SeenLeftovers]:
    """Read the answers, without their word: what there is, by name; where data `stays`, and who are its `owners`.

    Raises:
        Malformed: a line is none of theirs.
    """
    found: dict[str, list[str]] = {leaves.name: [] for leaves in wanted}
    for line in lines:
        name, left = words(line, 2, "what programs left")
        if name in found:
            found[name].append(left)
    whose: dict[str, list[str]] = {}
    for line in owners:
        name, user, group = words(line, 3, "who owns data")
        whose.setdefault(name, []).extend([user, group])
    data: dict[str, list[str]] = {}
    for line in stays:
        name, path = words(line, 2, "where data stays")
        data.setdefault(name, []).append(path)
    return {
        name: SeenLeftovers(tuple(left), tuple(dict.fromkeys(whose.get(name, ()))), tuple(data.get(name, ())))
        for name, left in found.items()
    }
