"""Draining nodes: what cordons one and starts `kubectl drain`, how that is doing, and what gives the node back. Pure.

All of it happens on a master. A node is cordoned and marked as ours in one request, by an annotation: one that somebody
else had cordoned is not marked, and stays cordoned. `kubectl drain` then runs in the background, where it outlives the
script that started it and is watched by a gate: it may take many minutes, and a master drains several nodes at once.
The folder that it writes to is there until the node is given back, so a run that died over it is continued, and a
master that has never drained a node costs no question.

| family | value | means |
|---|---|---|
| `drained` | `timeout=300s,force` ... | the flags of kubectl with which it is drained |
| `drained`, `schedulable` | `drained` | a run has drained it, and not given it back |
| `drained`, `schedulable` | `released` | it is as others want it |
"""

from __future__ import annotations

import shlex

from k8s_installer.host.addons import KUBE
from k8s_installer.host.family import Family
from k8s_installer.host.statedir import STATE

DRAINED, SCHEDULABLE = "drained", "schedulable"
RELEASED = "released"
ANNOTATION = "k8s-installer/drained"
DRAINS = f"{STATE}/drains"  # a folder for each node that is drained and not given back: pid, log, status
DONE, RUNNING, FAILED = 200, 202, 500  # how a drain is doing, in the place of an HTTP status
_GRACE = 15  # seconds that kubectl may take beyond its own timeout
_LOG_BYTES = 4000

_ASK_EITHER = f"""\
ask_drains() {{ # family names...
  family=$1
  shift
  for name do
    if [ -d "$root{DRAINS}/$name" ]; then now={DRAINED}; else now={RELEASED}; fi
    echo "setting $now $now $family $name"
  done
}}
"""
# Every node is listed: kubectl of 1.5 fails for one that is not there.
_MARKS = f"""\
marks_of() {{ # node: sets found to `UNSCHEDULABLE ANNOTATION`; to nothing if there is no such node
  columns=N:.metadata.name,U:.spec.unschedulable,A:.metadata.annotations.{ANNOTATION}
  found=$(kube 30 get nodes -o custom-columns="$columns") &&
    found=$(printf '%s\\n' "$found" | awk -v name="$1" '$1 == name {{ print $2, $3 }}')
}}
marked() {{ # node unschedulable annotation: all in one request
  set -- "$1" '"metadata":{{"annotations":{{"{ANNOTATION}":'"$3"'}}}}' '"spec":{{"unschedulable":'"$2"'}}'
  kube 30 patch node "$1" -p "{{$2,$3}}"
}}
ended() {{ # folder: a drain of a run that died, which still evicts pods, is over
  {{ [ ! -f "$1/status" ] && read -r pid <"$1/pid"; }} 2>/dev/null || return 0
  case $(tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in *kubectl*" drain "*) kill "$pid" ;; *) return 0 ;; esac
  tries=0
  until [ -f "$1/status" ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
}}
"""
_RUN = """\
cd "$1" && shift || exit
"$@" >log 2>&1 &
echo $! >pid
wait $!
echo $? >ended && mv -T ended status
"""
_SET_DRAINED = f"""\
set_drained() {{ # node flags: cordoned at once; the drain goes on in the background
  folder=$root{DRAINS}/$1
  ended "$folder" || return 1
  [ "$2" != {RELEASED} ] || {{ set_schedulable "$1"; return; }}
  (umask 077; mkdir -p "$folder") && rm -f "$folder"/* && marks_of "$1" || return 1
  case $found in
    '') echo 0 >"$folder/status"; return ;; # no such node has no pods
    'true <none>'|'true true') ;; # somebody else has cordoned it, or a run before: kubectl may refuse a patch in vain
    *) marked "$1" true '"true"' || return 1 ;;
  esac
  limit=${{2#timeout=}}
  limit=${{limit%%s*}}
  reached
  set -- timeout "$((limit + {_GRACE}))" kubectl $server drain "$1" $(printf '%s\\n' "$2" | tr , '\\n' | sed 's/^/--/')
  # a shell of its own: a part of this one would keep the connection open, by what it has put aside of its outputs
  sh -c '{_RUN}' drain "$folder" "$@" </dev/null >/dev/null 2>&1 &
  tries=0
  until [ -s "$folder/pid" ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
}}
"""
_SET_SCHEDULABLE = f"""\
set_schedulable() {{ # node: one that somebody else has cordoned stays so
  ended "$root{DRAINS}/$1" && marks_of "$1" || return 1
  case $found in ''|*' <none>') ;; *) marked "$1" false null || return 1 ;; esac
  rm -rf "$root{DRAINS}/$1"
}}
"""
# The end of the log, and the status as curl prints one. The status is written a moment after the process has ended: a
# drain that has none then was cut off. The log is read last, so that it is whole if the drain has ended.
_ASK_PROGRESS = """\
drain_of() {{ # node
  folder=${{K8S_INSTALLER_ROOT-}}{folder}/$1
  read -r code <"$folder/status" ||
    {{ read -r pid <"$folder/pid" && kill -0 "$pid" && code=running; }} ||
    {{ sleep 1; read -r code <"$folder/status"; }} || code=none
  tail -c {bytes} "$folder/log"
  case $code in 0) code={done} ;; running) code={running} ;; none) echo 'the drain was cut off'; code={failed} ;;
    *) code={failed} ;;
  esac
  printf '\\nstatus %s\\n' "$code"
}} 2>/dev/null
"""


def question(node: str) -> tuple[str, str]:
    """The function of the shell that asks how a drain is doing, and the command that calls it."""
    function = _ASK_PROGRESS.format(folder=DRAINS, bytes=_LOG_BYTES, done=DONE, failed=FAILED, running=RUNNING)
    return function, f"drain_of {shlex.quote(node)}"


def _still_drained(_subject: str, seen: str | None, wanted: str) -> str:
    return "a run drained it and did not finish" if (seen, wanted) == (DRAINED, RELEASED) else ""


def _words(subject: str, wanted: str) -> str:
    if wanted == RELEASED:
        return f"uncordon node {subject}"
    limit, *more = wanted.removeprefix("timeout=").split(",")
    flags = "".join(f", --{flag}" for flag in more)
    return f"cordon and drain node {subject} within {limit}{flags}"


def _released(_before: str | None) -> str:
    return RELEASED


def _marker(name: str) -> str:
    return f'ask_{name}() {{ ask_drains {name} "$@"; }}\n'


_GIVEN_BACK = (KUBE, _MARKS, _SET_SCHEDULABLE)
FAMILIES = (
    Family(
        DRAINED, ask=(_ASK_EITHER, _marker(DRAINED)), set=(*_GIVEN_BACK, _SET_DRAINED),
        differs=_still_drained, original=_released, words=_words,
    ),
    Family(
        SCHEDULABLE, ask=(_ASK_EITHER, _marker(SCHEDULABLE)), set=_GIVEN_BACK,
        differs=_still_drained, original=_released, words=_words,
    ),
)  # fmt: skip
