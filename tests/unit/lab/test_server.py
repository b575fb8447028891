"""The registry, asked over loopback as docker asks."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.lab import images, server
from k8s_installer.lab.server import servers


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[tuple[int, int]]:
    packages, pictures = tmp_path / "packages", tmp_path / "images"
    (packages / "repodata").mkdir(parents=True)
    (packages / "repodata/repomd.xml").write_text("<repomd/>")
    (tmp_path / "secret").write_text("secret")
    layer = images._layer({"pause": b"program"}, {"bin/sh": "busybox"}, ("bin", "tmp"))
    images.add_image(pictures, "lab/pause:1", layer, {"Entrypoint": ["/pause"]})
    started = servers("127.0.0.1", packages, pictures, (0, 0))
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in started]
    for thread in threads:
        thread.start()
    yield started[0].server_port, started[1].server_port
    for one, thread in zip(started, threads, strict=True):
        one.shutdown()
        thread.join()
        one.server_close()


def get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_the_registry_says_that_it_is_one(addresses: tuple[int, int]) -> None:
    status, headers, _ = get(addresses[1], "/v2/")
    assert (status, headers["docker-distribution-api-version"]) == (200, "registry/2.0")


def test_an_image_can_be_pulled_from_tag_to_layer(addresses: tuple[int, int]) -> None:
    status, headers, body = get(addresses[1], "/v2/lab/pause/manifests/1")
    assert (status, headers["content-type"]) == (200, "application/vnd.docker.distribution.manifest.v2+json")
    assert headers["docker-content-digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert get(addresses[1], f"/v2/lab/pause/manifests/{headers['docker-content-digest']}")[2] == body
    manifest = json.loads(body)
    parts = {}
    for part in (manifest["config"], *manifest["layers"]):
        _, _, data = get(addresses[1], f"/v2/lab/pause/blobs/{part['digest']}")
        assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (part["size"], part["digest"])
        parts[part["mediaType"].rpartition(".")[2]] = data
    config, tar = json.loads(parts["v1+json"]), gzip.decompress(parts["gzip"])
    assert config["config"] == {"Entrypoint": ["/pause"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(tar)) as layer:
        assert layer.getnames() == ["bin", "tmp", "pause", "bin/sh"]
        assert layer.getmember("tmp").mode == 0o1777


def test_head_answers_without_a_body(addresses: tuple[int, int]) -> None:
    status, headers, body = get(addresses[1], "/v2/lab/pause/manifests/1", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/lab/other/manifests/1",
        "/v2/lab/pause/manifests/2",
        "/v2/lab/pause/blobs/sha256:00",
        "/v2/../secret/manifests/1",
        "/v2/lab/pause/blobs/..",
        "/v2/lab/pause/manifests/..%2f..",
    ],
)
def test_what_is_not_there_is_not_found(addresses: tuple[int, int], path: str) -> None:
    assert get(addresses[1], path)[0] == 404


def test_the_repository_is_served_beside_it(addresses: tuple[int, int]) -> None:
    assert get(addresses[0], "/repodata/repomd.xml")[2] == b"<repomd/>"
    assert get(addresses[0], "/../secret")[0] == 404


def test_the_same_files_make_the_same_layer() -> None:
    assert images._layer({"a": b"1"}) == images._layer({"a": b"1"})


def test_the_program_ends_after_its_servers_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    class Brief:
        def serve_forever(self) -> None:
            time.sleep(0.1)
            ended.append(1)

    monkeypatch.setattr(server, "servers", lambda *_: [Brief(), Brief()])
    monkeypatch.setattr(sys, "argv", ["server", "--address", "127.0.0.1", "--packages", ".", "--images", "."])
    server.main()
    assert len(ended) == 2
