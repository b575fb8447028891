"""Names as a pod resolves them: a pod that asks the cluster's DNS and says in its log what it heard. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k8s_installer.untrusted.answers import Json, at, objects, text

NAME = "names"
_LONGEST = 2000  # characters of what a kubelet says
TRIES = 15  # a second apart: kube-proxy may still write the rules of a DNS that is ready
_ASK = """\
while read -r line; do echo "resolv $line"; done </etc/resolv.conf
command -v nslookup >/dev/null || {{ echo lacks nslookup; exit 0; }}
for name in {names}; do
  tries=0
  until said=$(nslookup "$name" 2>&1); case $said in *Name:*) true ;; *) [ $tries -ge {tries} ] ;; esac; do
    tries=$((tries + 1))
    sleep 1
  done
  echo "name $name"
  echo "$said" | while read -r line; do echo "said $line"; done
done
"""
# busybox numbers the addresses, or writes the server's with its port; bind does neither
_ADDRESS = re.compile(r"Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)\b")


def pod(image: str, names: Sequence[str]) -> Json:
    """The pod, which asks for each of the names and ends."""
    script = _ASK.format(names=shlex.join(names), tries=TRIES)
    container = {"name": NAME, "image": image, "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Never"},
    }


@dataclass(frozen=True, slots=True)
class Heard:
    """What the pod said: its nameservers and search list, and for each name what came back, in words and addresses."""

    servers: tuple[str, ...]
    search: tuple[str, ...]
    words: Mapping[str, str]
    addresses: Mapping[str, tuple[str, ...]]
    able: bool = True


def parse(log: str) -> Heard:
    """Read the pod's log."""
    resolv: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    able = True
    for line in log.splitlines():
        word, _, rest = line.partition(" ")
        if word == "resolv":
            key, *values = rest.split() or [""]
            resolv.setdefault(key, []).extend(values)
        elif word == "name":
            lines = said.setdefault(rest, [])
        elif word == "said":
            lines.append(rest)
        elif word == "lacks":
            able = False
    return Heard(
        tuple(resolv.get("nameserver", ())),
        tuple(resolv.get("search", ())),
        {name: " ".join(" ".join(found).split())[-300:] for name, found in said.items()},
        {name: tuple(_addresses(found)) for name, found in said.items()},
        able,
    )


def _addresses(lines: Sequence[str]) -> list[str]:
    """Those that come after a name; before it stands the server's."""
    start = next((number for number, line in enumerate(lines) if line.startswith("Name:")), len(lines))
    return [found[1] for line in lines[start:] if (found := _ADDRESS.match(line))]


def ended(status: Json) -> bool:
    """Whether the pod has done what it can."""
    return status.get("phase") in ("Succeeded", "Failed")


def why_not(status: Json) -> str:
    """Why its container did not even start, or ended badly, in the words of the kubelet; or nothing."""
    states = [at(item, "state") for item in objects(status.get("containerStatuses"))]
    ends = [at(state, "terminated") or at(state, "waiting") for state in states]
    said = (text(end.get("message")) or text(end.get("reason")) for end in ends if end.get("exitCode") != 0)
    return " ".join(said)[:_LONGEST]
