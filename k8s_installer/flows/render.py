"""`render`: every file of every host, without SSH."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.errors import InputError
from k8s_installer.flows import resolve
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.output import PRIVATE, PUBLIC, write
from k8s_installer.flows.reporter import Reporter
from k8s_installer.host.paths import ADDONS
from k8s_installer.model.resources import File, Ref


def render(inputs: Inputs, folder: Path | None, hosts: Sequence[str], reporter: Reporter) -> Outcome:
    """Write or print every rendered file; secrets are placeholders here.

    Args:
        inputs: the inventory and the templates.
        folder: where files are written, one folder a host; they are the command's result where this is None.
        hosts: whose files; all where there are none.
        reporter: receives the files, or how many were written.
    """
    wanted = resolve.resolve(inputs.inventory, inputs.templates, None)
    note = profiles.note(wanted.cluster.version, wanted.profile)
    if note:
        reporter.say(note)
    names = [host.name for host in wanted.cluster.hosts]
    unknown = [host for host in hosts if host not in names]
    if unknown:
        raise InputError(f"--host: the inventory has no host {unknown[0]}", hint=f"it has {', '.join(names)}")
    files = [
        (ref, item.resource)
        for ref, item in sorted(wanted.desired.items())
        if isinstance(item.resource, File) and (not hosts or ref.host in hosts)
    ]
    for ref, file in files:
        if folder is None:
            reporter.result(f"==> {ref.host}:{ref.name} <==")
            reporter.result(_shown(ref, file).decode(errors="replace"))
        else:
            mode = PRIVATE if file.secret else PUBLIC
            write(folder / ref.host / ref.name.lstrip("/"), _shown(ref, file), mode)
    if folder is not None:
        reporter.say(f"{len(files)} files of {len(hosts or names)} hosts written to {folder}")
    return Outcome.DONE


def _shown(ref: Ref, file: File) -> bytes:
    """A file as it may lie about: keys are placeholders already, and an addon that holds a Secret becomes one."""
    if not (file.secret and ref.name.startswith(f"{ADDONS}/")):
        return file.content
    return f"# a manifest with a Secret: {len(file.content)} bytes, SHA-256 {file.sha256}\n".encode()
