"""Images that nodes will pull: which are asked for, what registries of every kind answer, and what is said of it."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from k8s_installer.lab.server import servers
from k8s_installer.preflight import Finding, assess, parse, seconds
from k8s_installer.preflight.images import asking
from k8s_installer.preflight.model import ImageReply, WantedImage
from k8s_installer.untrusted.answers import Malformed
from tests.unit.clusters import cluster
from tests.unit.repositories import registry, serving
from tests.unit.test_preflight import NEEDS, THREE, fit, wanted

REGISTRY = "10.0.0.9:5000"
OWN = f"images: {{pause: '{REGISTRY}/pause:3.2', verify: '{REGISTRY}/web:1'}}"


def image(reference: str, *, key: str = "images.pause", insecure: bool = False) -> WantedImage:
    place, _, name = reference.partition("/")
    return WantedImage(reference, key, place, name, insecure, ())


def keys(more: str) -> dict[str, tuple[str, bool]]:
    """What the node n1 is asked for: key, reference, and whether without TLS."""
    return {one.key: (one.reference, one.insecure) for one in wanted(cluster(more=more))["n1"].images}


def test_nodes_are_asked_for_the_images_that_the_cluster_runs_with() -> None:
    made = wanted(dataclasses.replace(cluster(more="images: {registry: 'r.example.com'}"), dns="coredns"))
    assert [(one.key, one.reference) for one in made["n1"].images] == [
        ("images.pause", "r.example.com/pause:3.2"),
        ("images.dns.coredns", "r.example.com/coredns:1.7.0"),
    ]
    assert made["m1"].images == ()  # no node
    assert keys(OWN) == {
        "images.pause": (f"{REGISTRY}/pause:3.2", False),
        "images.verify": (f"{REGISTRY}/web:1", False),
    }


@pytest.mark.parametrize(
    "more",
    [
        "images: {pause: pause:3.2}",
        "images: {pause: lab/pause:1}",
        "images: {pause: docker.io/rancher/pause:3.2}",
        "components: {kubelet: {args: {pod-infra-container-image: 'r.example.com/pause:3.2'}}}",
        "host_settings: {proxy: {http: 'http://10.0.0.8:3128'}}",
    ],
)
def test_images_that_docker_finds_in_its_own_way_are_not_asked_for(more: str) -> None:
    assert keys(more) == {}


def test_a_bundle_brings_its_images() -> None:
    made = dataclasses.replace(cluster(), bundle="/b.tar")
    assert wanted(made)["n1"].images == ()


def test_a_registry_inside_is_reached_without_the_proxy() -> None:
    assert set(keys(f"{OWN}\nhost_settings: {{proxy: {{http: 'http://10.0.0.8:3128'}}}}")) == {
        "images.pause", "images.verify",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "insecure"),
    [
        ("", False),
        (f"host_settings: {{docker: {{insecure_registries: ['{REGISTRY}']}}}}", True),
        ("host_settings: {docker: {insecure_registries: ['10.0.0.9', 10.1.0.0/16]}}", False),
        ("host_settings: {docker: {insecure_registries: [10.0.0.0/24]}}", True),
        (f"components: {{docker: {{args: {{insecure-registry: ['{REGISTRY}']}}}}}}", True),
    ],
)
def test_a_registry_is_without_tls_where_dockers_flags_say_so(more: str, *, insecure: bool) -> None:
    assert keys(f"{OWN}\n{more}")["images.pause"][1] is insecure


@pytest.mark.parametrize(
    ("place", "insecure"), [("127.0.0.1:5000", True), ("localhost:5000", True), ("r.example.com", False)]
)
def test_loopback_is_without_tls(place: str, *, insecure: bool) -> None:
    assert keys(f"images: {{pause: '{place}/pause:1'}}") == {"images.pause": (f"{place}/pause:1", insecure)}


class Answers(BaseHTTPRequestHandler):
    """A registry that wants a token for /guarded and a password for /private, and is broken for /broken."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        head: dict[str, str] = {}
        url = urlsplit(self.path)
        if url.path == "/token" and parse_qs(url.query) == {"service": ["s"], "scope": ["repository:guarded:pull"]}:
            self._send(200, b'{"token": "t0"}', {})
            return
        status = 200
        if self.path.startswith(("/v2/guarded/", "/v2/private/")) and given != "Bearer t0":
            realm = f"http://{self.headers['Host']}/token"
            basic = self.path.startswith("/v2/private/")
            head = {"WWW-Authenticate": 'Basic realm="x"' if basic else f'Bearer realm="{realm}",service="s"'}
            status = 401
        elif self.path.startswith("/v2/broken/"):
            status = 503
        elif self.path.endswith("/none"):
            status = 404
        self._send(status, b"{}", head)

    def _send(self, status: int, data: bytes, head: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**head, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[str]:
    with serving([ThreadingHTTPServer(("127.0.0.1", 0), Answers)]) as (url,):
        yield url.removeprefix("http://")


def asked(*images: WantedImage, docker: str = "exit 1", tmp_path: Path) -> dict[str, ImageReply]:
    """What this machine is answered, by the real shell and curl; `docker` is a stand-in."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{docker}\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", f"echo clock 1.0\n{asking(images)}wait\necho end-of-preflight"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "C", "http_proxy": "http://127.0.0.1:1"},
    )  # fmt: skip
    assert done.stderr == ""
    answers = parse(done.stdout, 1.0)
    assert answers is not None
    return dict(answers.images)


def test_what_registries_answer_is_told_apart(plain: str, tmp_path: Path) -> None:
    names = ("web:1", "web@sha256:aa", "web", "web:none", "guarded:1", "guarded:none", "private:1", "broken:1")
    found = asked(*(image(f"{plain}/{name}", insecure=True) for name in names), tmp_path=tmp_path)
    assert {name: found.get(f"{plain}/{name}") for name in names} == {
        "web:1": ImageReply(200, 0, "", plain=False),
        "web@sha256:aa": ImageReply(200, 0, "", plain=False),
        "web": ImageReply(200, 0, "", plain=False),
        "web:none": ImageReply(404, 0, "", plain=False),
        "guarded:1": ImageReply(200, 0, "", plain=False),
        "guarded:none": ImageReply(404, 0, "", plain=False),
        "private:1": None,
        "broken:1": ImageReply(503, 0, "", plain=False),
    }


def test_plain_http_is_told_where_docker_takes_tls_only(plain: str, tmp_path: Path) -> None:
    found = asked(image(f"{plain}/web:none"), tmp_path=tmp_path)
    assert found == {f"{plain}/web:none": ImageReply(0, 0, "", plain=True)}


def test_a_refusal_and_an_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        for insecure in (True, False):
            found = asked(image(f"{place}/a:1", insecure=insecure), tmp_path=tmp_path)
            assert found == {f"{place}/a:1": ImageReply(0, 7, "Connection refused", plain=False)}
    (reply,) = asked(image("k8s-installer.invalid/a:1"), tmp_path=tmp_path).values()
    assert (reply.status, reply.curl) in {(0, 6), (0, 28)}


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "crt"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*make, "-subj", "/CN=r", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        place = f"127.0.0.1:{server.server_port}"
        (strict,) = asked(image(f"{place}/a:1"), tmp_path=tmp_path).values()
        (trusting,) = asked(image(f"{place}/a:none", insecure=True), tmp_path=tmp_path).values()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (strict.status, strict.curl) == (0, 60)
    assert trusting == ImageReply(404, 0, "", plain=False)


def test_an_image_that_docker_has_is_not_asked_for(tmp_path: Path) -> None:
    docker = 'test "$*" = "images -q k8s-installer.invalid/a:1" && echo 0123456789ab'
    assert asked(image("k8s-installer.invalid/a:1"), docker=docker, tmp_path=tmp_path) == {}
    assert asking(()) == ""


def test_the_labs_registry_has_its_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with serving(servers("127.0.0.1", tmp_path, registry(folder), (0, 0))) as (_, url):
        place = url.removeprefix("http://")
        found = asked(
            image(f"{place}/lab/pause:1", insecure=True),
            image(f"{place}/lab/pause:2", insecure=True),
            tmp_path=tmp_path,
        )
    assert [found[f"{place}/lab/pause:{tag}"].status for tag in (1, 2)] == [200, 404]


def judged(
    reply: ImageReply, *, key: str = "images.pause", bare: bool = True, others: tuple[str, ...] = ()
) -> list[Finding]:
    """Of a node that needs two images of a registry, and one that nothing was heard of."""
    one = dataclasses.replace(image(f"{REGISTRY}/pause:3.2", key=key), others=others)
    need = dataclasses.replace(NEEDS["n1"], images=(one, one, image("r.example.com/a:1")))
    return list(
        assess(THREE, NEEDS | {"n1": need}, {"n1": fit(need, bare=bare, images={one.reference: reply})}).findings
    )


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ImageReply(404, 0, "", plain=False), ("image", "error", f"{REGISTRY}/pause:3.2: 404, no such image or tag")),
        (ImageReply(0, 0, "", plain=True), ("registry-http", "error", f"{REGISTRY} answers HTTP instead of TLS")),
        (ImageReply(0, 7, "Connection refused", plain=False), ("registry", "error", f"{REGISTRY}: Connection refused")),
        (ImageReply(0, 7, "No route to host", plain=False), ("registry", "warning", f"{REGISTRY}: No route to host")),
        (ImageReply(0, 6, "Could not resolve", plain=False), ("registry", "warning", f"{REGISTRY}: its name cannot be resolved")),
        (ImageReply(0, 28, "after 3001 ms", plain=False), ("registry", "warning", f"{REGISTRY}: no answer in time")),
        (ImageReply(0, 60, "SSL", plain=False), ("registry", "warning", f"{REGISTRY}: its certificate is not trusted")),
        (ImageReply(503, 0, "", plain=False), ("registry", "warning", f"{REGISTRY}: it answers 503")),
    ],
)  # fmt: skip
def test_what_a_pull_would_fail_on(reply: ImageReply, expected: tuple[str, str, str]) -> None:
    (finding,) = judged(reply)
    assert (finding.id, str(finding.severity), finding.evidence) == expected
    assert finding.host == "n1"
    (installed,) = judged(reply, bare=False)
    assert str(installed.severity) == "warning"


@pytest.mark.parametrize("status", [200, 401, 403])
def test_an_image_that_is_there_or_needs_a_password_is_no_finding(status: int) -> None:
    assert judged(ImageReply(status, 0, "", plain=False)) == []


def test_the_fix_is_what_to_write_into_the_inventory() -> None:
    (plain,) = judged(ImageReply(0, 0, "", plain=True), others=("10.0.0.8:5000",))
    assert plain.fix.startswith(
        'host_settings: {docker: {insecure_registries: ["10.0.0.8:5000", "10.0.0.9:5000"]}}    (in the inventory'
    )
    (missing,) = judged(ImageReply(404, 0, "", plain=False), key="images.verify")
    assert (str(missing.severity), missing.fix.partition(" in ")[0]) == ("warning", "set images.verify")
    (away,) = judged(ImageReply(0, 28, "", plain=False))
    assert "images: {registry: HOST:PORT}" in away.fix
    (untrusted,) = judged(ImageReply(0, 60, "", plain=False))
    assert f"/etc/docker/certs.d/{REGISTRY}/ca.crt" in untrusted.fix


@pytest.mark.parametrize("line", ["image r/a", "image r/a 2x 0 ", "image r/a 200 -1 x"])
def test_an_answer_about_an_image_that_is_none_is_malformed(line: str) -> None:
    with pytest.raises(Malformed):
        parse(f"clock 1.0\n{line}\nend-of-preflight\n", 1.0)


def test_registries_take_no_time_that_yum_does_not() -> None:
    need = NEEDS["n1"]
    assert need.images
    assert seconds(need) == seconds(dataclasses.replace(need, images=()))
