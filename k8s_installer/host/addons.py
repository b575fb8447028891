"""How a master is asked what of an addon is in the cluster, and how it is applied and taken out: by its kubectl. Pure.

A master keeps a copy of what it applied: by that it knows what is there of an addon, also when its manifest has
changed or is gone. Each object has the sum of its manifest as an annotation, so that one which was deleted, or made
again by somebody, is noticed. A value is the sum, `none`, or why it is neither:

| value | means |
|---|---|
| incomplete | some of its objects are missing |
| other | some of its objects differ from what was applied, or a run died over it |
| unanswered | the API server does not answer: nothing is known, and applying once more does no harm |

While an addon is applied the copy holds the manifest of before, too: whatever cuts the run off, nothing is forgotten.
Scripts run by POSIX sh on CentOS 7; `$root` is empty but for tests.
"""

from __future__ import annotations

import re

from k8s_installer.host import paths
from k8s_installer.host.family import NONE, Family
from k8s_installer.host.statedir import STATE

ADDONS, ADDON = "addons", "addon"
APPLIED = f"{STATE}/addons"  # as secret as what is applied
ANNOTATION = "k8s-installer/manifest"
INCOMPLETE, OTHER, UNANSWERED = "incomplete", "other", "unanswered"

_SUM = re.compile(r"[0-9a-f]{64}")
_REASONS = {
    NONE: "it is not applied yet",
    INCOMPLETE: "some of its objects are missing",
    OTHER: "some of its objects differ from what was applied",
    UNANSWERED: "the API server did not answer for it",
}

