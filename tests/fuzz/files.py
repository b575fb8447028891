"""Everything that reads files which people wrote or were given: it gives a value or an `InputError`, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path

from k8s_installer import inventory
from k8s_installer.bundle import images, manifest, repodata
from k8s_installer.bundle.images import BadImageError
from k8s_installer.bundle.opened import verify
from k8s_installer.bundle.repodata import BadMetadataError
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.host import observe
from k8s_installer.inventory import read_allocations
from k8s_installer.inventory.addons import addons
from k8s_installer.render import Renderer
from k8s_installer.runs import cache
from tests.fuzz.hosts import CLUSTER, OBSERVED, WANTED, Run
from tests.unit.test_inventory import GOOD

_FOLDER = Path(tempfile.gettempdir())
_ADDON = b"""\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec: {containers: [{name: web, image: "web:1"}]}
---
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]}
"""
_TEMPLATE = b"""\
{% set ns = namespace(n=0) %}{% for one in cluster.hosts %}{% set ns.n = ns.n + 1 %}{{ one.name ~ '=' ~ ns.n }}{% endfor %}
{% macro m(a) %}{{ a | join(',') }}{% endmacro %}{{ m([1, 2]) }} {{ 'ab' * 3 }} {{ cluster.name | replace('a', 'b') }}
{% set ns.x = [1, (2, 3)] %}{% for i in range(9) %}{% set ns.x = [ns.x, ns.x[1:]] %}{% endfor %}{{ ns.x }} {{ ns.x == [ns.n] }} {{ 1 in ns.x }}
{{ {'a': ns.x}['a'] | list | length }} {{ 'a-b c' | wordwrap(9) | upper }} {{ [3, 1] | sort | map('string') | join('-') }} {{ 2 is eq(3) }}
"""
_PRIMARY = b"""\
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
<package type="rpm"><name>etcd</name><arch>x86_64</arch><version epoch="0" ver="3.3.11" rel="2"/>
<checksum type="sha256" pkgid="YES">ab</checksum><size package="12"/><location href="etcd.rpm"/>
<format><rpm:provides><rpm:entry name="etcd" flags="EQ" epoch="0" ver="3.3.11" rel="2"/></rpm:provides></format></package>
</metadata>
"""


def _bundle(style: int) -> bytes:
    entry = manifest.Entry(name="rpms/repodata/repomd.xml", sha256=hashlib.sha256(b"x").hexdigest(), size=1, source="")
    data = manifest.dumped(manifest.Manifest(cluster="lab", version="1.20.2", repodata=(entry,)))
    total = f"{hashlib.sha256(data).hexdigest()}  {manifest.NAME}\n".encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as tar:
        for name, content in ((manifest.NAME, data), (manifest.SUM, total), (entry.name, b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if style == tarfile.PAX_FORMAT:
                member.pax_headers = {"comment": "a" * 20}
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _saved_images() -> bytes:
    file = io.BytesIO()
    described = [{"Config": "c.json", "Layers": ["l/layer.tar"], "RepoTags": ["web:1"]}]
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (
            ("manifest.json", json.dumps(described).encode()),
            ("c.json", b"{}"),
            ("l/layer.tar", b"x"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


_IMAGES = _saved_images()
_MEMORY = [
    json.dumps({"m1": asdict(observe.remember(OBSERVED))}).encode(),
    b'{"m1": {"sums": {"/a": ["1:2:3:4", "5"]}, "database": "x", "packages": ["rpm kubernetes-master 1 2 3"]}}',
]


def run_inventory(data: bytes) -> None:
    inventory.parse(data.decode("utf-8", errors="surrogateescape"), _FOLDER / "fuzz-cluster.yaml")


def run_addon(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "addons").mkdir()
        (Path(name) / "addons/x.yaml").write_bytes(data)
        addons(Path(name))


def run_template(data: bytes) -> None:
    text = data.decode(errors="replace")
    Renderer(sandboxed=True).text(text, {"cluster": CLUSTER, "host": CLUSTER.hosts[0]}, "m1", where="a fuzz")


def run_allocations(data: bytes) -> None:
    read_allocations(data.decode(errors="replace")).text()


def run_memory(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        found = cache.load(Path(file.name))
    for one in found.values():
        observe.script(WANTED, one).encode()


def run_images(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with images.archive(Path(file.name)) as found:
            for image in found.values():
                assert image.id
                for layer in image.layers:
                    layer.open().read()


def run_bundle(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        verify(Path(file.name))


def run_metadata(data: bytes) -> None:
    for rpm in repodata.primary(data, ""):
        str(rpm)


def run_manifest(data: bytes) -> None:
    manifest.loaded(data, "a fuzz")


TARGETS: dict[str, tuple[Run, tuple[type[Exception], ...], list[bytes]]] = {
    "inventory": (run_inventory, (InputError,), [GOOD.encode()]),
    "addon": (run_addon, (InputError,), [_ADDON]),
    "template": (run_template, (InputError,), [_TEMPLATE]),
    "bundle": (run_bundle, (InputError,), [_bundle(tarfile.USTAR_FORMAT), _bundle(tarfile.PAX_FORMAT), _bundle(tarfile.GNU_FORMAT)]),
    "manifest": (run_manifest, (InputError,), [manifest.dumped(manifest.Manifest(cluster="lab", version="1.20.2"))]),
    "allocations": (run_allocations, (ValueError,), [b"first-master m1\npod-subnet 10.244.0.0/24 n1\n"]),
    "memory": (run_memory, (), _MEMORY),
    "images": (run_images, (BadImageError,), [_IMAGES]),
    "metadata": (run_metadata, (BadMetadataError, InstallerError), [_PRIMARY]),
}  # fmt: skip
