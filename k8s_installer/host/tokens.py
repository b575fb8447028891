"""What service accounts trust, and which pods read it earlier: asked on a master by its kubectl. Pure.

The controller-manager writes the CA of its own file into the Secret of each token. kubelets keep what pods have mounted
up to date, but most clients read their CA once, when they start. No token leaves the host.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from k8s_installer.host.accounts import OF_TOKENS
from k8s_installer.host.addons import KUBE
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

SECONDS = 180.0
_TRIES = 30  # two seconds each: a controller-manager that has become the leader updates them all within some seconds
_TOKEN = "-token-"  # noqa: S105 - in the names of the Secrets that the controller-manager makes
_MARGIN = dt.timedelta(seconds=30)  # for that, and for the kubelet to see it

_SECRETS = f'{OF_TOKENS}{{.metadata.namespace}}/{{.metadata.name}} {{.data.ca\\.crt}}{{"\\n"}}{{end}}'
_PODS = (
    "{range .items[*]}pod {.metadata.namespace}/{.metadata.name} "
    '@{.status.startTime} {.spec.volumes[*].secret.secretName}{"\\n"}{end}'
)
_ACCOUNTS = '{range .items[*]}account {.metadata.namespace}/{.metadata.name} {.secrets[*].name}{"\\n"}{end}'
SCRIPT = f"""\
{KUBE}
want=$(base64 -w0 <"$root/etc/kubernetes/pki/ca.crt") || exit 1
export want
outdated() {{
  found=$(kube 30 get secrets --all-namespaces -o jsonpath='{_SECRETS}') || return 1
  printf '%s\\n' "$found" | awk 'NF && $2 != ENVIRON["want"] {{ print "outdated", $1 }}'
}}
tries=0
while old=$(outdated) || exit 1; [ -n "$old" ] && [ $((tries += 1)) -lt {_TRIES} ]; do sleep 2; done
[ -z "$old" ] || printf '%s\\n' "$old"
kube 60 get serviceaccounts --all-namespaces -o jsonpath='{_ACCOUNTS}' || exit 1
kube 60 get pods --all-namespaces -o jsonpath='{_PODS}'
"""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, by namespace and name, when its kubelet took it, and the Secrets of tokens that it has mounted."""

    name: str
    started: dt.datetime
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """The Secrets of tokens that do not have the masters' CA, the pods that have a token mounted, and accounts' tokens.

    Secrets are by namespace and name.
    """

    outdated: tuple[str, ...]
    pods: tuple[Pod, ...]
    referred: frozenset[str] = frozenset()

    def before(self, when: float) -> list[str]:
        """The pods that started before a time (Unix seconds), or just after it."""
        limit = dt.datetime.fromtimestamp(when, dt.UTC) + _MARGIN
        return [pod.name for pod in self.pods if pod.started < limit]

    def with_old_tokens(self) -> list[str]:
        """The pods with a token to which no account refers any more."""
        return [pod.name for pod in self.pods if not self.referred.issuperset(pod.tokens)]


def parse(output: str) -> Trust:
    """Read what SCRIPT prints.

    Raises:
        Malformed: it is something else.
    """
    outdated: list[str] = []
    pods: list[Pod] = []
    referred: set[str] = set()
    for line in answers.lines(output):
        word, _, others = line.partition(" ")
        name, *rest = others.split(" ")
        if word == "outdated":
            outdated.append(name)
            continue
        space = name.partition("/")[0]
        secrets = tuple(f"{space}/{secret}" for secret in rest if _TOKEN in secret)
        if word == "account":
            referred.update(secrets)
        elif word == "pod" and secrets and rest[0] != "@":
            pods.append(Pod(name, _time(rest[0]), secrets))
    return Trust(tuple(outdated), tuple(pods), frozenset(referred))


def _time(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "@%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        raise Malformed("the time of a pod", text) from None
