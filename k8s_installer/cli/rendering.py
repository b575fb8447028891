"""What `render` does, and how any command writes a file of the user's; needs no SSH."""

from __future__ import annotations

from pathlib import Path

from k8s_installer import profiles
from k8s_installer.cli.console import print_note, stderr, stdout
from k8s_installer.errors import InputError
from k8s_installer.intent import Intent
from k8s_installer.resources import File


def render(intent: Intent, folder: Path | None, hosts: list[str]) -> None:
    """Write or print every rendered file; secrets are placeholders here."""
    print_note(profiles.note(intent.cluster.version, intent.profile))
    names = [host.name for host in intent.cluster.hosts]
    unknown = [host for host in hosts if host not in names]
    if unknown:
        raise InputError(f"--host: the inventory has no host {unknown[0]}", hint=f"it has {', '.join(names)}")
    files = [
        (ref, item.resource)
        for ref, item in sorted(intent.desired.items())
        if isinstance(item.resource, File) and (not hosts or ref.host in hosts)
    ]
    for ref, file in files:
        if folder is None:
            stdout().print(f"==> {ref.host}:{ref.name} <==", markup=False)
            stdout().print(file.content.decode(), markup=False)
        else:
            write(folder / ref.host / ref.name.lstrip("/"), file.content)
    if folder is not None:
        stderr().print(f"{len(files)} files of {len(hosts or names)} hosts below {folder}", markup=False)


def write(path: Path, content: bytes) -> None:
    """Write a file of the user's, with its folders.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
