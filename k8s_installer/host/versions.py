"""Which versions of Kubernetes a cluster runs, and what in it uses an API: as a master answers. Pure.

A master is asked what its own API server is, by the program that the process runs from: the file may be another one by
now, which it runs after a restart. Where it does not run, what is installed counts. Kubelets report theirs to the API.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from k8s_installer.host.addons import KUBE
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

_VERSION = re.compile(r"v(\d{1,6}\.\d{1,6}\.\d{1,6})(?:[-+].*)?")
_SECONDS = 20  # that a program may take to print its version: a cold disk, a busy host
SECONDS = 90  # that a master may take for all of it
USERS_SECONDS = 300  # and for all objects of some kinds
_NODES = '{{range .items}}kubelet {{.metadata.name}} {{.status.nodeInfo.kubeletVersion}}{{"\\n"}}{{end}}'
# The annotation in which `kubectl apply` keeps what somebody wrote, by the name of the API that he used.
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ITEMS = (
    "{{range .items}}{{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}} "
    '{{with .metadata.annotations}}{{with index . "' + _APPLIED + '"}}{{urlquery .}}{{end}}{{end}}{{"\\n"}}{{end}}'
)
# Manifests have values that nobody but their owner is to read: what leaves the host is whether one names the API.
_BY = """\
BEGIN { name = api; sub("/", "%2F", name); name = "%22apiVersion%22%3A%22" name "%22" }
{ print "object", api, resource, $1, index($2, name) ? "applied" : "known" }"""

QUESTION = f"""\
root=${{K8S_INSTALLER_ROOT-}}
{KUBE}\
version_of() {{ # program
  timeout {_SECONDS} "$1" --version </dev/null 2>/dev/null | sed -n 's/^Kubernetes v/v/p' | head -n 1
}}
found=
pid=$(systemctl show -p MainPID kube-apiserver | sed -n 's/^MainPID=//p')
[ "${{pid:-0}}" = 0 ] || found=$(version_of "/proc/$pid/exe")
[ -n "$found" ] || found=$(version_of "$root/usr/bin/kube-apiserver")
echo "apiserver ${{found:-unknown}}"
kube 20 get nodes -o go-template='{_NODES}' 2>/dev/null
echo end
"""
_USERS = f"""\
root=${{K8S_INSTALLER_ROOT-}}
{KUBE}\
served=$(kube 20 api-versions 2>&1) || {{ printf 'unanswered %s\\n' "$(echo $served)"; exit; }}
objects() {{ # api resource
  kube 60 get "$2.${{1##*/}}.${{1%%/*}}" --all-namespaces -o go-template='{_ITEMS}'
}}
ask() {{ # api resource: kubectl warns on stderr of what is deprecated
  printf '%s\\n' "$served" | grep -qxF "$1" || return 0
  if found=$(objects "$1" "$2" 2>/dev/null); then
    [ -z "$found" ] || printf '%s\\n' "$found" | awk -v api="$1" -v resource="$2" '{_BY}'
  else
    found=$(objects "$1" "$2" 2>&1 >/dev/null)
    case $found in *"doesn't have a resource type"*) ;; *) printf 'unanswered %s\\n' "$(echo $found)" ;; esac
  fi
}}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a master says: the version of its API server, empty if unknown, and of each kubelet that has registered."""

    apiserver: str
    kubelets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ApiObject:
    """An object as one of its APIs has it: NAMESPACE/NAME, or NAME alone.

    `applied` says that somebody applied it by that very name of the API.
    """

    api: str
    resource: str
    name: str
    applied: bool


def parse(text: str) -> Answer:
    """Read what a master answered to `QUESTION`.

    Raises:
        Malformed: it is no whole answer.
    """
    lines = answers.lines(text)
    if not lines or lines[-1] != "end" or not lines[0].startswith("apiserver "):
        raise Malformed("not the versions of a cluster", text)
    kubelets = {}
    for line in lines[1:-1]:
        _, name, version = answers.words(line, 3, "not the version of a kubelet")
        if said := _number(version):
            kubelets[name] = said
    return Answer(_number(lines[0].removeprefix("apiserver ")), kubelets)


def _number(text: str) -> str:
    found = _VERSION.fullmatch(text)
    return found[1] if found else ""


def users(apis: Iterable[tuple[str, str]]) -> str:
    """The script that asks which objects there are of these resources, each with the API that has it."""
    return _USERS + "".join(f"ask {shlex.quote(api)} {shlex.quote(name)}\n" for api, name in apis) + "echo end\n"


def parse_users(text: str) -> tuple[ApiObject, ...] | str:
    """Read what a master answered to `users`: the objects, or why it could not say.

    Raises:
        Malformed: it is no answer.
    """
    lines = answers.lines(text)
    refused = next((line for line in lines if line.startswith("unanswered ")), "")
    if refused:
        return refused.removeprefix("unanswered ")
    if not lines or lines[-1] != "end":
        raise Malformed("not the objects of a cluster", text)
    return tuple(_object(line) for line in lines[:-1])


def _object(line: str) -> ApiObject:
    word, api, resource, name, applied = answers.words(line, 5, "not an object")
    if word != "object" or applied not in ("applied", "known"):
        raise Malformed("not an object", line)
    return ApiObject(api, resource, name, applied == "applied")
