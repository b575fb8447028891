"""The certificates of a cluster: a line each, for people and for grep; or plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.status.certificates import CertificatesStatus, CertificateStatus

HERE = "(here)"  # stands for a host, where only the local folder has a certificate
_HEADER = ("host", "file", "issued by", "days", "ends (UTC)", "used by", "state", "serial", "names")
_BAD, _CARE = "bold red", "yellow"


def table(status: CertificatesStatus, warn_days: int, inventory: Path) -> Group:
    """For people: a line for each certificate, then who did not answer, and what to type next."""
    rows = [tuple(Text(word, "bold") for word in _HEADER), *(_row(item, warn_days) for item in status.certificates)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    return Group(*(_joined(row, widths) for row in rows), *_last(status, warn_days, inventory))


def data(status: CertificatesStatus, warn_days: int) -> dict[str, object]:
    """For programs: stable names, times in ISO 8601 (UTC), null for what is not known."""
    return {
        "warn_days": warn_days,
        "ending": len(status.ending(warn_days)),
        "rotations": dict(status.rotations),
        "unreachable": {name: str(error) for name, error in sorted(status.unreachable.items())},
        "certificates": [_data(item) for item in status.certificates],
    }


def _row(item: CertificateStatus, warn_days: int) -> tuple[Text, ...]:
    known = item.facts
    return (
        Text(item.host or HERE),
        Text(item.path),
        Text(known.issuer if known else "-"),
        Text("-") if item.days is None else Text(str(item.days), _style(item.days, warn_days)),
        Text(f"{known.ends:%Y-%m-%d %H:%M}" if known else "-"),
        Text(",".join(item.units) or "-"),
        _state(item),
        Text(known.serial if known else "-"),
        Text(",".join(known.names) if known and known.names else "-"),
    )


def _style(days: int, warn_days: int) -> str:
    return _BAD if days < 0 else _CARE if days < warn_days else ""


def _state(item: CertificateStatus) -> Text:
    words = [item.trouble] if item.trouble else []
    if item.days is not None and item.days < 0:
        words.append("expired")
    if item.pending:
        words.append(f"restart pending: {', '.join(item.pending)}")
    if item.differs:
        words.append("differs from the local one")
    if item.host and item.facts and item.differs is None:
        words.append("no local one")
    return Text("; ".join(words) or "ok", _CARE if words else "")


def _joined(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text("  ").join(
        [Text.assemble(cell, " " * (width - cell.cell_len)) for cell, width in zip(row, widths, strict=True)]
    )
    line.rstrip()
    return line


def _last(status: CertificatesStatus, warn_days: int, inventory: Path) -> Iterator[Text]:
    if status.unreachable:
        yield Text()
    for _, error in sorted(status.unreachable.items()):
        yield Text(str(error), _BAD)
    for ca, step in status.rotations.items():
        yield Text()
        yield Text(f"A rotation of {ca} is under way: {step} is the last step that was made.", _CARE)
        yield Text(f"Next: k8s-installer certs rotate {ca} {step.next or step} -i {inventory}")
    ending = status.ending(warn_days)
    if ending:
        yield Text()
        yield Text(f"{len(ending)} of {len(status.certificates)} have fewer than {warn_days} days left.", _CARE)
        yield Text(f"Next: k8s-installer certs renew -i {inventory}    (CAs: docs/keys.md)")


def _data(item: CertificateStatus) -> dict[str, object]:
    known = item.facts
    return {
        "host": item.host or None,
        "file": item.path,
        "name": item.name,
        "trouble": item.trouble or None,
        "subject": known and known.subject,
        "issuer": known and known.issuer,
        "names": list(known.names) if known else [],
        "serial": known and known.serial,
        "begins": known and known.begins.isoformat(),
        "ends": known and known.ends.isoformat(),
        "days": item.days,
        "used_by": list(item.units),
        "restart_pending": list(item.pending),
        "differs_from_local": item.differs,
    }
