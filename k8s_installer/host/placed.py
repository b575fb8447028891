"""The record of what this program placed on a host: `/var/lib/k8s-installer/placed`, and the shell that keeps it. Pure.

What is recorded and no longer wanted is removed, and what is not recorded was somebody else's and stays. A line is

    + KIND NAME DETAILS        placed; the details are JSON
    - KIND NAME                no longer there

with tabs between, and the last line about a name counts. A line is written before the thing that it is about, in the
same script: a run that is cut off leaves a line too many, never one too few. `originals/` has the files that were there
before the first one of ours, each under the SHA-256 of its path.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from k8s_installer.host.statedir import FOLDERS, GUARDED, LEASE_SECONDS, LOCK_FORMAT, OCCUPIED, STATE
from k8s_installer.model.resources import Kind, Leaves, Placed
from k8s_installer.untrusted.answers import Malformed

PATH = f"{STATE}/placed"
NAME = "placed"  # of the record, as a resource
LEAST_DEPTH = 2  # of a folder that programs leave: /run/flannel
MOST_LINES = 20_000  # of a record; three roles on one host have two hundred
CROWDED = 2000  # lines from which on a record is compacted if most of them no longer count
_TEXTS = ("component", "group", "before", "sha256", "cluster")  # of a line's details, as `Placed` has them
_OF_A_LINE = ("units", "came_with")
_LISTS = ("folders", "data", "links", "chains", "rules", "routes", "left_units")  # of what a component's programs leave
RENDERED = "Rendered by k8s-installer from "  # in the header of files, which is their first line, or follows #!
FOLDER = "folder"  # lines of folders that were made for files: they go when they are empty, and no plan shows them

ORIGINAL = r"""\
original_of() { # path: where the file is that was there before ours
  sum=$(printf %s "$1" | sha256sum) && echo "$state/originals/${sum%% *}"
}
"""
FUNCTIONS = (
    ORIGINAL
    + r"""\
