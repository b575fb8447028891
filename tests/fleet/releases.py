"""Other releases of the lab's packages; Kubernetes also in another patch version: the same programs, which say so."""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from k8s_installer.lab import programs, state
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.rpms import build, payload
from tests.fleet.conftest import PROGRAMS, Cluster

CACHE = state.default_cache()  # the lab's own, whatever a test sets
OWN = programs.BUILT_VERSION
NEXT, MINOR = "1.20.3", "1.21.0"
RELEASES = ("0.lab.el7", "1.lab.el7")
COMMENT = "# of another release\n"
CONFIGURED = ("apiserver", "controller-manager", "scheduler", "config", "kubelet", "proxy")


def made() -> Mapping[str, Path]:
    """The lab's own programs."""
    found, _ = programs.programs(CACHE, OWN, Path(PROGRAMS) if PROGRAMS else None, lambda _: None)
    return found


def saying(folder: Path, version: str) -> Mapping[str, Path]:
    """The same programs, which say that they are of a version; it has as many letters as the lab's own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in made().items():
        (folder / name).write_bytes(path.read_bytes().replace(f"v{OWN}".encode(), f"v{version}".encode()))
        (folder / name).chmod(0o755)
    assert programs.version_of(folder / "kubelet") == version
    return {name: folder / name for name in made()}


def repository(folder: Path, version: str, releases: Mapping[str, Sequence[str]]) -> Path:
    """A yum repository of other releases of the lab's packages, of each spec file by its name.

    Those of Kubernetes are of this version, and their configuration files differ from the lab's in a comment.
    """
    files, repo = folder / "files", folder / "repo"
    shutil.copytree(data_folder() / "rpms", files)
    for name in CONFIGURED:
        with (files / "kubernetes/etc/kubernetes" / name).open("a") as config:
            config.write(COMMENT)
    repo.mkdir()
    of_programs = {name.replace("-", "_"): str(path) for name, path in saying(folder / "bin", version).items()}
    third_party = payload(CACHE, lambda _: None)
    macros = {"lab_files": str(files), "lab_payload": str(third_party), "kube_version": version, **of_programs}
    for name, wanted in releases.items():
        spec = files / f"{name}.spec"
        text = spec.read_text()
        for release in wanted:
            spec.write_text(text.replace(RELEASES[0], release))
            build(spec, repo, macros)
    subprocess.run(["createrepo_c", "--quiet", repo], check=True)
    shutil.rmtree(folder / "bin")
    return repo


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Say nothing."""


@contextmanager
def offered(cluster: Cluster, repo: Path) -> Iterator[None]:
    """Every host's yum finds the packages of a folder of this machine's, beside those of the lab."""
    own = f"{next(iter(cluster.addresses.values())).rpartition('.')[0]}.2"
    with ThreadingHTTPServer((own, 0), functools.partial(_Quiet, directory=repo)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = f"[next]\\nname=next\\nbaseurl=http://{own}:{server.server_port}/\\ngpgcheck=0\\n"
        for host in cluster.addresses:
            cluster.on(host, f"printf '{text}' >/etc/yum.repos.d/next.repo")
        try:
            yield
        finally:
            server.shutdown()
            for host in cluster.addresses:
                cluster.on(host, "rm /etc/yum.repos.d/next.repo")
