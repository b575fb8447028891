"""Do the pods of the cluster keep running? What ended is told apart: left the foreground, failed, or was killed."""

from __future__ import annotations

import time

from k8s_installer.errors import InstallerError
from k8s_installer.host.exits import Ended, ended
from k8s_installer.untrusted.answers import Json, at, objects, text
from k8s_installer.verify.api import Api, Request
from k8s_installer.verify.checks import CheckResult, Status

NAME = "the pods of the cluster keep running"
_MOST = 500  # pods that are looked at
_SHOWN = 6


def pods_run(api: Api) -> CheckResult:
    """Whether containers of pods that are to run always have ended; a warning, for the cluster itself works."""
    began = time.monotonic()
    try:
        (answer,) = api.ask(Request(f"/api/v1/pods?limit={_MOST}"))
    except InstallerError as error:
        return CheckResult(Status.SKIPPED, NAME, error.message, time.monotonic() - began)
    seconds = time.monotonic() - began
    if not answer.ok:
        return CheckResult(Status.SKIPPED, NAME, f"the API server does not list the pods: {answer.words}", seconds)
    status, detail, evidence = judge(answer.json)
    return CheckResult(status, NAME, detail, seconds, evidence)


def judge(listed: Json) -> tuple[Status, str, tuple[str, ...]]:
    """The status of a list of pods, what was found, and a line for each container that ended, with what to change."""
    pods = list(objects(listed.get("items")))
    down = [(_name(pod), one) for pod in pods for one in ended(pod)]
    looked = f"{len(pods)} pod{'s' * (len(pods) != 1)}"
    if at(listed, "metadata").get("continue"):
        looked = f"the first {looked}"
    if not down:
        return Status.PASSED, f"{looked}; no container has ended", ()
    lines = [line for name, one in down[:_SHOWN] for line in _lines(name, one)]
    more = [f"and {len(down) - _SHOWN} more"] if len(down) > _SHOWN else []
    return Status.WARNED, f"{looked}; containers that have ended: {len(down)}", (*lines, *more)


def _lines(name: str, one: Ended) -> tuple[str, str]:
    return f"{name}: {one.words}", f"  {one.advice}"


def _name(pod: Json) -> str:
    meta, node = at(pod, "metadata"), text(at(pod, "spec").get("nodeName"))
    return f"{text(meta.get('namespace'))}/{text(meta.get('name'))}{f' on {node}' if node else ''}"