record() { # kind name details
  printf '\n+\t%s\t%s\t%s\n' "$1" "$2" "$3" >>"$state/placed"
}
forget() { # kind name
  printf '\n-\t%s\t%s\n' "$1" "$2" >>"$state/placed"
}
recorded() { # [kind]: the names of what was placed, the first to come first; without a kind, the lines about it
  # It fails where most lines no longer count. A line that a full disk has cut off says nothing.
  [ ! -f "$state/placed" ] || awk -F '\t' -v kind="${1-}" '
    NF < 3 || (kind != "" && $2 != kind) || ($1 == "+" && $4 != "" && $4 !~ /}$/) { next }
    { name = $2 FS $3 }
    !(name in last) { names[++count] = name }
    { last[name] = $0 }
    END {
      for (i = 1; i <= count; i++)
        if (split(last[names[i]], part) && part[1] == "+") print kind ? part[3] : last[names[i]]
      # gawk forgets that it could not write once it is at `exit`
      if (kind && NR > """
    + str(CROWDED)
    + r""" && NR > 4 * count) exit 1
    }' "$state/placed"
}
flushed() { # path
  dd if=/dev/null of="$1" conv=notrunc,fsync status=none
}
first() { # path: what is there stays as the original, unless it is ours
  [ -f "$1" ] && [ ! -L "$1" ] || return 0
  case "
$known
" in *"
$1
"*) return 0 ;; esac
  original=$(original_of "$1") || return 1
  [ ! -e "$original" ] || return 0
  (umask 077; mkdir -p "$state/originals") && cp -a "$1" "$state/originals/new.$$" &&
    flushed "$state/originals/new.$$" && mv -T "$state/originals/new.$$" "$original"
}
ours() { # path original: whether it is what was placed, at some time, or has our header, or nobody has to keep it
  sum=$(sum_of "$1")
  [ "$sum" != absent ] && [ "$sum" != "$(sum_of "$2")" ] || return 0
  lines=$(grep -F "$(printf '+\tfile\t%s\t' "$1")" "$state/placed")
  case $lines in
    *"\"sha256\":\"$sum\""*) ;;
    *'"sha256":'*) head -n 2 "$1" | grep -qF """
    + f"'{RENDERED}'"
    + r""" ;;
  esac
}
leave() { # path: it becomes what it was before the first file of ours; what others have brought since stays
  original=$(original_of "$1") || return 1
  if ! ours "$1" "$original"; then
    packaged "$1" || echo "$1 is somebody else's by now: it stays"
    if [ ! -f "$original" ]; then :
    elif packaged "$1"; then rm -f "$original"
    else mv -T --backup=numbered "$original" "$1~" && echo "the file from before this program is now $1~"
    fi
  elif [ -f "$original" ]; then
    new=$(umask 077; mktemp "${1%/*}/.k8s-installer.XXXXXX") && cp -a "$original" "$new" && flushed "$new" &&
      mv -T "$new" "$1" && rm -f "$original" || return 1
    [ ! -x /usr/sbin/restorecon ] || restorecon "$1"
  elif [ -f "$1.rpmnew" ] && packaged "$1" "$1.rpmnew"; then
    mv -T "$1.rpmnew" "$1" # a package came while ours was in its place
  elif ! packaged "$1"; then
    rm -f "$1"
  fi
}
made() { # folder: those that are about to be made for it
  missing=$1
  until [ -d "${missing:-/}" ]; do
    record folder "$missing" '' || return 1
    missing=${missing%/*}
  done
}
claim() { # component details folder... -- rule...: only what is not there yet is the component's
  # a pattern's matches are if the folder is not there that all of them are in
  component=$1 details=${2%\}} folders= rules=
  shift 2
  until [ "$1" = -- ]; do
    [ -e "${1%%\**}" ] || folders="$folders${folders:+,}\"$1\""
    shift
  done
  shift
  [ $# -eq 0 ] || there=$(for save in iptables-save ip6tables-save; do "$save"; done 2>/dev/null)
  for rule; do printf '%s\n' "$there" | grep -qxE -e "$rule" || rules="$rules${rules:+,}\"$rule\""; done
  record leftovers "$component" "$details,\"folders\":[$folders],\"rules\":[$rules]}"
}
packages_and_users() { # nothing at all if rpm cannot say: what it leaves out would seem to have come
  installed=$(rpm -qa --qf 'package %{NAME}\n') || return 1
  echo "$installed"
  cut -d : -f 1 /etc/passwd | sed 's/^/user /'
  cut -d : -f 1 /etc/group | sed 's/^/group /'
}
installing() { # details, package...: keep what is there before these come, also for a script that follows a power cut
  details=$1
  shift
  found_before=$(packages_and_users) || return 1
  (umask 077; printf '%s\n' "$details" "$*" "$found_before" >"$state/installing.new") &&
    flushed "$state/installing.new" && mv -T "$state/installing.new" "$state/installing"
}
users_of() { # package...: the words of the commands by which their scriptlets make users and groups
  rpm -q --scripts "$@" | sed -e :join -e '/\\$/{N;s/\\\n/ /;b join' -e '}' | grep -E '(user|group)add|sysusers' |
    tr -cs 'A-Za-z0-9._-' '\n'
}
first_transaction() { # package...: those of them that came first, all at once; somebody may have installed more since
  rpm -q --qf '%{INSTALLTID} %{NAME}\n' "$@" | sort -n | awk 'NR == 1 { first = $1 } $1 == first { print $2 }'
}
untouched() { # the files of ours whose original is just as a package brought it, a line each
  recorded file | while IFS= read -r path; do
    original=$(original_of "$path") && [ -f "$original" ] && packaged "$path" "$original" && echo "$path"
  done
}
put_aside() { # files that `untouched` gave: what packages brought while ours were in their places is the original
  recorded file | while IFS= read -r path; do
    [ -f "$path.rpmnew" ] && packaged "$path" "$path.rpmnew" || continue
    original=$(original_of "$path") && (umask 077; mkdir -p "$state/originals") || exit 1
    if [ ! -e "$original" ] || printf '%s\n' "$1" | grep -qxF -e "$path"; then mv -T "$path.rpmnew" "$original"
    else rm -f "$path.rpmnew" # what somebody had there before counts
    fi || exit 1
  done
}
arrived() { # record what has come since `installing`, besides what was asked for
  { read -r details && read -r asked; } <"$state/installing" || { echo "$state/installing: damaged"; return 1; }
  put_aside '' || return 1
  found_now=$(packages_and_users) || return 1
  came=$(printf '%s\n' "$found_now" | grep -vxF -f "$state/installing" | sort -u)
  packages=$(printf '%s\n' "$came" | sed -n 's/^package //p')
  [ -z "$packages" ] || packages=$(first_transaction $packages)
  for name in $packages; do
    case " $asked " in *" $name "*) ;; *) record package "$name" "$details" || return 1 ;; esac
  done
  # an administrator may add a user meanwhile
  theirs=$([ -z "$packages" ] || users_of $packages)
  printf '%s\n' "$came" | while read -r kind name; do
    before=absent
    case $kind in
      user) ! grep -qxF "group $name" "$state/installing" || before=group ;;
      group) ! printf '%s\n' "$found_now" | grep -qxF "user $name" || continue ;; # its user is recorded, or not new
      *) continue ;;
    esac
    ! printf '%s\n' "$theirs" | grep -qxF -e "$name" ||
      record setting "user $name" "${details%\}},\"before\":\"$before\"}" || exit 1
  done || return 1
  [ ! -f "$state/placed" ] || flushed "$state/placed" || return 1
  rm -f "$state/installing"
}
finish() { # index: what a script had begun that was killed, or failed
  [ -f "$state/installing" ] || return 0
  unlocked "$1" # its yum may have survived it
  out=$(arrived 2>&1) || failed "$1" "$out"
}
uninstall() { # '' or --noscripts, package...: those that no other package needs; files of ours that stay are put aside
  how=$1
  shift
  until [ $# -eq 0 ] || said=$(LC_ALL=C rpm -e --test "$@" 2>&1); do
    needed=$(printf '%s\n' "$said" | sed -n 's/^[[:space:]]*\(.*\) is needed by (installed) .*/\1/p' | head -n 1)
    stays=$(rpm -q --qf '%{NAME}\n' --whatprovides "${needed%% *}" 2>/dev/null | head -n 1)
    left=$(for name; do [ "$name" = "$stays" ] || echo "$name"; done)
    [ -n "$needed" ] && [ "$(echo $left)" != "$*" ] || { printf '%s\n' "$said"; return 1; }
    set -- $left
  done
  [ $# -gt 0 ] || return 0
  compact || return 1 # folders of ours do not keep those of packages
  brought=$(rpm -ql "$@") aside= theirs=
  for path in $(recorded file | grep -xF "$brought"); do
    [ -f "$path" ] || continue
    new=$(umask 077; mktemp "${path%/*}/.k8s-installer.XXXXXX") && cp -a "$path" "$new" || return 1
    aside="$aside $new:$path"
    original=$(original_of "$path") || return 1
    ! packaged "$path" "$original" || theirs="$theirs $original" # it was never there before us
  done
  rpm -e $how "$@"
  status=$?
  [ $status -ne 0 ] || rm -f $theirs
  # folders that no package owns: rpm made them for a file
  printf '%s\n' "$brought" | sed 's#/[^/]*$##' | sort -ru | while read -r folder; do
    until [ ! -d "$folder" ] || [ -n "$(ls -A "$folder")" ] || rpm -qf "$folder" >/dev/null 2>&1; do
      rmdir "$folder" || break
      folder=${folder%/*}
    done
  done
  for pair in $aside; do
    path=${pair#*:} folder=${path%/*}
    mv -T "${pair%%:*}" "$path" && rm -f "$path.rpmsave" || status=1
    rpm -qf "$folder" >/dev/null 2>&1 || record folder "$folder" '' # it goes with our file
  done
  return $status
}
compact() { # folders that are empty now, and files that are gone, are no longer ours; one line for each name
  [ -f "$state/placed" ] || return 0
  recorded file | while IFS= read -r path; do
    [ -e "$path" ] || [ -L "$path" ] || [ -e "$(original_of "$path")" ] || forget file "$path"
  done
  recorded folder | sort -r | while IFS= read -r path; do
    if [ ! -d "$path" ]; then forget folder "$path"
    elif rmdir "$path" 2>/dev/null; then forget folder "$path"
    fi
  done
  # what came through a pipe cannot have met a full disk
  (umask 077; recorded >"$state/placed.new") &&
    recorded | cmp -s - "$state/placed.new" && flushed "$state/placed.new" &&
    mv -T "$state/placed.new" "$state/placed" || { rm -f "$state/placed.new"; return 1; }
}
"""
)


def line(entry: Placed) -> str:
    """The line of the record that says that this was placed."""
    return f"+\t{entry.kind}\t{entry.name}\t{_details(entry)}"


def _details(entry: Placed) -> str:
    """What else there is to say, as JSON without blanks; what is empty is left out."""
    said = asdict(entry)
    leaves = said.pop("leaves") or {}
    leaves = {"left_units" if key == "units" else key: value for key, value in leaves.items() if key != "name"}
    del said["kind"], said["name"], said["joined"]
    return json.dumps({key: value for key, value in {**said, **leaves}.items() if value}, separators=(",", ":"))


_FLUSH = 'flushed "$state/placed"'  # a power cut must not lose a line whose change it leaves


def noted(entries: Iterable[Placed]) -> str:
    """The commands that write these lines and flush them, joined by `&&`.

    Of what programs leave, what is not there yet is claimed.
    """
    return " && ".join([*map(_noted, entries), _FLUSH])


def adopted(entries: Iterable[Placed], gone: Iterable[Placed]) -> str:
    """The commands that write lines of what is there already, and of what has left by other hands, joined by `&&`."""
    return " && ".join([*map(_written, entries), *map(_gone, gone), _FLUSH])


def _gone(entry: Placed) -> str:
    forget = forgotten([entry])
    # its bytes are those from before this program; so are its mode and owner then, and nothing is left to keep
    return f"{shlex.join(['leave', entry.name])} && {forget}" if entry.kind is Kind.FILE else forget


def forgotten(entries: Iterable[Placed]) -> str:
    """The commands that take these out of the record, joined by `&&`."""
    return " && ".join(shlex.join(["forget", str(entry.kind), entry.name]) for entry in entries)


# Before `noted` of files, and after what was adopted: one process for all; and at the end, if nothing has left.
KNOWN = "known=$(recorded file) || crowded=yes\n"
COMPACT_CROWDED = '[ -z "${crowded-}" ] || compact\n'


# After a transaction of yum's that installs, and around one that replaces packages by other versions.
ARRIVED = "arrived"
BEFORE_OTHERS = "untouched=$(untouched)\n"
AFTER_OTHERS = 'put_aside "$untouched"'


def installing(entry: Placed, asked: Iterable[str]) -> str:
    """The command before a transaction of yum's, for `ARRIVED` to record the other packages and the users it brings."""
    came_with = tuple(asked)
    rest = Placed(Kind.PACKAGE, "", entry.component, entry.group, came_with=came_with, cluster=entry.cluster)
    return shlex.join(["installing", _details(rest), *came_with])


def _written(entry: Placed) -> str:
    return shlex.join(["record", str(entry.kind), entry.name, _details(entry)])


def _noted(entry: Placed) -> str:
    if entry.leaves is not None and not entry.joined:
        rest = replace(entry, leaves=replace(entry.leaves, folders=(), rules=()))
        return shlex.join(["claim", entry.name, _details(rest), *entry.leaves.folders, "--", *entry.leaves.rules])
    write = _written(entry)
    return f"first {shlex.quote(entry.name)} && {write}" if entry.kind is Kind.FILE else write


def parse(lines: Iterable[str]) -> tuple[Placed, ...]:
    """The record's entries, in the order in which they were first written.

    Raises:
        Malformed: a line is none of a record; one that was cut off by a full disk is passed over.
    """
    found: dict[tuple[str, str], Placed] = {}
    lines = tuple(lines)
    if len(lines) > MOST_LINES:
        raise Malformed("the record of what was placed", f"{len(lines)} lines")
    for text in lines:
        match text.split("\t"):
            case ["-", kind, name, *_]:
                found.pop((kind, name), None)
            case ["+", kind, name, details] if kind != FOLDER:
                entry = _entry(kind, name, details)
                if entry is not None:
                    found[kind, name] = entry
    return tuple(found.values())


@lru_cache(maxsize=16384)  # most lines are the same on all hosts
def _entry(kind: str, name: str, details: str) -> Placed | None:
    try:
        said: Mapping[str, Any] = json.loads(details)
    except (ValueError, RecursionError):
        return None  # cut off
    try:
        found: dict[str, Any] = {key: _text(said[key]) for key in _TEXTS if key in said}
        lists = {key: tuple(map(_CHECKED.get(key, _text), said[key])) for key in (*_OF_A_LINE, *_LISTS) if key in said}
        found |= {key: lists[key] for key in _OF_A_LINE if key in lists}
        leaves = Leaves(name, *(lists.get(key, ()) for key in _LISTS)) if kind == Kind.LEFTOVERS else None
        component, secret = found.pop("component", ""), bool(said.get("secret"))
        return Placed(Kind(kind), name, component, **found, secret=secret, leaves=leaves, joined=False)
    except (ValueError, TypeError, AttributeError):
        raise Malformed("the record of what was placed", f"{kind} {name} {details}") from None


def _folder(value: object) -> str:
    """A folder that may be removed with all that is in it: never a part of every system, as /var or /etc."""
    path = _path(value)
    if path.count("/") < LEAST_DEPTH:
        raise ValueError
    return path


def _path(value: object) -> str:
    path = _text(value)
    if posixpath.normpath(path) != path or not path.startswith("/"):
        raise ValueError
    return path


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_CHECKED = {"folders": _folder, "data": _path}  # how values of the record are read that are no mere text

# After a host was reset: our own folder goes, but for the record of data that stays, and of the users that it belongs
# to. On a master the run's own lock is released before. Where another run has begun since, it is that one's to remove.
SWEEP = f"""\
{FOLDERS}{OCCUPIED}{FUNCTIONS}
[ -d "$state" ] || exit 0
folder=$state format={LOCK_FORMAT} lease={LEASE_SECONDS}
{GUARDED}
[ "$held" = no ] && ! occupied || exit 0
[ ! -f "$state/placed" ] || compact || exit 1
# something that was placed is still there: whoever removes it needs all of this
! grep -q -e '^+.file' -e '^+.unit' -e '^+.package' "$state/placed" 2>/dev/null || exit 0
stays=guard
if grep -q '^+.leftovers.*"data":' "$state/placed" 2>/dev/null; then
  grep -e '^+.leftovers.*"data":' -e '^+.setting.user ' "$state/placed" >"$state/placed.new" &&
    flushed "$state/placed.new" && mv -T "$state/placed.new" "$state/placed" || exit 1
  stays=placed
fi
find "$state" -mindepth 1 -maxdepth 1 ! -name guard ! -name "$stays" -exec rm -rf {{}} + || exit 1
rm -f "$state/guard" || exit 1
# from here on another run may make it again
[ "$stays" = placed ] || rmdir "$state" 2>/dev/null || [ -e "$state/guard" ]
"""
