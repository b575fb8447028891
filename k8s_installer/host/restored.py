"""etcd's data made of a backup: by a snapshot of API v3 on every member, and by writing the keys of API v2. Pure.

Pods that watch the API wait for a revision that the data does not have, so those that the cluster needs are replaced.

| family | subject | value |
|---|---|---|
| `etcd-restored` | a member's data-dir | of what its data was made, as `made_of` says it |
| `etcd-keys` | the URL of a member's own etcd, and its files | TOKEN|SUM of the requests that write the keys |
| `pods-replaced` | the URL of a list of pods, and files | TOKEN; other pods take the place of those |

A snapshot is restored where etcd does not run. The token is that of the new cluster: no old member can join it. What
was there is kept in `before-TOKEN` in the same folder (also of a log that is apart), because a disk may be mounted
there; data that this restore made and replaces again, which may be in use by then, in `before-TOKEN.1`. The data
itself has the mark by which it is known as restored, so a restore that was cut off resumes, and data that was lost
since is restored again.
"""

from __future__ import annotations

from typing import NamedTuple

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, once

RESTORED, KEYS, PODS = "etcd-restored", "etcd-keys", "pods-replaced"
_MARK = "member/restored"
_API = "k8s-installer/restored"  # the key of API v2 that says which restore has written the others


class MadeOf(NamedTuple):
    """With what a member's data is made: a snapshot by its sum, and the member's place in the new cluster.

    `members` are NAME=URL, divided by commas; `log` is the folder of its log, where that is apart from its data.
    """

    token: str
    sha256: str
    name: str
    url: str
    members: str
    log: str = ""

    def __str__(self) -> str:
        """One word, as the mark in the data has it."""
        return "|".join(self)


