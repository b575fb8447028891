"""Health gates: the one question that a gate asks on its host, and the pure judgement of the answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from k8s_installer.host import curl, drains, evictions, pods
from k8s_installer.model.resources import Check, Gate
from k8s_installer.untrusted import answers as strictly
from k8s_installer.untrusted.answers import Json

# The last answer is the one that counts, when the patience is over; time is the host's own, and costs no process.
_ASK = """\
read -r up idle </proc/uptime
end=$((${{up%.*}} + {patience}))
while answer=$({ask} 2>&1); read -r up idle </proc/uptime; [ "${{up%.*}}" -lt $end ]; do
  case $answer in (*'status 200') break ;; esac
  sleep {pause}
done
printf '%s\\n' "$answer"
"""
# etcd's gateway lists members under v3 from 3.4 on, under v3beta in 3.3 and under v3alpha before. The other members are
# asked in the same way, and those that do not answer are passed over: they have gates of their own. Our own answer is
# the last line.
_MEMBERS = """\
members() {{
  for api in v3 v3beta v3alpha; do
    own=$({own} 2>&1)
    case $own in *'status 404') ;; *) break ;; esac
  done
{others}  printf '%s\\n' "$own"
}}
"""
# What all members are asked; our own answer is the first to be asked for, and stands last.
_OF_ALL = {Check.ETCD_MEMBERS: "/cluster/member/list", Check.ETCD_AGREES: "/maintenance/status"}
# A lease is read twice: a leader renews it every two seconds, and one that has stopped does not, whatever clocks say.
_LEASE = """\
lease() {{
  printf '%s\\n' "$({ask} 2>/dev/null | tr -d '\\n')"
  sleep 3
  {again}
}}
"""
_STATE = ("ActiveState", "SubState", "MainPID")
# When the unit's main process started, in microseconds since the host booted; and what to count that from. The uptime
# is read before the calendar, so a process seems to have started some milliseconds late, never early.
_START = "ExecMainStartTimestampMonotonic"
_CLOCK = 'read -r up idle </proc/uptime; echo "Clock=$(date +%s.%N) $up"\n'
_STATUS = ("-w", "\\nstatus %{http_code}\\n")
_NEWLINE = "\\n"  # written by curl after each body
_NEXT = "--- the next answer"
_NUMBER = re.compile(r"[0-9]{1,9}")
_INDEX = re.compile(r"[0-9]{1,20}")
_LONGEST = 2000  # characters of what an answer says
# The annotation in which a leader wrote its lease before there were Lease objects (1.14).
_OLD_LEASE = "control-plane.alpha.kubernetes.io/leader"
# What the controller-manager puts on a node that is not ready, and removes a moment after it is: until then the
# scheduler places no pod there (since 1.12; a version before looks at the condition alone).
UNREADY_TAINTS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


# What systemd says when a main process ends by itself (219 writes it in lower case): once for each time.
_EXITS = """\
echo "Exits=$(journalctl --no-pager -q -o cat --since -{since}s -u {unit} 2>/dev/null | grep -c 'ain process exited')"
"""


@dataclass(frozen=True, slots=True)
class UnitState:
    """How a unit is doing: its state and main process as systemd has them, and how often that has ended of late.

    `started` is when the process started, by the host's clock (Unix seconds, up to some 10 ms late; 0 if there is no
    process, or nobody asked).
    """

    state: str
    pid: int
    exits: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """A gate's answer: whether it holds, the words it gave, and how the unit is doing on the host that was asked.

    Of a gate that waits for pods `pods` says how they are doing, `questions` are the URLs of their own words, and
    `creation_questions` those of why they are not created. Of one that waits for a node `reported_at` is when its
    kubelet last reported (Unix seconds; 0 if not known). `over` says that it will never hold, and `log` is the log of
    what it waits for.
    """

    holds: bool
    words: str
    unit: UnitState
    pods: pods.Standing | None = None
    questions: tuple[str, ...] = ()
    creation_questions: tuple[str, ...] = ()
    reported_at: float = 0.0
    over: bool = False
    log: str = ""


def script(gate: Gate, patience: int = 0, since: int = 0) -> str:
    """Ask a gate's URL, and how its unit is doing; reads only.

    Without patience it is asked once; else, for so many whole seconds, until it answers with status 200. Whether the
    body then says yes is for `judge`. With `since` the unit's ends of the last so many seconds are counted.
    """
    function, command = _question(gate)
    pause = 1 if gate.check is Check.DRAINED else 0.1
    ask = function + _ASK.format(ask=command, patience=patience, pause=pause)
    return ask + unit_script(gate.unit, since, started=gate.check is Check.LEASE_HELD)


def _question(gate: Gate) -> tuple[str, str]:
    """The function of the shell that asks a gate, if it needs one, and the command."""
    if gate.check is Check.DRAINED:
        return drains.question("".join(gate.expects))
    if gate.check in _OF_ALL:
        return _members(gate), "members"
    ask = shlex.join(curl.command(gate.url, *_STATUS, ca=gate.ca, cert=gate.cert, key=gate.key))
    if gate.check is Check.LEASE_RENEWED:
        first = shlex.join(curl.command(gate.url, ca=gate.ca, cert=gate.cert, key=gate.key))
        return _LEASE.format(ask=first, again=ask), "lease"
    return "", ask


def _members(gate: Gate) -> str:
    """The function of the shell that asks etcd for its members."""

    def ask(urls: Sequence[str], *options: str) -> str:
        *words, _ = curl.command("", *options, "-d", "{}", ca=gate.ca, cert=gate.cert, key=gate.key, seconds=2)
        return " ".join([shlex.join(words), *(f"{shlex.quote(url)}/$api{_OF_ALL[gate.check]}" for url in urls)])

    own = urlsplit(gate.url)
    peers = [urlsplit(member.partition("=")[2]).hostname for member in gate.expects]
    others = [f"{own.scheme}://{peer}:{own.port}" for peer in peers]
    asked = f"  {ask(others, '-w', _NEWLINE)} 2>/dev/null\n" if len(others) > 1 else ""
    return _MEMBERS.format(own=ask([gate.url], *_STATUS), others=asked)


def unit_script(unit: str, since: int = 0, *, started: bool = False) -> str:
    """Ask how a unit is doing, how often its process ended in so many seconds, and when it started; reads only."""
    name = shlex.quote(unit)
    properties = " ".join(f"-p {name}" for name in (*_STATE, *([_START] if started else [])))
    shown = f"systemctl show {properties} {name}.service\n"
    shown += _EXITS.format(unit=name, since=since) if since else ""
    return shown + (_CLOCK if started else "")


def unit_state(output: str) -> UnitState:
    """Read what `unit_script` printed.

    Raises:
        Malformed: a time is none.
    """
    return _unit(dict(line.partition("=")[::2] for line in strictly.lines(output) if "=" in line))


def _unit(shown: Mapping[str, str]) -> UnitState:
    pid, exits = (int(text) if _NUMBER.fullmatch(text := shown.get(key, "")) else 0 for key in ("MainPID", "Exits"))
    return UnitState(shown.get("ActiveState", "unknown"), pid, exits, _started(shown) if pid else 0.0)


def _started(shown: Mapping[str, str]) -> float:
    """When the main process started, in Unix seconds of its host; 0 where that was not asked."""
    if "Clock" not in shown:
        return 0.0
    now, uptime = strictly.words(shown["Clock"], 2, "the clock")
    microseconds = strictly.whole(shown.get(_START, ""), "the start of a process", 16)
    return strictly.seconds(now, "the clock") - strictly.seconds(uptime, "the uptime") + microseconds / 1e6


def answers_script(gate: Gate, urls: Sequence[str]) -> str:
    """Ask for what is evidence beside a gate, with its credentials; reads only. A bar is before each line."""
    asked = [curl.command(url, ca=gate.ca, cert=gate.cert, key=gate.key) for url in urls]
    return "".join(f"echo '{_NEXT}'\n{shlex.join(words)} 2>&1 | sed 's/^/|/'\necho\n" for words in asked)


def answers(output: str) -> list[str]:
    """Read what `answers_script` printed."""
    found: list[list[str]] = []
    for line in strictly.lines(output):
        if line == _NEXT:
            found.append([])
        elif line.startswith("|") and found:
            found[-1].append(line[1:])
    return ["\n".join(lines) for lines in found]


def judge(gate: Gate, output: str) -> GateAnswer:
    """Judge what `script` printed.

    Raises:
        Malformed: a time of the host's is none; the body of the answer may be anything.
    """
    body, _, rest = output.rpartition("\nstatus ")
    lines = strictly.lines(rest or output) or [""]
    status = lines[0].strip() if rest else "000"
    shown = dict(line.partition("=")[::2] for line in lines if "=" in line)
    words = body.strip() if rest else output.strip()
    listed = _items(body) if gate.check is Check.POD_READY and status == "200" else None
    unit = _unit(shown)
    if gate.check is Check.DRAINED:
        return _drain(gate, words, status, unit)
    return GateAnswer(
        holds=status == "200" and _holds(gate, body, unit.started),
        words=f"{gate.url}: {_said(gate, words) or 'no answer'} (status {status})",
        unit=unit,
        pods=pods.standing(listed) if listed is not None else None,
        questions=pods.questions(gate.url, listed) if listed is not None else (),
        creation_questions=pods.creation_questions(gate.url, listed) if listed is not None else (),
        reported_at=_time(_ready(strictly.json_object(body)).get("lastHeartbeatTime"))
        if gate.check is Check.NODE_READY
        else 0.0,
    )


def _drain(gate: Gate, log: str, status: str, unit: UnitState) -> GateAnswer:
    """How a drain is doing, by kubectl's log and how that has ended."""
    return GateAnswer(
        holds=status == str(drains.DONE),
        words=f"node {' '.join(gate.expects)} is not drained",
        unit=unit,
        questions=evictions.questions(gate.url),
        over=status == str(drains.FAILED),
        log=log,
    )


