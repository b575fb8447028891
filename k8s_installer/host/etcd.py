"""etcd's members: how a host that runs etcd is asked for them, and how one is added, promoted and removed. Pure.

`etcd-members` is only asked. Its answer is PREFIX|LIST|STATUS: the prefix of etcd's gateway, which is `v3` from 3.4 on,
`v3beta` in 3.3 and `v3alpha` before, and what etcd says of its members and of itself, in JSON without blanks. The other
three are only set, on a host that runs a member:

| family | subject | value | sets |
|---|---|---|---|
| `etcd-added` | a name | the URL for other members | adds a member, as a learner where etcd has learners (3.4) |
| `etcd-voter` | a name | the URL for other members | promotes the learner once it has the others' log |
| `etcd-removed` | an id | absent | removes a member, which hands the lead over first |

Each asks for the list first, so doing it again does nothing. etcd refuses to add a member while it has not been
connected to all others for five seconds, and to promote one that lags: both are tried again.
"""

from __future__ import annotations

from typing import NamedTuple

from k8s_installer.host.family import ABSENT, Family, once

MEMBERS, ADDED, VOTER, REMOVED = "etcd-members", "etcd-added", "etcd-voter", "etcd-removed"
LEARNERS = "v3"  # the first gateway of an etcd that has learners


class Endpoint(NamedTuple):
    """Where a host's own etcd is asked, and with which files; only the URL without TLS."""

    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        """One word for each, as the shell takes them apart."""
        return " ".join(filter(None, self))


def question(config: str, endpoint: Endpoint) -> str:
    """The name of the setting that asks for members; a host without the file `config` has none."""
    return f"{MEMBERS} {config} {endpoint}"


def added(name: str, endpoint: Endpoint) -> str:
    """The name of the setting by which a member is added."""
    return f"{ADDED} {name} {endpoint}"


def voter(name: str, endpoint: Endpoint) -> str:
    """The name of the setting by which a learner is promoted."""
    return f"{VOTER} {name} {endpoint}"


def removed(member_id: str, endpoint: Endpoint) -> str:
    """The name of the setting by which a member is removed; `member_id` in decimal digits, as etcd's JSON has it."""
    return f"{REMOVED} {member_id} {endpoint}"