# The mark comes into its place with the data, in one step. Until there is an old folder, what is there is old.
_ASK = f"""\
ask_etcd_restored() {{ # data-dirs
  for data do
    now={ABSENT}
    [ ! -f "$root$data/{_MARK}" ] || read -r now <"$root$data/{_MARK}"
    echo "setting $now $now {RESTORED} $data"
  done
}}
"""
_SET = f"""\
logs_to() {{ # folder log: move the log's segments there
  mkdir -p "$1" && find "$2" -maxdepth 1 -type f -exec mv -f {{}} "$1" ';'
}}
put_aside() {{ # data log token: what is there, each time; nothing of it is removed
  if [ -e "$1/before-$3" ] && [ ! -d "$1/member" ]; then # cut off since: its log is of data that never was complete
    [ ! -d "$2" ] || find "$2" -maxdepth 1 -type f -exec rm -f {{}} +
    return
  fi
  name=before-$3 count=0
  while [ -e "$1/$name" ]; do
    count=$((count + 1))
    name=before-$3.$count
  done
  [ ! -d "$2" ] || logs_to "$2/$name" "$2" || return 1
  if [ -d "$1/member" ]; then mv -T "$1/member" "$1/$name"; else mkdir "$1/$name"; fi
}}
set_etcd_restored() {{ # data made-of
  data=$root$1 made=$2
  before=$IFS IFS='|'
  set -f
  set -- $made
  set +f
  IFS=$before
  token=$1 sum=$2 name=$3 url=$4 members=$5 log=${{6:+$root$6}}
  case $(systemctl show -p ActiveState etcd) in
    ActiveState=inactive | ActiveState=failed) ;;
    *) echo "etcd runs, or is about to: its data cannot be replaced"; return 1 ;;
  esac
  user=$(systemctl show -p User etcd)
  user=${{user#User=}}
  new=$data/new-$token
  [ -d "$data" ] || (umask 077; mkdir -p "$data") || return 1
  rm -rf "$data/new-${{token%-*}}-"* && ( # also of another restore, which was cut off
    umask 077
    ETCDCTL_API=3 etcdctl snapshot restore "$incoming/$sum" --name "$name" --initial-cluster "$members" \\
      --initial-cluster-token "$token" --initial-advertise-peer-urls "$url" --data-dir "$new" &&
      printf '%s\\n' "$made" >"$new/{_MARK}"
  ) || {{ rm -rf "$new"; df -Ph "$data"; return 1; }}
  put_aside "$data" "$log" "$token" || return 1
  [ -z "$log" ] || {{ logs_to "$log" "$new/member/wal" && rmdir "$new/member/wal"; }} || return 1
  for folder in "$data" $log; do
    chown -R "${{user:-root}}:" "$folder" || return 1
    [ ! -x {paths.RESTORECON} ] || restorecon -R "$folder"
  done
  find "$new" $log -maxdepth 3 -type f | while read -r file; do flushed "$file" || exit 1; done || return 1
  mv -T "$new/member" "$data/member" && rmdir "$new" && rm -f "$incoming/$sum"
}}
"""
# Requests are lines of PATH FORM; their bytes are on curl's stdin. A folder that is there already answers 403.
_SET_KEYS = f"""\
put_key() {{ # url path form [ca cert key]
  where=$1/v2/keys$2 form=$3
  shift 3
  [ $# -eq 0 ] || set -- --cacert "$1" --cert "$2" --key "$3"
  said=$(printf %s "$form" | curl -sS --noproxy '*' -m 30 -X PUT -d @- -w '\\n%{{http_code}}' "$@" "$where" 2>&1)
  case $form${{said##*
}} in *200 | *201 | dir=true*403) ;; *) printf '%s\\n' "$where: $said"; return 1 ;; esac
}}
set_etcd_keys() {{ # "URL [CA CERT KEY]" TOKEN|SUM
  token=${{2%|*}} sum=${{2#*|}}
  set -- $1
  url=$1
  shift
  files=
  [ $# -eq 0 ] || files="--cacert $1 --cert $2 --key $3"
  # without an answer they may have been written, and objects changed since: nothing is written then
  said=$(curl -sS --noproxy '*' -m 30 -w '\n%{{http_code}}' $files "$url/v2/keys/{_API}?quorum=true" 2>&1)
  case $said in
    *"$token"*200) return 0 ;;
    *200 | *404) ;; # of another restore, or of none
    *) printf '%s\n' "cannot tell whether the keys of API v2 have been written: $said"; return 1 ;;
  esac
  while read -r path form; do
    put_key "$url" "$path" "$form" "$@" || return 1
  done <"$incoming/$sum" && put_key "$url" /{_API} "value=$token" "$@" && rm -f "$incoming/$sum"
}}
"""
# Their objects go at once: a pod that still ends would count as a ready one.
_SET_PODS = """\
set_pods_replaced() { # "URL [CA CERT KEY]" TOKEN
  set -f
  set -- $1
  set +f
  url=$1 now='{"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}'
  shift
  [ $# -eq 0 ] || set -- --cacert "$1" --cert "$2" --key "$3"
  said=$(curl -sS --noproxy '*' -m 30 -X DELETE -H 'Content-Type: application/json' -d "$now" -o /dev/null \\
    -w '%{http_code}' "$@" "$url" 2>&1)
  [ "$said" = 200 ] || { printf '%s\n' "$url: $said"; return 1; }
}
"""


def _words(subject: str, wanted: str) -> str:
    return f"restore etcd's data in {subject} from snapshot {MadeOf(*wanted.split('|')).sha256[:12]}"


FAMILIES = (
    once(
        RESTORED,
        ask=(_ASK,),
        set=(_SET,),
        differs=lambda _subject, seen, wanted: "" if seen == wanted else "the current data is kept in before-TOKEN",
        words=_words,
    ),
    once(
        KEYS,
        set=(_SET_KEYS,),
        differs=lambda _subject, _seen, _wanted: "etcd's API v2 is not in a snapshot",
        words=lambda _subject, _wanted: "write the keys of etcd's API v2",
    ),
    once(
        PODS,
        set=(_SET_PODS,),
        differs=lambda _subject, _seen, _wanted: "what they watched is newer than the restored objects",
        words=lambda _subject, _wanted: "replace the pods of the cluster's DNS",
    ),
)
DATA = (RESTORED, KEYS, PODS)  # what replaces data once, and is no state that a host is kept in