def _holds(gate: Gate, body: str, started: float) -> bool:  # noqa: PLR0911 - one for each check
    match gate.check:
        case Check.OK:
            return body.strip() == "ok"
        case Check.ANSWERS | Check.DRAINED:  # the status says it
            return True
        case Check.ETCD_HEALTH:
            return _etcd_healthy(body)
        case Check.ETCD_MEMBERS:
            return not _strangers(gate, body)
        case Check.ETCD_AGREES:
            return not _disagreeing(gate, body)
        case Check.NODE_READY:
            return _node_ready(body)
        case Check.POD_READY:
            return any(pods.ready(pod) for pod in _items(body))
        case Check.LEASE_RENEWED:
            first, _, second = body.partition("\n")
            return _renewed(second) > _renewed(first) > 0
        case _:  # Check.LEASE_HELD
            return _renewed(body) > started > 0


def _renewed(body: str) -> float:
    """When a leader renewed its lease, in Unix seconds; 0 where nobody holds it."""
    found = strictly.json_object(body)
    lease = strictly.at(found, "spec")
    old = strictly.text(strictly.at(found, "metadata", "annotations").get(_OLD_LEASE))
    if old:
        lease = strictly.json_object(old)
    if not lease.get("holderIdentity"):
        return 0.0
    return _time(lease.get("renewTime"))