# kubectl of 1.5 has no --request-timeout. Without certificates the API server's port on the host is open to root.
KUBE = f"""\
kube() {{ # seconds words...
  limit=$1
  shift
  reached
  timeout "$limit" kubectl $server "$@"
  status=$?
  [ $status -ne 124 ] || echo "kubectl $1: no answer within $limit s" >&2
  return $status
}}
reached() {{ # sets server to how kubectl reaches the API
  server='-s http://127.0.0.1:8080'
  [ ! -f "$root{paths.KUBECONFIG}" ] || server=--kubeconfig=$root{paths.KUBECONFIG}
}}
"""
_WITHDRAW = f"""\
withdraw() {{ # name: a kind that the API knows no more has no objects either
  copy=$root{APPLIED}/$1 file=$root{paths.ADDONS}/$1
  if [ -f "$copy" ] && ! said=$(kube 300 delete --ignore-not-found --timeout=240s -f "$copy" 2>&1); then
    case ${{said:=no answer}} in
      *'no matches for'*) said=$(printf '%s\n' "$said" | grep -v -e ' deleted$' -e 'no matches for') ;;
    esac
    [ -z "$said" ] || {{ printf '%s\n' "$said"; return 1; }}
  fi
  rm -f "$copy" && keep "$file" && rm -f "$file"
}}
"""
_SET_NAMES = f"""\
set_addons() {{ # the names of those that stay, divided by commas; the others go, the last to come first
  [ -d "$root{APPLIED}" ] || return 0
  ls -1t "$root{APPLIED}" | while IFS= read -r applied; do
    case ",$1," in *",$applied,"*) ;; *) withdraw "$applied" </dev/null || exit 1 ;; esac
  done
}}
"""
_SET = f"""\
objects() {{ # manifest: what is there of it, a line for each object, by its uid
  kube 60 get --ignore-not-found -f "$1" -o \\
    custom-columns=U:.metadata.uid,K:.kind,A:.apiVersion,S:.metadata.namespace,N:.metadata.name 2>/dev/null | sed 1d
}}
drop() {{ # uid kind API-version namespace name: an object that the manifest does not name any more
  case $3 in */*) set -- "$1" "$2.${{3#*/}}.${{3%/*}}" "$3" "$4" "$5" ;; esac
  case $4 in '<none>') set -- "$2" "$5" ;; *) set -- "$2" "$5" -n "$4" ;; esac
  kube 300 delete --ignore-not-found --timeout=240s "$@"
}}
told() {{ # what kubectl said, without what it shows of an object: that may be a Secret
  printf '%s\\n' "$said" | sed -e '/^{{/d' -e '/^Object: /d' -e 's/, error found in #.*//'
}}
placed() {{ # the copy is what is in $next; its time stays that of the first, by which later ones are taken out first
  [ ! -f "$copy" ] || touch -r "$copy" "$next"
  mv -T "$next" "$copy"
}}
set_addon() {{ # name sum
  [ "$2" != {NONE} ] || {{ withdraw "$1"; return; }}
  file=$root{paths.ADDONS}/$1 copy=$root{APPLIED}/$1 next=$root{APPLIED}/.next
  (umask 077; mkdir -p "${{copy%/*}}") || return 1
  # A stream of objects has no marks between them in JSON. What a run before this one added stands there once.
  case $1 in *.json) mark= ;; *) mark=--- ;; esac
  case $(cat "$copy" 2>/dev/null) in *"$(cat "$file")") ;; *)
    (umask 077; {{ [ ! -f "$copy" ] || cat "$copy"; printf '\\n%s\\n' "$mark"; cat "$file"; }} >"$next") &&
      placed || return 1 ;;
  esac
  tries=0
  # of a kind that an addon before this one has just made, and of its own namespaces, the API knows later
  until said=$(kube 120 apply -f "$file" 2>&1); do
    tries=$((tries + 1))
    case $said in
      *'no matches for'*|*'namespaces "kube-'*|*'namespaces "default"'*) [ $tries -lt 10 ] ;;
      *) false ;;
    esac || {{ told; return 1; }}
    sleep 1
  done
  now=$(objects "$file")
  objects "$copy" | while read -r uid rest; do
    case $now in *"$uid "*) ;; *) drop "$uid" $rest </dev/null || exit 1 ;; esac
  done || return 1
  kube 60 annotate --overwrite -f "$file" {ANNOTATION}="$2" || return 1
  (umask 077; cat "$file" >"$next") && placed
}}
"""
# No process where none were applied.
_ASK_NAMES = f"""\
ask_addons() {{ # which were applied, whether they are wanted or not
  found=
  for copy in "$root{APPLIED}"/*; do [ ! -f "$copy" ] || found=$found,${{copy##*/}}; done
  found=${{found#,}}
  echo "setting ${{found:-{NONE}}} ${{found:-{NONE}}} {ADDONS}"
}}
"""
# What kubectl warns of goes to stderr, and is no answer. An API server that hangs is waited for once.
_ASK = f"""\
ask_addon() {{ # names
  down=
  for name do
    now={NONE} copy=$root{APPLIED}/$name
    if [ -n "$down" ] && [ -f "$copy" ]; then
      now={UNANSWERED}
    elif [ -f "$copy" ]; then
      sum=$(sha256sum <"$copy")
      sum=${{sum%% *}} now=${{sum%% *}}
      if said=$(kube 10 get -f "$copy" -o custom-columns=SUM:.metadata.annotations.{ANNOTATION} 2>/dev/null); then
        for line in $said; do case $line in SUM|"$sum") ;; *) now={OTHER} ;; esac; done
      else
        case $(kube 10 get -f "$copy" 2>&1 >/dev/null) in
          *NotFound*|*'not found'*|*'no matches for'*) now={INCOMPLETE} ;;
          *) now={UNANSWERED} down=yes ;;
        esac
      fi
    fi
    echo "setting $now $now {ADDON} $name"
  done
}}
"""


def _beyond(_subject: str, seen: str | None, wanted: str) -> str:
    """Which addons were applied and are no longer wanted, in words, or nothing."""
    extra = [name for name in (seen or NONE).split(",") if name not in {*wanted.split(","), NONE}]
    return f"{', '.join(extra)}: no longer wanted" if extra else ""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    """Why an addon must be applied or taken out, in words, or nothing; only a sum and `none` can be wanted."""
    if seen is None or seen == wanted or not (wanted == NONE or _SUM.fullmatch(wanted)):
        return ""
    return "it was not applied before" if wanted == NONE else _REASONS.get(seen, "a different version is applied")


def _words(subject: str, wanted: str) -> str:
    return f"{'remove' if wanted == NONE else 'apply'} addon {subject}"


def _original(_before: str | None) -> str:
    return NONE


FAMILIES = (
    # one way: the manifest of an addon that is gone is the user's
    Family(
        ADDONS, ask=(_ASK_NAMES,), set=(KUBE, _WITHDRAW, _SET_NAMES), differs=_beyond, original=_original,
        words=lambda _subject, _wanted: "remove addons", one_way=True,
    ),
    Family(
        ADDON, ask=(KUBE, _ASK), set=(KUBE, _WITHDRAW, _SET), differs=_differs, original=_original, words=_words
    ),
)  # fmt: skip
