"""The one script that asks a host for everything at once, and the parser of its answer. Pure."""

from __future__ import annotations

import datetime as dt
import math
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence

from k8s_installer.host import gates, observe
from k8s_installer.host.gates import GateAnswer
from k8s_installer.model.desired import DesiredResource, health_gates
from k8s_installer.model.resources import Kind, Ref
from k8s_installer.status.model import HostStatus, Session
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

AT_ONCE = 16  # gates asked at the same time: a dead API server costs a master of 100 nodes 35 s and not 500

# Stages of a pipeline run at the same time, each with its own answer in hand, and are heard one after the other:
# no temporary files, and no answer in the middle of another one.
_ASK = "{{ answer=$({{ {question}}} </dev/null); cat; printf '%s\\n' \"$answer\" | sed 's/^/gate {number} /'; }}"
# A file's ctime cannot be set as its mtime can; of a file that is gone, the folder's mtime is what is left.
_TOUCHED = "find {paths} -maxdepth 0 -printf 'touched %T@ %C@ %p\\n' 2>/dev/null\n"
# People at terminals. A login without one (ours, scp, other installers) is not written into wtmp.
_SESSIONS = "TZ=UTC last -F -w -i -n 50 2>/dev/null | sed 's/^/session /'\n"
_SESSION = re.compile(r"(\S+) +(\S+) +(.*?) *\w{3} (\w{3} [ \d]\d [\d:]{8} \d{4}) +(.*)")
_END = re.compile(r"- \w{3} (\w{3} [ \d]\d [\d:]{8} \d{4})")
_LENGTH = re.compile(r"\((?:([0-9]{1,5})\+)?([0-9]{1,2}):([0-9]{1,2})\)")
_NOBODY = ("reboot", "shutdown", "runlevel")


def script(wanted: Sequence[DesiredResource]) -> str:
    """The one script that asks a host for everything in `wanted` (all of that host), its health and its visitors."""
    asked = health_gates(wanted)
    questions = [_ASK.format(question=gates.script(gate), number=number) for number, (_, gate) in enumerate(asked)]
    parts = [" |\n".join(questions[start : start + AT_ONCE]) + "\n" for start in range(0, len(questions), AT_ONCE)]
    files = [item.ref.name for item in wanted if item.ref.kind is Kind.FILE]
    if files:
        folders = dict.fromkeys(posixpath.dirname(path) for path in files)
        parts.append(_TOUCHED.format(paths=shlex.join([*files, *folders])))
    return "".join(parts) + _SESSIONS + observe.script(wanted)


def seconds(wanted: Sequence[DesiredResource]) -> float:
    """How long `script` may take: a look at the host, and gates that do not answer before curl gives up."""
    return 60.0 + 6.0 * math.ceil(len(health_gates(wanted)) / AT_ONCE)


def parse(output: str, wanted: Sequence[DesiredResource]) -> HostStatus:
    """Read what `script` printed; of a script that was cut off, all is UNKNOWN.

    Raises:
        Malformed: a line is not what its question prints.
    """
    own: dict[str, list[str]] = {"gate": [], "touched": [], "session": []}
    rest: list[str] = []
    for line in output.split("\n"):
        word, _, text = line.partition(" ")
        if word in own:
            own[word].append(text)
        else:
            rest.append(line)
    seen = observe.parse("\n".join(rest), wanted)
    if observe.END not in rest:
        return HostStatus(seen, {}, {}, (), 0.0)
    clock = observe.clock(line.removeprefix("clock ") for line in rest if line.startswith("clock "))[0]
    touched = {
        path: (answers.seconds(modified, "a file's mtime"), answers.seconds(changed, "a file's ctime"))
        for modified, changed, path in (answers.words(line, 3, "find") for line in own["touched"])
    }
    return HostStatus(seen, dict(_answers(own["gate"], wanted)), touched, tuple(_sessions(own["session"])), clock)


def _answers(lines: Sequence[str], wanted: Sequence[DesiredResource]) -> Iterator[tuple[Ref, GateAnswer]]:
    texts: dict[int, list[str]] = {}
    for line in lines:
        number, _, text = line.partition(" ")
        texts.setdefault(answers.whole(number, "a gate's number"), []).append(text)
    for place, (ref, gate) in enumerate(health_gates(wanted)):
        if place in texts:
            yield ref, gates.judge(gate, "\n".join(texts[place]))


def _sessions(lines: Sequence[str]) -> Iterator[Session]:
    """From the lines of `last -F`; those of boots and shutdowns are nobody's."""
    for line in lines:
        found = _SESSION.match(line)
        if found and found[1] not in _NOBODY:
            began = _time(found[4])
            # 0.0.0.0 is how `last -i` says that there is no address
            yield Session(found[1], "" if found[3] == "0.0.0.0" else found[3], began, _ended(began, found[5]))  # noqa: S104


def _ended(began: float, words: str) -> float:
    """When a session ended: given, or (`- crash`, `- down`) known by its length in minutes, or not yet (infinity)."""
    if "still logged in" in words:
        return math.inf
    end = _END.match(words)
    if end:
        return _time(end[1])
    length = _LENGTH.search(words)
    found = length.groups("0") if length else ("0", "0", "0")
    days, hours, minutes = (answers.whole(part, "the length of a session") for part in found)
    return began + 60.0 * (minutes + 60 * (hours + 24 * days))


def _time(words: str) -> float:
    try:
        return dt.datetime.strptime(words, "%b %d %H:%M:%S %Y").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        raise Malformed("the time of a session", words) from None