def _time(value: object) -> float:
    """A time of the API in Unix seconds; 0 where it is none."""
    try:
        return datetime.fromisoformat(strictly.text(value)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _etcd_healthy(body: str) -> bool:
    return strictly.json_object(body).get("health") in ("true", True)


def _strangers(gate: Gate, body: str) -> str:
    """What is wrong with etcd's members, in words; empty where they are those that the gate expects.

    Each line of the body is the answer of one member, our own is the last.
    """
    lists = [
        found for found in map(strictly.json_object, strictly.lines(body)) if isinstance(found.get("header"), dict)
    ]
    if not lists:
        return "etcd does not list its members"
    members = list(strictly.objects(lists[-1].get("members")))
    listed = {
        f"{strictly.text(member.get('name'))}={url}"
        for member in members
        for url in strictly.texts(member.get("peerURLs"))
    }
    expected = set(gate.expects)
    if len(expected) == len(members) == 1:  # nobody reaches it as a peer: its URL may be that of its first start
        listed, expected = ({member.partition("=")[0] for member in those} for those in (listed, expected))
    clusters = sorted({str(found["header"].get("cluster_id")) for found in lists})
    said = [
        f"not in its member list: {', '.join(sorted(expected - listed))}" if expected - listed else "",
        f"a member, but not in the inventory: {', '.join(sorted(listed - expected))}" if listed - expected else "",
        f"{len(clusters)} separate clusters: {', '.join(clusters)}" if len(clusters) > 1 else "",
    ]
    return "; ".join(filter(None, said))


def _disagreeing(gate: Gate, body: str) -> str:
    """What keeps etcd's members from being one cluster with one log, in words; empty where they are.

    Our own answer is the last line and was the first to be given: the others have to have all that was in our log then.
    """
    said = [found for found in map(strictly.json_object, strictly.lines(body)) if isinstance(found.get("header"), dict)]
    if not said:
        return "etcd does not report its status"
    *others, own = said
    everyone = others or said  # an only member asks nobody else
    clusters = {str(answer["header"].get("cluster_id")) for answer in said}
    last = _index(own)
    words = [
        f"{len(gate.expects) - len(everyone)} of {len(gate.expects)} members do not answer"
        if len(everyone) < len(gate.expects)
        else "",
        f"{len(clusters)} separate clusters" if len(clusters) > 1 else "",
        "a member knows no leader" if any(strictly.text(answer.get("leader")) in ("", "0") for answer in said) else "",
        "a member does not have all of the log yet" if any(_index(answer) < last for answer in everyone) else "",
    ]
    return "; ".join(filter(None, words))


def _index(status: Json) -> int:
    """How much of the log a member has."""
    index = strictly.text(status.get("raftIndex"))
    return int(index) if _INDEX.fullmatch(index) else 0


def _node_ready(body: str) -> bool:
    node = strictly.json_object(body)
    return _ready(node).get("status") == "True" and not _kept_off(node)


def _kept_off(node: Json) -> str:
    """The taint that keeps new pods off a node because of what it reported before; empty where there is none."""
    taints = strictly.objects(strictly.at(node, "spec").get("taints"))
    keys = (strictly.text(taint.get("key")) for taint in taints if taint.get("effect") == "NoSchedule")
    return next((key for key in keys if key in UNREADY_TAINTS), "")


def node_words(node: Json) -> str:
    """What a node says of being ready, in one line, and what keeps pods off it where it is."""
    ready = _ready(node)
    state = strictly.text(ready.get("status")) or "Unknown"
    reasons = [strictly.text(ready.get("reason")), strictly.text(ready.get("message"))]
    words = " ".join(": ".join(filter(None, [f"Ready is {state}", *reasons])).split())[:_LONGEST]
    taint = _kept_off(node) if state == "True" else ""
    return f"{words}; the controller-manager has not yet removed the taint {taint}" if taint else words


def _items(body: str) -> list[Json]:
    return list(strictly.objects(strictly.json_object(body).get("items")))


def _ready(item: Json) -> Json:
    """The condition Ready of a node; empty where it has none."""
    conditions = strictly.objects(strictly.at(item, "status").get("conditions"))
    return next((condition for condition in conditions if condition.get("type") == "Ready"), {})


def _said(gate: Gate, body: str) -> str:
    """What an answer says, for people: of nodes and pods only what they say of being ready."""
    check, found = gate.check, strictly.json_object(body)
    if check is Check.ETCD_MEMBERS and strictly.json_object(strictly.lines(body)[-1] if body else ""):
        said = _strangers(gate, body) or f"etcd has these members, in one cluster: {', '.join(gate.expects)}"
        return said[:_LONGEST]
    if check is Check.ETCD_AGREES and body:
        said = _disagreeing(gate, body) or f"one cluster with one log: {', '.join(gate.expects)}"
        return said[:_LONGEST]
    if check is Check.NODE_READY and _ready(found):
        return node_words(found)
    if check is Check.POD_READY and found.get("kind") == "PodList":
        unready = [pods.words(pod) for pod in _items(body) if not pods.ready(pod)]
        return ("; ".join(unready) or f"ready pods: {len(_items(body))}")[:_LONGEST]
    return " ".join(body.split())[-300:]
