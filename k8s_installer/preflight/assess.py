"""What the hosts answered against what is wanted of them: every finding at once. Pure.

`checks` judges each host by itself; here is what hosts show together: clocks, identities, and ports that are reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import median_low

from k8s_installer.errors import HostError, MalformedAnswer, listed
from k8s_installer.inventory import Cluster, Role
from k8s_installer.preflight import pulling, tables
from k8s_installer.preflight.checks import EACH, CheckedHost, finding_of
from k8s_installer.preflight.model import Answers, Finding, Needs, Preflight, Severity
from k8s_installer.preflight.tables import CHECKS

_ORDER = {name: number for number, name in enumerate(CHECKS)}


def assess(
    cluster: Cluster,
    needs: Mapping[str, Needs],
    answers: Mapping[str, Answers | HostError | None],
    about: Collection[str] | None = None,
) -> Preflight:
    """Judge what every host answered.

    Args:
        cluster: the inventory.
        needs: what is wanted of each host.
        answers: of each host that was asked: what it is like, why it did not answer, or None for half an answer.
        about: only findings about these hosts; the others were asked as witnesses (of clocks and ports).
    """
    hosts = [
        CheckedHost(needs[name], answer, frozenset(needs[name].packages) - frozenset(answer.installed))
        for name, answer in answers.items()
        if isinstance(answer, Answers)
    ]
    wanted = frozenset(answers if about is None else about)
    found = [
        *_unanswered(answers),
        *(finding for host in hosts for check in EACH for finding in check(host)),
        *(finding for host in hosts for finding in pulling.troubles(host)),
        *(finding for host in hosts for finding in _overlaps(cluster, host)),
        *_clocks(hosts),
        *_duplicates(hosts),
    ]
    found = [finding for finding in found if finding.host in wanted] + list(_links(hosts, wanted))
    rank = {host.name: number for number, host in enumerate(cluster.hosts)}
    found.sort(key=lambda finding: (finding.severity is not Severity.ERROR, _ORDER[finding.id], rank[finding.host]))
    return Preflight(tuple(name for name in answers if name in wanted), tuple(found))


def _unanswered(answers: Mapping[str, Answers | HostError | None]) -> Iterator[Finding]:
    for name, answer in answers.items():
        if answer is None:
            yield finding_of("incomplete", Severity.ERROR, name, "its answer was cut off")
        elif isinstance(answer, MalformedAnswer):
            yield finding_of("incomplete", Severity.ERROR, name, answer.message.removeprefix(f"{name}: "))
        elif isinstance(answer, HostError):
            words = answer.message.removeprefix(f"{name}: ")
            hint = answer.hint or f"check that `ssh` to {name} works"
            yield finding_of("unreachable", Severity.ERROR, name, words, hint=hint)


def _overlaps(cluster: Cluster, host: CheckedHost) -> Iterator[Finding]:
    for name, interface in host.answers.networks:
        for key, cidr in (("pod_cidr", cluster.pod_cidr), ("service_cidr", cluster.service_cidr)):
            if host.missing and name not in tables.OF_PODS and interface.network.overlaps(cidr):
                yield host.error("overlap", f"{name} is in {interface.network}; {key} is {cidr}")


def _clocks(hosts: Sequence[CheckedHost]) -> Iterator[Finding]:
    if not hosts:
        return
    # of two clocks one is taken for right: either way they differ by all of it
    middle = median_low(host.answers.offset for host in hosts)
    for host in hosts:
        ahead = host.answers.offset - middle
        if abs(ahead) > tables.CLOCK_WARNING:
            make = host.error if abs(ahead) > tables.CLOCK_ERROR else host.warning
            direction = "ahead of" if ahead > 0 else "behind"
            yield make("clock", f"{abs(ahead):.1f} s {direction} the median of {len(hosts)} hosts")


def _duplicates(hosts: Sequence[CheckedHost]) -> Iterator[Finding]:
    """What several hosts share; where it is one machine, nothing more is said of that."""
    machines: dict[tuple[str, str], list[CheckedHost]] = defaultdict(list)
    for host in hosts:
        machines[host.answers.machine_id, host.answers.boot_id or host.name].append(host)
    for same in machines.values():
        for host in same[1:]:
            yield host.error("same-host", f"it is {same[0].name}: same machine-id, same boot")
    for what in ("hostname", "machine_id", "product_uuid"):
        sharing: dict[str, list[CheckedHost]] = defaultdict(list)
        for same in machines.values():
            sharing[getattr(same[0].answers, what)].append(same[0])
        for value, members in sharing.items():
            if value and len(members) > 1:
                yield _shared(what, value, members)


def _shared(what: str, value: str, members: Sequence[CheckedHost]) -> Finding:
    words = f"{what.replace('_', '-')} {value}: {listed([host.name for host in members])}"
    # up to 1.8 a leader's lease holds the host's name alone: two masters of one name would both be leaders
    masters = [host for host in members if Role.MASTER in host.roles]
    if what == "hostname" and len(masters) > 1:
        return masters[-1].error("duplicate", f"{words}; masters' leases use it")
    return members[-1].warning("duplicate", words)


def _links(hosts: Sequence[CheckedHost], about: Collection[str]) -> Iterator[Finding]:
    """One finding for each port that somebody cannot reach, with everybody who cannot, by what they saw."""
    answered = {host.name for host in hosts}
    failed: dict[tuple[str, int, str], dict[str, list[str]]] = {}
    for host in hosts:
        if host.answers.missing_tools & {"bash", "timeout"}:
            continue
        for link in host.needs.links:
            words = host.answers.reached.get((link.address, link.port), "it was not tried")
            if words and link.host in answered and {host.name, link.host} & set(about):
                failed.setdefault((link.host, link.port, link.unit), {}).setdefault(words, []).append(host.name)
    for (name, port, unit), sources in failed.items():
        said = "; ".join(f"from {listed(names)}: {words}" for words, names in sources.items())
        severity = Severity.WARNING if unit in tables.OPTIONAL else Severity.ERROR
        yield finding_of("link", severity, name, f"{port} ({unit}) {said}", port=port)
