"""What a host keeps for this program below /var/lib/k8s-installer, and the shell functions that keep it. Pure.

| there | what it is | how long it stays |
|---|---|---|
| `kept/SHA256` | the bytes of a file before a change | while one of the last runs needs it |
| `kept/SHA256.PATH` | its owner, time and attributes under one path (its SHA-256); it is empty | as long as the bytes |
| `kept/run.RUN` | the names of what a run has kept here | the last `RUNS_KEPT` of them, and `MOST_KEPT` in all |
| `kept/run.earlier` | the sums of what versions without such lists have kept | as the list of the oldest run |
| `incoming/` | what was uploaded and is not placed yet | seven days |
| `due/UNIT` | a unit whose process is older than this has to restart | for good; it is empty |
| `reload/UNIT` | the unit's definition changed without a time that systemd could see | until systemd has loaded it |
| `drains/NODE` | a node that this master drains: kubectl's process, log and exit status | until it is given back |
| `installing` | the packages, users and groups from before a transaction of yum's | until what it brought is recorded |
| `running` | the process of the script that changes this host, and when it started | until the next one |
| `lock` | on a master: which run changes the cluster, and until when (`engine/lease.py`) | until its run ends |
| `guard` | what holds its flock, for some milliseconds, reads and replaces `lock`; it is empty | for good |

A file's time says that a process has not read it, but a file that is removed, or comes back with its old time, says
nothing. So whatever does one of the two marks the units that read it first, and whoever looks at the host next sees a
restart that did not come. systemd is no wiser: it asks for a daemon-reload where a drop-in is newer than its last one,
and has no doubt about one that is back with its old time.
"""

from __future__ import annotations

from k8s_installer.host.paths import BOOT_ID

STATE = "/var/lib/k8s-installer"
KEPT = f"{STATE}/kept"
INCOMING = f"{STATE}/incoming"

# A rollback undoes one run after the other, and keeps what it replaces itself: five steps back.
RUNS_KEPT = 10
MOST_KEPT = 2 << 30  # bytes
NOT_KEPT = "cannot be restored: the host no longer keeps the old content"
LARGEST_UPLOAD = 2 << 30  # bytes: what is replaced is kept whole, so what is larger is not replaced
# What was begun and never resumed, and what was staged and never placed, goes after so many days.
STALE_DAYS = 7
# A run that died leaves a script behind that ends by itself, in seconds if it is not at yum.
SETTLE_SECONDS = 40
ALONE_SECONDS = 60

FOLDERS = f"""\
kept=${{K8S_INSTALLER_KEPT:-{KEPT}}}
incoming=${{K8S_INSTALLER_INCOMING:-{INCOMING}}}
state=${{kept%/*}}
"""

OCCUPIED = """\
start_of() { # process: when it started, as the kernel counts; fails if there is none, or nobody has reaped it yet
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  start=${20}
  [ "$1" != Z ]
}
occupied() { # whether a script of an earlier run still changes this host
  { read -r other its_start <"$state/running"; } 2>/dev/null && start_of "$other" && [ "$start" = "$its_start" ]
}
"""

# In front of the questions of a plan: what is half done would be seen, and then be done.
SETTLED = (
    FOLDERS
    + OCCUPIED
    + f"""\
waited=0
while occupied; do
  [ "$waited" -lt {SETTLE_SECONDS * 5} ] || {{
    echo "a script of an earlier run is still changing this host (process $other): try again when it is done" >&2
    exit 1
  }}
  sleep 0.2
  waited=$((waited + 1))
done
"""
)

# `lock` is replaced, so it cannot be what flock holds. The line in it: FORMAT TOKEN BOOT UPTIME-OF-END START END PID
# OWNER. What cannot be read counts from the file's own time, so that it expires, too.
LOCK_FORMAT = "k8s-installer/1"
LEASE_SECONDS = 60
# It wants `folder`, `format` and `lease`. From here on the script has the guard; `held` is whether a lock is valid.
GUARDED = f"""\
umask 077
lock=$folder/lock
while :; do
  mkdir -p "$folder" && chmod 700 "$folder" || exit 1
  exec 9>>"$folder/guard"
  flock -w 5 9 || {{ echo "$folder/guard is busy" >&2; exit 1; }}
  # who had it may have removed the folder
  [ ! "$folder/guard" -ef /proc/self/fd/9 ] || break
done
read -r boot <{BOOT_ID}
read -r up idle </proc/uptime
up=${{up%.*}} now=$(date +%s)
word= its_token= its_boot= its_up= its_since=0 its_until=0 its_pid=0 its_who=
held=no
if [ -e "$lock" ]; then
  read -r word its_token its_boot its_up its_since its_until its_pid its_who <"$lock"
  valid=yes
  [ "$word" = "$format" ] && [ -n "$its_who" ] || valid=no
  for number in "$its_up" "$its_since" "$its_until" "$its_pid"; do
    case $number in '' | *[!0-9]* | ????????????*) valid=no ;; esac
  done
  case $its_token in '' | *[!0-9A-Za-z-]* | ?????????????????????????????????*) valid=no ;; esac
  if [ "$valid" = no ]; then
    its_token=unreadable-$(stat -c %i-%Z "$lock") its_boot= its_pid=0 its_who=
    its_since=$(stat -c %Y "$lock")
    its_until=$((its_since + lease))
  fi
  if [ "$its_boot" = "$boot" ]; then [ "$its_up" -gt "$up" ]; else [ "$its_until" -gt "$now" ]; fi && held=yes
fi
"""

