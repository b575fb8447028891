"""What a component has, as lines: things on hosts, connections, certificates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from k8s_installer.desired.connections import Connection, Party
from k8s_installer.explain.components import Certificate, OnHosts
from k8s_installer.report.prose import MOST, heading, labelled, named, paragraph, rest


def on_hosts(title: str, found: Sequence[OnHosts], everywhere: Sequence[str]) -> Iterator[Text]:
    """Things by name, each with its words, and its hosts where that are not all of them."""
    if found:
        yield from heading(title)
    for one in found[:MOST]:
        where = "" if set(one.hosts) >= set(everywhere) or not one.hosts else f"  ({named(one.hosts)})"
        if len(one.name) < 14:  # noqa: PLR2004 - the column of `labelled`
            yield from labelled(one.name, f"{one.words}{where}")
        else:
            yield Text.assemble("  ", one.name, (where, "dim"))
            yield from paragraph(one.words, 6, "dim")
    yield from rest(len(found))


def connections(title: str, found: Sequence[tuple[Connection, Party]]) -> Iterator[Text]:
    """Connections, each with its other side: where that is, why, and who shows which certificate."""
    if found:
        yield from heading(title)
    for talk, other in found[:MOST]:
        where = "the same host" if talk.here else named(other.hosts)
        via = f" through {talk.via}" if talk.via else ""
        how = " ".join(filter(None, (talk.protocol, talk.port)))
        yield from labelled(other.name, f"{how}{f', {where}' if where else ''}{via}", width=25)
        yield from paragraph(talk.why, 6, "dim")
        if talk.certificate:
            shows = f"the client shows {talk.certificate.file or talk.certificate.name} ({talk.certificate.user})"
            yield from paragraph(shows, 6, "dim")
        if talk.server_certificate:
            shown = talk.server_certificate
            ca = f", checked with {talk.ca_file}" if talk.ca_file else ""
            yield from paragraph(f"the server shows {shown.file or shown.name}{ca}", 6, "dim")
    yield from rest(len(found))


def certificates(found: Sequence[Certificate], everywhere: Sequence[str]) -> Iterator[Text]:
    """Certificates, each with its issuer, its user and its names."""
    if found:
        yield from heading("Certificates")
    for one in found[:MOST]:
        where = "" if set(one.hosts) >= set(everywhere) else f"  ({named(one.hosts)})"
        yield Text.assemble("  ", one.path, (where, "dim"))
        group = f", group {one.group}" if one.group else ""
        names = f"; for {', '.join(one.names)}" if one.names else ""
        yield from paragraph(f"{one.use}, issued by {one.issuer} to {one.user}{group}{names}", 6, "dim")
    yield from rest(len(found))
