"""The key that signed the tokens of service accounts: asked and set on a master, by its kubectl. Pure.

A token is valid as long as its Secret is there and the API server has its key. The controller-manager makes a token for
an account that refers to none. So accounts lose their references, and get new tokens with new Secrets; the old Secrets
stay, and pods that have mounted them go on until the old key is dropped.
"""

from __future__ import annotations

from functools import partial

from k8s_installer.host.addons import KUBE
from k8s_installer.host.family import once
from k8s_installer.host.secrets import ask, differs, note

NAME = "tokens"
_TRIES = 60  # a second each, without a new token

# kubectl takes no line ends inside braces
OF_TOKENS = '{range .items[?(@.type=="kubernetes.io/service-account-token")]}'
_TOKENS = f"{OF_TOKENS}{{.metadata.namespace}}/{{.metadata.name}} {{end}}"
_ACCOUNTS = '{range .items[*]}{.metadata.namespace} {.metadata.name} {.secrets[*].name}{"\\n"}{end}'
_SET = f"""\
accounts() {{
  kube 60 get serviceaccounts --all-namespaces -o jsonpath='{_ACCOUNTS}'
}}
waiting() {{ # accounts that refer to no token but those of before
  all=$(accounts) || return 1
  printf '%s\\n' "$tokens" "$all" | awk '
    NR == 1 {{ for (i = 1; i <= NF; i++) old[$i]; next }}
    NF {{ for (i = 3; i <= NF; i++) if ($i ~ /-token-/ && !(($1 "/" $i) in old)) next; print $1 "/" $2 }}'
}}
deleted() {{ # namespace account
  all=$(accounts </dev/null) && ! printf '%s\\n' "$all" | grep -q "^$1 $2 "
}}
set_{NAME}() {{ # the sum of the key
  tokens=$(kube 60 get secrets --all-namespaces -o jsonpath='{_TOKENS}') &&
    all=$(accounts) || return 1
  printf '%s\\n' "$all" | while read -r space account names; do
    kept=
    for name in $names; do
      case " $tokens " in *" $space/$name "*) ;; *) kept="$kept${{kept:+,}}{{\\"name\\":\\"$name\\"}}" ;; esac
    done
    [ -z "$account" ] || kube 30 patch serviceaccount "$account" -n "$space" --type=merge \\
      -p "{{\\"secrets\\":[$kept]}}" </dev/null >/dev/null || deleted "$space" "$account" || exit 1
  done || return 1
  tries=0 before=
  while bare=$(waiting) || return 1; [ -n "$bare" ]; do
    [ "$bare" = "$before" ] || {{ before=$bare tries=0; }}
    [ $((tries += 1)) -lt {_TRIES} ] || {{ echo "no new token for" $bare >&2; return 1; }}
    sleep 1
  done
  {note(NAME)}
}}
"""


_differs = partial(differs, "some may be signed with another key")


def _words(_subject: str, _wanted: str) -> str:
    return "give every service account a new token"


FAMILY = once(NAME, ask=(KUBE, ask(NAME)), set=(KUBE, _SET), differs=_differs, words=_words)
