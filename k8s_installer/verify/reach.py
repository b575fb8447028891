"""A Service as hosts reach it: asked again and again by curl, until every pod behind it has said its name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from k8s_installer.errors import HostError
from k8s_installer.host import curl
from k8s_installer.transport import Transport
from k8s_installer.verify.poll import Deadline

Ask = Callable[[Transport], str]

_CURL_SECONDS = 3
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back in one round of requests: which pods spoke, and the words of the request that failed."""

    pods: frozenset[str]
    failure: str = ""


def script(url: str, times: int, process: str = "", awaited: Sequence[str] = ()) -> str:
    """Ask a URL `times` times, each on a connection of its own; one line for each answer, until one fails.

    With `awaited`, names of pods, only until each was named. With `process`, a command that prints one of a container
    on this host, it is asked from there: in its network, with the host's curl, for an image need not have one.
    """
    ask, enter = shlex.join(curl.command(url, seconds=_CURL_SECONDS)), ""
    if process:
        enter = f'pid=$({process} 2>&1) || {{ echo failure "$pid"; exit 0; }}\n'
        ask = f'nsenter -t "$pid" -n {ask}'
    return (
        f"{enter}i=0 said=; while [ $i -lt {times} ]; do i=$((i+1))\n"
        f"if answer=$({ask} 2>&1); then word=answer; else word=failure; fi\n"
        "answer=$(printf %s \"$answer\" | tr '\\n' ' ' | cut -c 1-300) said=\"$said $answer\"\n"
        "printf '%s %s\\n' $word \"$answer\"\n"
        "[ $word = answer ] || break\n"
        + "".join(f"case $said in *{shlex.quote(name)}*) ;; *) continue ;; esac\n" for name in awaited)
        + ("break\n" if awaited else "")
        + "done\n"
    )


def parse(output: str, names: Sequence[str]) -> Heard:
    """Which of the pods `names` are named in the answers that `script` printed."""
    heard: set[str] = set()
    failure = ""
    for line in output.splitlines():
        word, _, said = line.partition(" ")
        if word == "answer":
            heard |= {name for name in names if name in said}
        elif word == "failure":
            failure = said.strip()
    return Heard(frozenset(heard), failure)


def all_heard(transport: Transport, url: str, names: Sequence[str], deadline: Deadline, *, process: str = "") -> str:
    """Ask from a host, or a process's network there, until every pod answered; what was wrong, or nothing."""
    heard: set[str] = set()
    while True:
        now = _ask(transport, url, names, process, awaited=[name for name in names if name not in heard])
        heard |= now.pods
        missing = sorted(set(names) - heard)
        if not missing or not deadline.pause():
            break
    if not missing:
        return ""
    return f"no answer from {', '.join(missing)}" + (f": {now.failure}" if now.failure else "")


def dropped(transport: Transport, url: str, gone: str, names: Sequence[str], deadline: Deadline) -> str:
    """Ask from one host until a whole round is answered by `names` without `gone`; what was wrong, or nothing."""
    while True:
        now = _ask(transport, url, [*names, gone])
        if now.pods and gone not in now.pods and not now.failure:
            return ""
        if not deadline.pause():
            return now.failure or (f"{gone} still answers" if gone in now.pods else "no pod answers")


def _ask(transport: Transport, url: str, names: Sequence[str], process: str = "", awaited: Sequence[str] = ()) -> Heard:
    times = 6 * len(names)  # each pod is missed once in some 400 rounds, and there are many
    asked = script(url, times, process, awaited)
    return parse(transport.run(asked, timeout=10 + _CURL_SECONDS * times).stdout, names)


def from_everywhere(hosts: Sequence[str], transports: Mapping[str, Transport], ask: Ask) -> dict[str, str]:
    """Ask from all hosts at the same time; what was wrong, for each host where something was."""

    def one(host: str) -> str:
        if host not in transports:
            return "no connection to the host"
        try:
            return ask(transports[host])
        except HostError as error:
            return error.message

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {host: wrong for host, wrong in zip(hosts, pool.map(one, hosts), strict=True) if wrong}
