"""Connections in words."""

from __future__ import annotations

from k8s_installer.desired.connections import Certificate, Connection, Party
from k8s_installer.report.names import spans


def words(one: Connection) -> str:
    """A connection in a few sentences."""
    at = f" at {one.port}" if one.port else ""
    via = f", via {one.via}" if one.via else ""
    here = ", each on its own host" if one.here and len(one.client.hosts) > 1 else ""
    lines = [f"{_side(one.client)} connects to {_side(one.server)}{at}{via}{here}{_protocol(one)}.", one.why]
    if one.certificate:
        lines.append(f"The client shows {_certificate(one.certificate)}.")
    if one.server_certificate:
        verified = f", verified with {one.ca_file}" if one.ca_file else ""
        lines.append(f"The server shows {_certificate(one.server_certificate)}{verified}.")
    return " ".join(lines)


def _protocol(one: Connection) -> str:
    return f" ({one.protocol})" if one.protocol else ""


def _side(party: Party) -> str:
    return f"{party.name} on {spans(party.hosts)}" if party.hosts else party.name


def _certificate(shown: Certificate) -> str:
    group = f", O={shown.group}" if shown.group else ""
    return f"the certificate {shown.name} (CN={shown.user}{group}) of {shown.ca}"
