"""Node objects of the API: what they are labelled with, and how they are deleted. Pure.

They are asked for and changed on a master, by its kubectl. The subject of a label, an annotation or a taint is NODE
KEY; a taint's key is KEY:EFFECT, by which the API tells taints apart. Its value is one of

| value | means |
|---|---|
| =TEXT | it is TEXT, written as in the query of a URL: one word, whatever is in it |
| none | the node has no such thing, or is not registered yet |
| unanswered | the API server does not answer: nothing is known, and setting it once more does no harm |

A Node whose kubelet has stopped keeps its pods' places for minutes, and is never deleted by itself.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import quote_plus, unquote_plus

from k8s_installer.host.addons import KUBE
from k8s_installer.host.drains import DRAINS
from k8s_installer.host.family import ABSENT, NONE, Family

NAME = "node"
LABEL, ANNOTATION, TAINT = "node-label", "node-annotation", "node-taint"
ANNOTATED_TAINT = "node-annotated-taint"  # as Kubernetes had them before 1.6
TAINTS = "scheduler.alpha.kubernetes.io/taints"  # the annotation that has them
PRESENT, UNANSWERED = "present", "unanswered"
_SHOWN = 60  # characters of a value in a plan's line

_ASK = f"""\
ask_node() {{ # names
  for name do
    if ! found=$(kube 10 get node "$name" --ignore-not-found -o name); then now={UNANSWERED}
    elif [ -n "$found" ]; then now={PRESENT}
    else now={ABSENT}
    fi
    echo "setting $now $now {NAME} $name"
  done
}}
"""
_SET = f"""\
set_node() {{ # name value: a kubelet makes its own
  kube 60 delete node "$1" --ignore-not-found && rm -rf "$root{DRAINS}/$1"
}}
"""
# All nodes are asked for once, whatever is asked of them: KIND NODE KEY =VALUE. Of what is empty or not there, `range`
# makes nothing.
_TEMPLATE = """\
{{range .items}}{{$node := .metadata.name}}\
{{range $key, $value := .metadata.labels}}label {{$node}} {{$key}} ={{urlquery $value}}{{"\\n"}}{{end}}\
{{range $key, $value := .metadata.annotations}}annotation {{$node}} {{$key}} ={{urlquery $value}}{{"\\n"}}{{end}}\
{{range .spec.taints}}taint {{$node}} {{.key}}:{{.effect}} ={{with .value}}{{urlquery .}}{{end}}{{"\\n"}}{{end}}\
{{end}}"""
# The annotation is a list in JSON, in which no text has a quote or a backslash: the API checks them.
_ANSWER = """\
function text_of(part, name) {
  if (!match(part, "\\"" name "\\":\\"[^\\"]*\\"")) return ""
  return substr(part, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
}
$1 == "asked" { names[++count] = $2 " " $3; next }
$1 == kind && kind != "annotated" { found[$2 " " $3] = $4 }
$1 == "annotation" && kind == "annotated" && $3 == annotation {
  gsub(/%22/, "\\"", $4); gsub(/%7B/, "{", $4); gsub(/%3A/, ":", $4); gsub(/%2F/, "/", $4)
  gsub(/[+]|%0A|%09|%0D/, "", $4)
  parts = split($4, part, "{")
  for (i = 2; i <= parts; i++)
    found[$2 " " text_of(part[i], "key") ":" text_of(part[i], "effect")] = "=" text_of(part[i], "value")
}
END {
  for (i = 1; i <= count; i++) {
    now = names[i] in found ? found[names[i]] : otherwise
    print "setting", now, now, family, names[i]
  }
}"""
_ASK_ALL = f"""\
nodes=
ask_nodes() {{ # family kind names...
  family=$1 kind=$2
  shift 2
  if [ -z "$nodes" ]; then # without kubectl there is no cluster yet
    ! command -v kubectl >/dev/null || nodes=$(kube 10 get nodes -o go-template='{_TEMPLATE}') || nodes={UNANSWERED}
    nodes=${{nodes:-{NONE}}}
  fi
  [ "$nodes" = {UNANSWERED} ] && otherwise={UNANSWERED} || otherwise={NONE}
  {{ printf 'asked %s\\n' "$@"; printf '%s\\n' "$nodes"; }} |
    awk -v family="$family" -v kind="$kind" -v otherwise="$otherwise" -v annotation={TAINTS} '{_ANSWER}'
}}
"""
# From the query of a URL to JSON; by bytes, so that those of one letter stay together.
_JSON = """\
BEGIN { for (i = 0; i < 256; i++) code[sprintf("%02X", i)] = i }
{
  gsub(/[+]/, " ")
  count = split($0, part, "%")
  text = part[1]
  for (i = 2; i <= count; i++) {
    hex = substr(part[i], 1, 2)
    if (hex == "22" || hex == "5C") text = text "\\\\" sprintf("%c", code[hex])
    else if (code[hex] < 32) text = text "\\\\u00" hex
    else text = text sprintf("%c", code[hex])
    text = text substr(part[i], 3)
  }
  printf "\\"%s\\"", text
}"""
_PATCH = f"""\
patch_node() {{ # field 'node key' value; what it was when nobody answered is not known, and stays
  case $3 in
    {UNANSWERED}) return 0 ;;
    {NONE}) new=null ;;
    *) new=$(printf '%s\\n' "${{3#=}}" | LC_ALL=C awk '{_JSON}') ;;
  esac
  accepted "$2" "$3" patch node "${{2%% *}}" --type=merge -p "{{\\"metadata\\":{{\\"$1\\":{{\\"${{2#* }}\\":$new}}}}}}"
}}
"""
_ACCEPTED = f"""\
accepted() {{ # 'node key' value, words of kubectl: from 1.8 to 1.10 a patch that changes nothing fails
  node=${{1%% *}} value=$2
  shift 2
  said=$(kube 60 "$@" 2>&1) && return
  case $said in
    *'not patched'*) return 0 ;;
    *NotFound*|*'not found'*)
      [ "$value" != {NONE} ] || return 0
      echo "node $node is not registered; restart its kubelet: it registers the node when it starts" ;;
  esac
  printf '%s\\n' "$said"
  return 1
}}
"""
_TAINT = f"""\
taint_node() {{ # 'node key:effect' value
  key=${{1#* }}
  case $2 in
    {UNANSWERED}) return 0 ;;
    {NONE}) accepted "$1" "$2" taint node "${{1%% *}}" "$key-" ;;
    *) accepted "$1" "$2" taint node "${{1%% *}}" "${{key%:*}}$2:${{key##*:}}" --overwrite ;;
  esac
}}
"""


def value(text: str) -> str:
    """The value of a setting whose label, annotation or taint has this text."""
    return f"={quote_plus(text)}"


def _text(value: str) -> str:
    text = unquote_plus(value.removeprefix("="))
    return text if len(text) <= _SHOWN and text.isprintable() else f"{ascii(text[:_SHOWN])[1:-1]}..."


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if wanted != ABSENT or seen is None:
        return ""
    return "its host is no node any more" if seen == PRESENT else "the API server does not answer for it"


def _words(subject: str, _wanted: str) -> str:
    return f"delete node {subject}"


def _has(_subject: str, seen: str | None, wanted: str) -> str:
    found = seen or NONE
    if wanted in (found, UNANSWERED):
        return ""
    if found == UNANSWERED:
        return "the API server does not answer for it"
    return "it is not set" if found == NONE else f"it is {_text(found) or 'empty'}"


def _node(subject: str) -> str:
    return subject.partition(" ")[0]


def _original(before: str | None) -> str:
    return NONE if before in (None, UNANSWERED) else str(before)


def _says(what: str, subject: str, wanted: str) -> str:
    key, colon, effect = subject.partition(" ")[2].partition(":")
    if wanted == NONE:
        return f"remove {what} {key}{colon}{effect}"
    text = "" if colon and wanted == "=" else f"={_text(wanted)}"
    return f"set {what} {key}{text}{colon}{effect}"


def _family(name: str, kind: str, what: str, function: str, put: str) -> Family:
    """What nodes have of a `kind`, as it is asked for; `put` is the command of the `function` that sets it."""
    own = name.replace("-", "_")
    return Family(
        name,
        ask=(KUBE, _ASK_ALL, f'ask_{own}() {{ ask_nodes {name} {kind} "$@"; }}\n'),
        set=(KUBE, _ACCEPTED, function, f'set_{own}() {{ {put} "$1" "$2"; }}\n'),
        differs=_has,
        original=_original,
        words=partial(_says, what),
        node=_node,
    )


FAMILIES = (
    Family(NAME, ask=(KUBE, _ASK), set=(KUBE, _SET), differs=_differs, words=_words, one_way=True),
    _family(LABEL, "label", "label", _PATCH, "patch_node labels"),
    _family(ANNOTATION, "annotation", "annotation", _PATCH, "patch_node annotations"),
    _family(TAINT, "taint", "taint", _TAINT, "taint_node"),
    _family(ANNOTATED_TAINT, "annotated", "taint", _TAINT, "taint_node"),
)
