"""Backups that a member of etcd makes by itself: a script, and a timer of systemd's that runs it. Pure.

The value is one word, the parts divided by `|`: those of `Schedule`, and a sum of what is written, so that another
version of this program replaces its script. `none` is no such timer. What is made are files that `restore` takes; they
have etcd's data and no keys. They stay when the timer goes. Members may share a folder (NFS) with each other and with
files of other names: each deletes only the oldest files of its own name.
"""

from __future__ import annotations

import hashlib
import shlex
from typing import NamedTuple

from k8s_installer.host import paths
from k8s_installer.host.family import NONE, REPLACE, Family, Value

NAME = "etcd-backups"
UNIT = "etcd-backup"
PROGRAM = f"/usr/local/sbin/{UNIT}"
_OFF = "off"  # now: the timer does not run; at boot: it would not start


class Schedule(NamedTuple):
    """When a member backs up, how many files it keeps and where; whose it is, and how its etcd is asked.

    `at` is an expression of systemd's calendar, with `_` for blanks.
    """

    at: str
    keep: str
    folder: str
    cluster: str
    version: str
    host: str
    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        """One word."""
        return "|".join((*self, _SUM))


# The program, after a line that sets `made` to the value. POSIX sh; what is asked first is a read by the quorum.
_BODY = """\
# Takes a snapshot of etcd, and removes the oldest ones. `k8s-installer restore FILE` takes these files.
set -euf
umask 077
IFS='|'
set -- $made
unset IFS
keep=$2 folder=$3 cluster=$4 version=$5 host=$6 url=$7 ca=${8-} cert=${9-}
shift 7
key=${3-}
export ETCDCTL_API=3 NO_PROXY='*' no_proxy='*'
tls() { if [ -n "$ca" ]; then "$@" --cacert "$ca" --cert "$cert" --key "$key"; else "$@"; fi; }
mkdir -p "$folder"
find "$folder" -maxdepth 1 -name '.new.??????' -mmin +120 -exec rm -rf {} + || : # of runs that were killed
work=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
mkdir etcd
for api in v3 v3beta v3alpha; do
  held=$(tls curl -sS --noproxy '*' -m 30 -d '{"key":"AA==","range_end":"AA==","count_only":true}' "$url/$api/kv/range")
  case $held in '{'*) break ;; esac
done
number() { n=$(printf '%s\\n' "$held" | sed -n "s/.*\\"$1\\":\\"\\([0-9]*\\)\\".*/\\1/p"); echo "${n:-0}"; }
[ "$(number revision)" -gt 0 ] || { echo "etcd does not answer a read that needs its quorum: $held" >&2; exit 1; }
size=$(tls etcdctl --endpoints "$url" endpoint status -w json | sed -n 's/.*"dbSize":\\([0-9]*\\).*/\\1/p')
needs=$((2 * (${size:-0} >> 20) + 100)) # MB: a snapshot, the packed file, and what etcd itself may need meanwhile
free=$(df -Pm "$folder" | { read -r head; read -r name all used free rest; echo "$free"; })
[ "$free" -ge "$needs" ] || {
  echo "no room for a backup in $folder: $free MB are free, $needs are needed" >&2
  exit 1
}
tls etcdctl --endpoints "$url" snapshot save etcd/v3.db >/dev/null
code=$(tls curl -sS --noproxy '*' -m 300 -o etcd/v2.json -w '%{http_code}' "$url/v2/keys/?recursive=true&quorum=true")
case $code in 200 | 404) ;; *) echo "etcd answers its API v2 with status $code" >&2; exit 1 ;; esac
[ "$code" = 200 ] && grep -q '"key"' etcd/v2.json || rm -f etcd/v2.json
entries=
for file in etcd/v3.db etcd/v2.json; do
  [ -f $file ] || continue
  sum=$(sha256sum <$file)
  entries="$entries${entries:+,}{\\"name\\":\\"$file\\",\\"sha256\\":\\"${sum%% *}\\",\\"size\\":$(stat -c %s $file)}"
done
created=$(date -u +%Y-%m-%dT%H:%M:%SZ)
printf '{"format":1,"cluster":"%s","version":"%s","created":"%s","member":"%s","revision":%s,"keys":%s,"files":[%s]}' \\
  "$cluster" "$version" "$created" "$host" "$(number revision)" "$(number count)" "$entries" >manifest.json
set -- manifest.json etcd/v3.db
[ ! -f etcd/v2.json ] || set -- "$@" etcd/v2.json
tar czf backup "$@"
gzip -t backup
sync
new=$cluster-$host-$(date -u +%Y%m%dT%H%M%SZ).backup
mv backup "$folder/$new"
cd "$folder"
set +f
d=[0-9] date=[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]
# whatever the clock says, the one that was just made stays
ls -1 "$cluster-$host-"${date}T$d$d$d$d$d${d}Z.backup | grep -vxF "$new" | sort -r | tail -n +"$keep" |
  while read -r old; do rm -f "$old"; done
"""
_SERVICE = f"""\
# written by k8s-installer
[Unit]
Description=Backs up etcd's data
After=etcd.service
[Service]
Type=oneshot
Nice=10
ExecStart={PROGRAM}
"""
_TIMER = """\
# written by k8s-installer
[Unit]
Description=Backs up etcd's data on a schedule
[Timer]
OnCalendar=%s
Persistent=true
[Install]
WantedBy=timers.target
"""
_SUM = hashlib.sha256(f"{_BODY}{_SERVICE}{_TIMER}".encode()).hexdigest()[:8]
_ASK = f"""\
ask_etcd_backups() {{
  now={NONE} boot={NONE}
  if [ -f "$root{PROGRAM}" ]; then
    while IFS= read -r line; do
      case $line in "made='"*) now=${{line#*\\'}} now=${{now%\\'}} boot=$now ;; esac
    done <"$root{PROGRAM}"
    systemctl -q is-active {UNIT}.timer || now={_OFF}
    systemctl -q is-enabled {UNIT}.timer 2>/dev/null || boot={_OFF}
  fi
  echo "setting $now $boot {NAME}"
}}
"""
_SET = f"""\
written_to() {{ # path mode: its text comes on stdin
  (umask 022; mkdir -p "${{1%/*}}"; [ -f "$1" ] || : >"$1") && replace "$1" && chmod "$2" "$1"
}}
set_etcd_backups() {{ # now boot
  program=$root{PROGRAM} units=$root{paths.UNITS}/{UNIT}
  if [ "$2" = {NONE} ] || [ "$2" = {_OFF} ]; then
    systemctl disable {UNIT}.timer 2>/dev/null
    systemctl stop {UNIT}.timer 2>/dev/null
    keep "$program" && keep "$units.service" && keep "$units.timer" &&
      rm -f "$program" "$units.service" "$units.timer" && systemctl daemon-reload
    return
  fi
  at=$(printf %s "${{2%%|*}}" | tr _ ' ')
  {{ printf "#!/bin/sh\\n# written by k8s-installer\\nmade='%s'\\n" "$2"; printf %s {shlex.quote(_BODY)}; }} |
    written_to "$program" 755 || return 1
  printf %s {shlex.quote(_SERVICE)} | written_to "$units.service" 644 || return 1
  printf {shlex.quote(_TIMER)} "$at" | written_to "$units.timer" 644 || return 1
  systemctl daemon-reload && systemctl enable {UNIT}.timer && systemctl restart {UNIT}.timer
}}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if seen == wanted:
        return ""
    if wanted == NONE:
        return "the inventory does not ask for it any more"
    has = Value.parse(seen or NONE)
    if has.now == NONE:
        return "there is no timer"
    if _OFF in (has.now, has.boot):
        return "its timer does not run"
    same = has.now.rsplit("|", 1)[0] == wanted.rsplit("|", 1)[0]
    return "its script is of another version of k8s-installer" if same else "its settings differ"


def _words(_subject: str, wanted: str) -> str:
    if wanted == NONE:
        return "stop backing up etcd"
    at, keep, folder, *_ = wanted.split("|")
    return f"back up etcd to {folder}, {at.replace('_', ' ')}, and keep {keep} files"


FAMILY = Family(NAME, ask=(_ASK,), set=(REPLACE, _SET), differs=_differs, original=lambda _before: NONE, words=_words)
