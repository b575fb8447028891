"""The key with which all Secrets in etcd are written: asked and set on a master, by its kubectl. Pure.

The API server writes with the first key of its configuration, and reads with all. A Secret that is written before a
key came first keeps its old one until it is written again. Which key all are written with is noted in the cluster
itself: a restored snapshot has the note of its time.
"""

from __future__ import annotations

from functools import partial

from k8s_installer.host.addons import KUBE
from k8s_installer.host.family import NONE, once

NAME = "secrets"
UNANSWERED = "unanswered"
_TRIES = 5  # somebody may change or delete a Secret meanwhile


def ask(name: str) -> str:
    """The question for a note of the cluster: an annotation of the namespace kube-system."""
    return f"""\
ask_{name}() {{
  note=$(kube 10 get namespace kube-system -o jsonpath='{{.metadata.annotations.k8s-installer/{name}}}') ||
    note={UNANSWERED}
  echo "setting ${{note:={NONE}}} $note {name}"
}}
"""


def note(name: str) -> str:
    """The command that makes a note of a function's first argument."""
    return f'kube 30 annotate --overwrite namespace kube-system "k8s-installer/{name}=$1" >/dev/null'


# A Secret goes from the API and back to it by a pipe; to standard error go names alone.
_SET = f"""\
set_{NAME}() {{ # key
  spaces=$(kube 60 get namespaces -o name) || return 1
  for space in $spaces; do
    space=${{space##*/}} tries=0
    while found=$(kube 60 get secrets -n "$space" -o name) || return 1; [ -n "$found" ]; do
      kube 300 get secrets -n "$space" -o json | kube 300 replace -n "$space" -f - >/dev/null && break
      [ $((tries += 1)) -lt {_TRIES} ] || return 1
      sleep 1
    done
  done
  {note(NAME)}
}}
"""


def differs(otherwise: str, _subject: str, seen: str | None, wanted: str) -> str:
    """Why what is noted differs from what is wanted; `otherwise` says what another note means."""
    if seen == wanted:
        return ""
    return "the API server does not answer for it" if seen == UNANSWERED else otherwise


_differs = partial(differs, "some may be written with another key")


def _words(_subject: str, wanted: str) -> str:
    return f"write all Secrets again, with {wanted}"


FAMILY = once(NAME, ask=(KUBE, ask(NAME)), set=(KUBE, _SET), differs=_differs, words=_words)
