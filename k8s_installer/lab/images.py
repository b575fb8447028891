"""The container images that the hosts' docker pulls, as an image registry lays them out.

`lab/pause` is the pods' infrastructure container, `lab/web` a web server that says its host name, `lab/coredns` a
cluster's DNS.
The layout is `<name>/manifests/<tag>` and `blobs/<digest>` of Docker's registry API v2, manifests of schema 2:
what docker 1.13 and 20.10 both pull.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab import gomodules
from k8s_installer.lab.artifacts import artifact, data_folder, digest_of_files
from k8s_installer.lab.commands import Say, run

TOOLS = ("busybox-static", "gcc", "libc6-dev")
PAUSE, WEB, COREDNS = "lab/pause:1", "lab/web:1", "lab/coredns:1.8.7"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_APPLETS = ("sh", "httpd", "hostname", "wget", "nc", "cat", "echo", "ls", "ps", "env", "sleep", "nslookup", "ip")
_WEB_COMMAND = ("/bin/sh", "-c", "hostname > /www/index.html; exec httpd -f -p 80 -h /www")


def images(cache: Path, say: Say) -> Path:
    """Return the artefact with the images.

    Raises:
        LabError: a compiler failed or busybox is not installed.
    """
    source = data_folder() / "images"
    built = gomodules.coredns(cache, say)

    def make(out: Path) -> None:
        say("creating the images")
        program = out / "pause"
        run(["gcc", "-static", "-O2", "-s", "-o", program, source / "pause.c"])
        add_image(out, PAUSE, _layer({"pause": program.read_bytes()}), {"Entrypoint": ["/pause"]})
        program.unlink()
        busybox = shutil.which("busybox", path="/bin:/usr/bin")
        if busybox is None:
            raise LabError("busybox is not installed on this machine")
        links = {f"bin/{name}": "busybox" for name in _APPLETS}
        web = _layer({"bin/busybox": Path(busybox).read_bytes()}, links, ("bin", "etc", "proc", "sys", "tmp", "www"))
        settings: dict[str, object] = {"Cmd": list(_WEB_COMMAND), "ExposedPorts": {"80/tcp": {}}, "Env": ["PATH=/bin"]}
        add_image(out, WEB, web, settings)
        dns = _layer({"coredns": (built / "coredns").read_bytes()}, folders=("etc", "proc", "sys", "tmp"))
        add_image(out, COREDNS, dns, {"Entrypoint": ["/coredns"], "ExposedPorts": {"53/udp": {}, "53/tcp": {}}})

    return artifact(
        cache, "images", ["1", PAUSE, WEB, COREDNS, *_APPLETS, *_WEB_COMMAND, built.name, digest_of_files(source)], make
    )


def add_image(folder: Path, reference: str, layer: bytes, settings: Mapping[str, object]) -> None:
    """Write an image of one layer (an uncompressed tar) below `folder`; `settings` is its run configuration."""
    name, _, tag = reference.partition(":")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": reference}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _blob(folder, json.dumps(config).encode(), _CONFIG_TYPE),
        "layers": [_blob(folder, gzip.compress(layer, mtime=0), _LAYER_TYPE)],
    }
    data = json.dumps(manifest).encode()
    for key in (tag, _digest(data)):  # docker asks by tag first, then by digest
        path = folder / name / "manifests" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _blob(folder: Path, data: bytes, media_type: str) -> dict[str, object]:
    path = folder / "blobs" / _digest(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "size": len(data), "digest": _digest(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer(
    programs: Mapping[str, bytes], links: Mapping[str, str] | None = None, folders: tuple[str, ...] = ()
) -> bytes:
    """Return a tar whose bytes depend on its content alone (no times, no owners)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, data in programs.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return stream.getvalue()
