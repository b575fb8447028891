"""The lab's web server on its bridge: the yum repository on port 80, the image registry on port 5000.

Started as a process of its own: `python -m k8s_installer.lab.server --address A --packages DIR --images DIR`.
"""

from __future__ import annotations

import argparse
import functools
import re
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

from k8s_installer.lab.images import MANIFEST_TYPE

REPOSITORY_PORT, REGISTRY_PORT = 80, 5000
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs|tags)/(?P<reference>[A-Za-z0-9:._-]+)")
_CHUNK = 1 << 20


class RegistryHandler(BaseHTTPRequestHandler):
    """The pulling half of Docker's registry API v2, over a folder that `images.add_image` wrote."""

    protocol_version = "HTTP/1.1"
    server_version = "lab"

    def __init__(self, *args: object, folder: Path) -> None:
        self.images = folder
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer a pull."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer whether something can be pulled."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.path.rstrip("/") == "/v2":
            self._send(b"{}", "application/json", with_body=with_body)
            return
        found = _PATH.fullmatch(self.path)
        path = self._file(found["name"], found["kind"], found["reference"]) if found else None
        if path is None or not path.is_file():
            missing = b'{"errors":[{"code":"NOT_FOUND","message":"the lab has no such image"}]}'
            self._send(missing, "application/json", with_body=with_body, status=HTTPStatus.NOT_FOUND)
        elif path.parent.name == "manifests":
            digest = next((entry.name for entry in path.parent.iterdir() if _same(entry, path)), "")
            self._send(path.read_bytes(), MANIFEST_TYPE, with_body=with_body, digest=digest)
        else:
            self._send(path.read_bytes(), "application/octet-stream", with_body=with_body, digest=path.name)

    def _file(self, name: str, kind: str, reference: str) -> Path | None:
        path = self.images / "blobs" / reference if kind == "blobs" else self.images / name / kind / reference
        return path if path.resolve().is_relative_to(self.images.resolve()) else None

    def _send(
        self,
        data: bytes,
        media_type: str,
        *,
        with_body: bool,
        digest: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def _same(entry: Path, path: Path) -> bool:
    return entry.name.startswith("sha256:") and entry.read_bytes() == path.read_bytes()


class RepositoryHandler(SimpleHTTPRequestHandler):
    """Files of the yum repository, over connections that are kept open (yum asks for several)."""

    protocol_version = "HTTP/1.1"


class _Server(ThreadingHTTPServer):
    """As the standard library's, without looking up the name of its own address: a lab has no name server."""

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


def servers(address: str, packages: Path, images: Path, ports: tuple[int, int]) -> list[ThreadingHTTPServer]:
    """Return the repository's and the registry's server, bound but not yet serving; port 0 picks a free one."""
    repository = functools.partial(RepositoryHandler, directory=str(packages))
    registry = functools.partial(RegistryHandler, folder=images)
    return [
        _Server((address, ports[0]), repository),
        _Server((address, ports[1]), registry),
    ]


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="the web server of one lab")
    parser.add_argument("--address", required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    arguments = parser.parse_args()
    ports = (REPOSITORY_PORT, REGISTRY_PORT)
    threads = [
        threading.Thread(target=server.serve_forever)
        for server in servers(arguments.address, arguments.packages, arguments.images, ports)
    ]
    for thread in threads:
        thread.start()
    for (
        thread
    ) in threads:  # from Python 3.12 on no thread starts, and so no request is answered, once this one has ended
        thread.join()


if __name__ == "__main__":
    main()