# The gateway of another version answers 404 without JSON. One connection is enough for several paths: of all that it
# takes to ask an etcd with TLS, that is most.
_CALL = """\
etcd_call() { # paths data url [ca cert key]: $said are the answers, a line for each path, and $api the prefix
  paths=$1 data=$2 url=$3
  shift 3
  [ $# -eq 0 ] || set -- --cacert "$1" --cert "$2" --key "$3"
  for api in v3 v3beta v3alpha; do
    urls=
    for path in $paths; do urls="$urls $url/$api/$path"; done
    said=$(curl -sS --noproxy '*' -m 10 -w '\\n' -d "$data" "$@" $urls 2>&1) || return 1
    case $said in
      '{'*) return 0 ;;
      curl:*) return 1 ;; # no answer to the first path, whatever came of the last
    esac
  done
  return 1
}
"""
_ASK = f"""\
ask_etcd_members() {{ # subjects: CONFIG URL [CA CERT KEY]
  for subject do
    set -- $subject
    config=$1 now={ABSENT}
    shift
    if [ -e "$root$config" ] && etcd_call 'cluster/member/list maintenance/status' '{{}}' "$@"; then
      now="$api|${{said%%
*}}|${{said##*
}}"
      case $now in *[[:space:]]*) now=$(printf %s "$now" | tr -d '[:space:]') ;; esac
    fi
    echo "setting $now $now {MEMBERS} $subject"
  done
}}
"""
_PATIENTLY = """\
patiently() { # seconds words...: until it succeeds; what etcd said last is the evidence
  tries=$1
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { printf '%s\\n' "$said"; return 1; }
    sleep 1
  done
}
"""
# A member is added and promoted by its URL for other members.
_BY_URL = """\
by_url() { # seconds function "NAME ENDPOINT" peer-url
  tries=$1 function=$2 peer=$4
  set -- $3
  shift
  patiently "$tries" "$function" "$peer" "$@"
}
"""
_ADD = """\
try_add() { # peer-url endpoint...
  peer=$1
  shift
  etcd_call cluster/member/list '{}' "$@" || return 1
  case $said in *"\\"$peer\\""*) return 0 ;; esac
  learner=
  [ $api != v3 ] || learner=',"isLearner":true'
  etcd_call cluster/member/add "{\\"peerURLs\\":[\\"$peer\\"]$learner}" "$@" || return 1
  case $said in *'"member":'*) ;; *) return 1 ;; esac
}
set_etcd_added() { by_url 60 try_add "$@"; }
"""
_MEMBER = """\
member_with() { # text: of the list in $said, the member that has it
  printf '%s\\n' "$said" | sed 's/},{/},\\n{/g' | grep -F "$1"
}
"""
_PROMOTE = """\
try_promote() { # peer-url endpoint...
  peer=$1
  shift
  etcd_call cluster/member/list '{}' "$@" || return 1
  member=$(member_with "\\"$peer\\"") || return 1
  case $member in *'"isLearner":true'*) ;; *) return 0 ;; esac
  id=$(printf '%s\\n' "$member" | sed -n 's/.*"ID":"\\([0-9]*\\)".*/\\1/p')
  etcd_call cluster/member/promote "{\\"ID\\":\\"$id\\"}" "$@" || return 1
  case $said in *'"members":'*) ;; *) return 1 ;; esac
}
set_etcd_voter() { by_url 300 try_promote "$@"; }
"""
# A leader that is removed costs an election, in which nothing can be written. A member that is no leader refuses.
_REMOVE = """\
hand_over() { # id endpoint...: to us
  client=$(member_with "\\"ID\\":\\"$1\\"" | sed -n 's/.*"clientURLs":\\["\\([^"]*\\)".*/\\1/p')
  shift 2
  own=$(printf '%s\\n' "$said" | sed -n 's/.*"member_id":"\\([0-9]*\\)".*/\\1/p')
  [ -z "$client" ] || etcd_call maintenance/transfer-leadership "{\\"targetID\\":\\"$own\\"}" "$client" "$@" || :
}
try_remove() { # id endpoint...
  id=$1
  shift
  etcd_call cluster/member/list '{}' "$@" || return 1
  case $said in *"\\"ID\\":\\"$id\\""*) ;; *'"members":'*) return 0 ;; *) return 1 ;; esac
  hand_over "$id" "$@"
  etcd_call cluster/member/remove "{\\"ID\\":\\"$id\\"}" "$@" || return 1
  case $said in *'"members":'*|*'member not found'*) ;; *) return 1 ;; esac
}
set_etcd_removed() { # "ID ENDPOINT"
  set -- $1
  patiently 60 try_remove "$@"
}
"""


def _first(subject: str) -> str:
    return subject.partition(" ")[0]


def _family(name: str, *pieces: str, words: str) -> Family:
    return once(
        name,
        set=(_CALL, _PATIENTLY, *pieces),
        differs=lambda _subject, _seen, _wanted: "etcd's own list of its members differs from the inventory",
        words=lambda subject, _wanted: words.format(_first(subject)),
    )


FAMILIES = (
    Family(
        MEMBERS,
        ask=(_CALL, _ASK),
        set=(),
        differs=lambda _subject, _seen, _wanted: "",
        original=lambda _before: None,
    ),
    _family(ADDED, _BY_URL, _ADD, words="add {} to etcd's members"),
    _family(VOTER, _BY_URL, _MEMBER, _PROMOTE, words="let {} vote in etcd"),
    _family(REMOVED, _MEMBER, _REMOVE, words="remove {} from etcd's members"),
)
CHANGES = (ADDED, VOTER, REMOVED)  # what is done once, and is no state of the host
