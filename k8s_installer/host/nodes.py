"""Node objects of the API: whether one is there, and how it is deleted when its host is no node any more. Pure.

They are asked for on a master, by its kubectl. A Node whose kubelet has stopped keeps its pods' places for minutes, and
is never deleted by itself.
"""

from __future__ import annotations

from k8s_installer.host.addons import KUBE
from k8s_installer.host.family import ABSENT, Family

NAME = "node"
PRESENT, UNANSWERED = "present", "unanswered"

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
_SET = """\
set_node() { # name value: a kubelet makes its own
  kube 60 delete node "$1" --ignore-not-found
}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if wanted != ABSENT or seen is None:
        return ""
    return "its host is no node any more" if seen == PRESENT else "the API server does not answer for it"


def _words(subject: str, _wanted: str) -> str:
    return f"delete node {subject}"


FAMILY = Family(NAME, ask=(KUBE, _ASK), set=(KUBE, _SET), differs=_differs, words=_words, one_way=True)
