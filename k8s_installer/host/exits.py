"""How containers of pods ended, told apart: the program went into the background, failed, or was killed. Pure.

A container lives as long as its first process. A server that daemonises starts a copy of itself and ends with exit code
0; Kubernetes sees a program that has finished, and with restartPolicy Always starts it again, for ever.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from k8s_installer.untrusted.answers import Json, at, objects, text, texts


class How(StrEnum):
    """How the first process of a container ended."""

    BACKGROUND = "background"  # code 0 soon after its start, though it is to run always
    FINISHED = "finished"  # code 0 later
    FAILED = "failed"
    CRASHED = "crashed"
    NO_PROGRAM = "no-program"
    MEMORY = "memory"
    KILLED = "killed"


SOON = 60.0  # seconds after its start; what works that long before it ends was no daemon's first process
# How programs that daemonise by themselves, or by usual options, are kept in the foreground.
FOREGROUND: Mapping[str, str] = {
    "apache2": "apache2 -DFOREGROUND",
    "apache2ctl": "apache2ctl -DFOREGROUND",
    "apachectl": "apachectl -DFOREGROUND",
    "cron": "cron -f",
    "crond": "crond -n (busybox: crond -f)",
    "dnsmasq": "dnsmasq -k",
    "gunicorn": "gunicorn without --daemon",
    "haproxy": "haproxy without -D",
    "httpd": "httpd -DFOREGROUND (busybox: httpd -f)",
    "keepalived": "keepalived -n",
    "lighttpd": "lighttpd -D",
    "memcached": "memcached without -d",
    "mongod": "mongod without --fork",
    "named": "named -f",
    "nginx": "nginx -g 'daemon off;'",
    "php-fpm": "php-fpm -F",
    "postfix": "postfix start-fg",
    "redis": "redis-server --daemonize no",
    "redis-server": "redis-server --daemonize no",
    "rsyslogd": "rsyslogd -n",
    "squid": "squid -N",
    "sshd": "sshd -D",
    "supervisord": "supervisord -n",
    "vsftpd": "vsftpd -obackground=NO",
}
_STARTERS = frozenset({"service", "systemctl", "init.d"})  # they start a program and end
_SIGNALS = {number.value: number.name for number in signal.Signals}
_CRASHES = frozenset({"SIGILL", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV"})
_SIGNALLED, _MOST_SIGNALS = 128, 64
_NO_PROGRAM = (126, 127)
_NOT_STARTED = frozenset({"ContainerCannotRun", "StartError"})


@dataclass(frozen=True, slots=True)
class Ended:
    """A container whose first process has ended, and which does not run now.

    `seconds` is how long it ran, None if the API does not say. `program` is a known one that its command or its image
    names; `shell` says that a command leaves something behind with `&`, `starter` that it only starts a service.
    """

    container: str
    how: How
    code: int
    seconds: float | None
    restarts: int
    program: str = ""
    shell: bool = False
    starter: bool = False

    @property
    def words(self) -> str:
        """How it ended, in one line."""
        after = "" if self.seconds is None else f" after {self.seconds:.0f} s" if self.seconds >= 1 else " at once"
        again = f", and was restarted {self.restarts} time{'s' * (self.restarts != 1)}" if self.restarts else ""
        by = {
            How.BACKGROUND: "its first process left the foreground, or had nothing to do",
            How.FINISHED: "its program ended by itself",
            How.FAILED: "its program failed",
            How.NO_PROGRAM: "its program is not there or cannot be executed",
            How.MEMORY: "it needed more memory than its limit allows",
            How.CRASHED: f"its program crashed ({_signal(self.code)})",
            How.KILLED: f"it was killed by {_signal(self.code)}",
        }[self.how]
        return f"container {self.container} ended with exit code {self.code}{after}{again}: {by}"

    @property
    def advice(self) -> str:
        """What to change, in one line."""
        if self.how is How.BACKGROUND:
            return f"a container lives as long as its first process: {self._foreground}"
        return {
            How.FINISHED: "a program that is to end belongs in a Job, or in a pod with restartPolicy OnFailure",
            How.FAILED: "read what it said: kubectl logs --previous",
            How.CRASHED: "read what it said: kubectl logs --previous; an image may want a newer kernel than the node's",
            How.NO_PROGRAM: "compare `command` of the pod with the programs in the image",
            How.MEMORY: "raise resources.limits.memory, or let the program use less",
            How.KILLED: "look at its probes and at the node's memory: kubectl describe pod",
        }[self.how]

    @property
    def _foreground(self) -> str:
        if self.shell:
            return "remove the & at the end of the command, and start the last program with exec"
        if self.starter:
            return "start the program itself and not its service, in the foreground"
        if self.program:
            return f"run it in the foreground: {FOREGROUND[self.program]}"
        return "run the program in the foreground (its option for that, no &, CMD in exec form)"


def ended(pod: object) -> Iterator[Ended]:
    """The containers of a pod that have ended and do not run now; none of a pod that is to end, and did so well."""
    spec = at(pod, "spec")
    always = text(spec.get("restartPolicy")) in ("", "Always")
    wanted = {text(one.get("name")): one for one in objects(spec.get("containers"))}
    for status in objects(at(pod, "status").get("containerStatuses")):
        last = at(status, "state", "terminated") or at(status, "lastState", "terminated")
        code = last.get("exitCode")
        if "running" not in at(status, "state") and isinstance(code, int) and (always or code):
            name, restarts = text(status.get("name")), status.get("restartCount")
            count = restarts if isinstance(restarts, int) else 0
            yield _judged(name, code, last, count, wanted.get(name, {}))


def advice(pods: Iterable[object], most: int = 8) -> tuple[str, ...]:
    """How the containers of pods ended, and what to change, a line each; what several say is said once.

    Of those that failed their own last words say more.
    """
    found = (one for pod in pods for one in ended(pod) if one.how is not How.FAILED)
    return tuple(dict.fromkeys(line for one in found for line in (one.words, one.advice)))[:most]


def _judged(name: str, code: int, last: Json, restarts: int, wanted: Json) -> Ended:
    seconds = _seconds(text(last.get("startedAt")), text(last.get("finishedAt")))
    command = texts(wanted.get("command")) + texts(wanted.get("args"))
    names = _names(command, text(wanted.get("image")))
    return Ended(
        name,
        _how(code, text(last.get("reason")), seconds),
        code,
        seconds,
        restarts,
        program=next((word for word in names if word in FOREGROUND), ""),
        shell=any(word.rstrip("; \n").endswith("&") for word in command),
        starter=not _STARTERS.isdisjoint(names),
    )


def _how(code: int, reason: str, seconds: float | None) -> How:
    if reason == "OOMKilled":
        return How.MEMORY
    if code in _NO_PROGRAM or reason in _NOT_STARTED:
        return How.NO_PROGRAM
    if code == 0:
        return How.BACKGROUND if seconds is None or seconds <= SOON else How.FINISHED
    if _SIGNALLED < code <= _SIGNALLED + _MOST_SIGNALS:
        return How.CRASHED if _signal(code) in _CRASHES else How.KILLED
    return How.FAILED


def _signal(code: int) -> str:
    """The signal that an exit code stands for."""
    return _SIGNALS.get(code - _SIGNALLED, f"signal {code - _SIGNALLED}")


def _names(command: Iterable[str], image: str) -> list[str]:
    """The names in a container's command, folders apart; without a command that of its image."""
    words = [part for word in command for part in word.split()] or [re.split("[:@]", image.rpartition("/")[2])[0]]
    return [part for word in words for part in word.strip("\"';").split("/") if part]


def _seconds(began: str, ended: str) -> float | None:
    try:
        return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
    except (ValueError, TypeError):
        return None
