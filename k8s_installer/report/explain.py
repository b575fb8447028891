"""What `explain` found, for people (80 columns) and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum

from pydantic import BaseModel
from rich.console import Group
from rich.text import Text

from k8s_installer.explain.answer import Explained
from k8s_installer.explain.components import Component
from k8s_installer.explain.concepts import Concept
from k8s_installer.explain.files import ExplainedFile
from k8s_installer.explain.hosts import ExplainedHost
from k8s_installer.explain.kubeadm import Beside
from k8s_installer.explain.order import Step, Wait
from k8s_installer.explain.settings import Setting
from k8s_installer.explain.topics import ORDER, Sort, Topic
from k8s_installer.report import annotated, settings
from k8s_installer.report.parts import certificates, connections, on_hosts
from k8s_installer.report.prose import heading, labelled, named, paragraph, rest, title

_FACTS = 24  # facts of a word, and topics of a sort, that are shown


def text(explained: Explained) -> Group:
    """For people."""
    return Group(*_lines(explained))


def data(explained: Explained) -> dict[str, object]:
    """For programs: the same facts, by the names of the fields."""
    topic = explained.topic
    return {
        "topic": {"sort": str(topic.sort), "name": topic.name} if topic else None,
        "version": explained.version,
        "cluster": explained.cluster or None,
        "explanation": _plain(explained.found),
    }


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Enum) else value


def _lines(explained: Explained) -> Iterator[Text]:
    found = explained.found
    match found:
        case Component():
            yield from _component(found)
        case Concept():
            yield from _concept(found, explained)
        case ExplainedFile():
            yield from annotated.lines(found)
        case ExplainedHost():
            yield from _host(found)
        case _ if explained.topic is None:
            yield from _overview([one for one in found if isinstance(one, Topic)], explained)
        case _ if explained.topic.sort is Sort.FLAG:
            yield from _flag([one for one in found if isinstance(one, Setting)], explained)
        case _ if explained.topic.name == ORDER:
            yield from _order(one for one in found if isinstance(one, Step))
        case _:
            yield from _kubeadm(one for one in found if isinstance(one, Beside))


def _overview(topics: Sequence[Topic], explained: Explained) -> Iterator[Text]:
    where = f" in {explained.cluster}" if explained.cluster else ""
    yield Text(f"What can be explained{where} (Kubernetes {explained.version})", "bold")
    headings = {Sort.COMPONENT: "Components", Sort.CONCEPT: "Words", Sort.GUIDE: "Guides", Sort.HOST: "Hosts"}
    for sort, words in headings.items():
        shown = [topic for topic in topics if topic.sort is sort]
        if shown:
            yield from heading(words)
        for topic in shown[:_FACTS]:
            here = f" ({topic.here})" if topic.here else ""
            yield from labelled(topic.name, f"{topic.summary}{here}", width=25)
        yield from rest(len(shown), _FACTS)
    yield from heading("Flags and files")
    files = sum(topic.sort is Sort.FILE for topic in topics)
    yield from labelled("--FLAG", "any flag of these programs, such as --max-pods", width=25)
    count = f"any of the {files} files that are written" if files else "any file that is written, with -i cluster.yaml"
    yield from labelled("/PATH", f"{count}, such as /etc/kubernetes/apiserver", width=25)
    yield from labelled("why HOST UNIT", "asks the hosts: why a unit restarts in the next plan, or not", width=25)


def _texts(name: str, summary: str, paragraphs: Iterable[str]) -> Iterator[Text]:
    yield from title(name, summary)
    for words in paragraphs:
        yield Text()
        yield from paragraph(words)


def _component(one: Component) -> Iterator[Text]:
    yield from _texts(one.name, one.summary, one.text)
    if one.if_down:
        yield Text()
        yield from paragraph(f"Without it: {one.if_down}")
    if one.in_cluster is None:
        yield from heading("In every cluster (with -i cluster.yaml: in yours)")
    elif not one.hosts:
        yield from heading(f"In cluster {one.in_cluster}")
        yield from paragraph("This cluster does not have it.")
        return
    else:
        yield from heading(f"In cluster {one.in_cluster}")
        yield from labelled("runs on", named(one.hosts))
    yield from _facts(one)
    if one.settings:
        yield from heading("Flags and keys in use")
        for setting in one.settings:
            yield from settings.lines(setting, hosts=len(one.hosts) > 1 and len(setting.values) > 1)


def _facts(one: Component) -> Iterator[Text]:
    yield from labelled("role", " or ".join(one.roles) or "-")
    if one.unit:
        yield from labelled("unit", f"{one.unit}{f', as the user {one.user}' if one.user else ''}")
    for package in one.packages:
        yield from labelled("program", f"{package.name} {f'({package.words})' if package.words else ''}".strip())
    if one.after:
        yield from labelled("starts after", ", ".join(one.after))
    yield from on_hosts("Ports", one.ports, one.hosts)
    yield from connections("Connects to", [(talk, talk.server) for talk in one.asks])
    yield from connections("Is asked by", [(talk, talk.client) for talk in one.asked_by])
    yield from on_hosts("Files", one.files, one.hosts)
    yield from certificates(one.certificates, one.hosts)
    yield from on_hosts("Gates: what must hold before the next step", one.gates, one.hosts)


def _concept(one: Concept, explained: Explained) -> Iterator[Text]:
    yield from _texts(one.name, one.text.summary, one.text.text)
    if one.here:
        yield from heading(f"In cluster {explained.cluster}")
        width = min(max(len(label) for label, _ in one.here) + 2, 40)
        for label, words in one.here[:_FACTS]:
            yield from labelled(label, words, width=width)
        yield from rest(len(one.here), _FACTS)
    if one.text.look:
        yield from heading("Look")
        yield Text(f"  {one.text.look}")


def _flag(found: Sequence[Setting], explained: Explained) -> Iterator[Text]:
    for number, one in enumerate(found):
        if number:
            yield Text()
        what = "a key of the configuration file of" if one.is_key else "a flag of"
        yield from title(one.name, f"{what} {one.component} (Kubernetes {explained.version})")
        yield from settings.lines(one, hosts=True, whole=True)
    if not explained.cluster:
        yield Text()
        yield Text("With -i cluster.yaml: its value on every host, and the line that says so.", "dim")


def _host(one: ExplainedHost) -> Iterator[Text]:
    yield from title(one.name, f"{one.address}, roles {', '.join(one.roles)}")
    yield Text()
    yield from labelled("inventory", one.line)
    yield from labelled("API", one.api)
    if one.pod_subnet:
        yield from labelled("its pods", one.pod_subnet)
    yield from heading("Components, in the order in which they start")
    for part in one.parts:
        unit = f"  unit {part.unit}" if part.unit else "  no unit"
        yield Text.assemble("  ", (part.name, "bold"), (unit, "dim"))
        yield from paragraph(part.why, 6)
        for wait in part.waits:
            yield from paragraph(f"waits for {_waited(wait)}", 6, "dim")
        for port in part.ports:
            yield from paragraph(f"port {port}", 6, "dim")
        for path in part.files:
            yield Text(f"      {path}", "dim")
    yield from certificates(one.certificates, (one.name,))
    if one.settings:
        yield from heading("Settings of the host")
        for name, value in one.settings:
            yield from labelled(name, value, width=34)


def _waited(wait: Wait) -> str:
    return f"{wait.name} ({wait.where})"


def _order(steps: Iterable[Step]) -> Iterator[Text]:
    yield Text("Why services start in this order", "bold")
    yield Text()
    yield from paragraph(
        "Each unit waits for what it needs, on its own host or on others, and for nothing else. Units that do not "
        "wait for each other start at the same time."
    )
    for number, step in enumerate(steps, 1):
        yield from _step(number, step)


def _step(number: int, step: Step) -> Iterator[Text]:
    yield from heading(f"{number}. {step.unit}  ({named(step.hosts)})")
    yield from paragraph(step.why)
    if not step.waits:
        yield from labelled("waits for", "nothing but its packages and files")
    for wait in step.waits:
        yield from labelled("waits for", _waited(wait))
        yield from paragraph(f"because: {wait.why}", 16, "dim")
    if step.gates:
        yield from labelled("then", f"others wait until {'; '.join(step.gates[:3])}")


def _kubeadm(steps: Iterable[Beside]) -> Iterator[Text]:
    yield Text("This method beside kubeadm", "bold")
    for one in steps:
        yield from heading(one.step.kubeadm)
        yield from labelled("kubeadm", one.step.does, width=10)
        yield from labelled("here", one.step.here, width=10)
        for name, hosts in one.places:
            yield Text(f"            {name}  ({named(hosts)})", "dim")