FUNCTIONS = (
    FOLDERS
    + OCCUPIED
    + f"""\
alone() {{ # index: one script at a time changes a host, also if the run of the other one is dead
  waited=0
  while occupied; do
    [ "$waited" -lt {ALONE_SECONDS} ] ||
      failed "$1" "a script of an earlier run is still changing this host (process $other): try again when it is done"
    sleep 1
    waited=$((waited + 1))
  done
  start_of $$
  out=$({{ [ -d "$state" ] || mkdir -p -m 700 "$state"; }} 2>&1 && {{ echo "$$ $start" >"$state/running"; }} 2>&1) ||
    failed "$1" "$out" "$(df -P "$state")"
}}
sum_of() {{ # path: its sum, or why it has none
  if [ -L "$1" ]; then echo link; elif [ ! -e "$1" ]; then echo absent; elif [ ! -f "$1" ]; then echo 'not a file'
  else sum=$(sha256sum <"$1" 2>/dev/null) && echo "${{sum%% *}}" || echo unreadable; fi
}}
kept_as() {{ # path sum: the name of what this path had besides bytes of this sum, which other files may have too
  name=$(printf %s "$1" | sha256sum) && echo "$2.${{name%% *}}"
}}
keep() ( # path: what a change replaces, with all that it has, for a rollback
  [ -f "$1" ] && [ ! -L "$1" ] || exit 0
  umask 077
  [ -d "$kept" ] || mkdir -p "$kept"
  set -- "$1" "$kept"/run.*
  # what is here before the first list is of a version that had none: it counts as the oldest run
  [ -e "$2" ] || ! sums=$(ls "$kept" | grep -v '[.]') || echo "$sums" >"$kept/run.earlier"
  cp -a "$1" "$kept/new.$$" && sum=$(sum_of "$kept/new.$$") && own=$(kept_as "$1" "$sum") &&
    cp -a --attributes-only "$kept/new.$$" "$kept/own.$$" && mv -T "$kept/own.$$" "$kept/$own" &&
    mv -T "$kept/new.$$" "$kept/$sum" &&
    # a line that was cut off by a full disk ends here
    printf '\\n%s\\n%s\\n' "$sum" "$own" >>"$kept/run.$run" || {{ rm -f "$kept/new.$$" "$kept/own.$$"; exit 1; }}
)
mark() {{ # path unit...: those that have started since the file was written have read it, and are due to restart
  since=$(stat -c %Y "$1" 2>/dev/null) || since=0
  case $1 in */systemd/system/*) defines=yes ;; *) defines= ;; esac
  shift
  read -r up idle </proc/uptime
  boot=$(($(date +%s) - ${{up%.*}}))
  [ -d "$state/due" ] && [ -d "$state/reload" ] || mkdir -p -m 700 "$state/due" "$state/reload" || return 1
  for unit; do
    [ -z "$defines" ] || touch "$state/reload/$unit" || return 1
    started=$(systemctl show -p ExecMainStartTimestampMonotonic "$unit" 2>/dev/null)
    case ${{started#*=}} in
      '' | *[!0-9]*) ;;
      *) [ $((boot + ${{started#*=}} / 1000000 + 2)) -ge "$since" ] || continue ;;
    esac
    touch "$state/due/$unit" || return 1
  done
}}
loaded() {{ # by systemd: what has started since its definition was marked has started by the one before
  for file in "$state"/reload/*; do
    [ ! -f "$file" ] || {{ mark "$file" "${{file##*/}}" && rm -f "$file"; }} || return 1
  done
}}
sweep() {{ # what no run needs any more, and what a script that was killed has left
  # awk ends a list's last line where that was cut off; cat would join it with the next list's first
  (cd "$kept" && {{ awk 1 run.* run.*; ls | grep -v '^run\\.'; }} | sort | uniq -u | xargs rm -f)
}}
prune() {{ # [all]: keep what the last runs on this host would go back to; with `all` look at its size, too
  for file in "$incoming"/*; do
    [ ! -f "$file" ] || {{ find "$incoming" -type f -mtime +{STALE_DAYS} -exec rm -f {{}} +; break; }}
  done
  [ -f "$kept/run.$run" ] || return 0
  large=${{1-}}
  set -- "$kept"/run.*
  [ $# -gt {RUNS_KEPT} ] || [ -n "$large" ] || return 0
  set -- $(cd "$kept" && ls -tr run.*) # by this host's clock
  while [ $# -gt {RUNS_KEPT} ] && [ "$1" != "run.$run" ]; do
    rm -f "$kept/$1"
    shift
  done
  sweep
  while [ $# -gt 1 ] && [ "$1" != "run.$run" ] &&
    size=$(du -sk "$kept") && [ "${{size%%[!0-9]*}}" -gt "${{K8S_INSTALLER_MOST_KEPT:-{MOST_KEPT // 1024}}}" ]; do
    rm -f "$kept/$1"
    shift
    sweep
  done
}}
"""
)
