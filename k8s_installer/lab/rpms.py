"""RPMs laid out as those of CentOS 7 extras, and the yum repository of them.

The spec files and the configuration files and units that they pack are in `data/rpms`; the programs are
Debian's (etcd, docker, containerd, runc) and those of `programs` and `gomodules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from k8s_installer.lab import debian
from k8s_installer.lab.artifacts import artifact, data_folder, digest_of_files
from k8s_installer.lab.commands import Say, run

TOOLS = ("rpm", "createrepo-c")
SPECS = ("kubernetes", "docker", "etcd", "flannel")
# etcd comes from bullseye: 3.3.25 behaves as CentOS 7's 3.3.11 does (see etcd.spec)
_PAYLOAD = (
    "etcd-server/bullseye",
    "etcd-client/bullseye",
    "docker.io/bookworm",
    "containerd/bookworm",
    "runc/bookworm",
    "tini/bookworm",
)


def payload(cache: Path, say: Say) -> Path:
    """Return the artefact with Debian's third-party programs, unpacked to `<package>/`.

    Raises:
        LabError: the mirror does not have them.
    """

    def make(out: Path) -> None:
        say("fetching etcd, docker, containerd and runc from Debian's packages")
        suites = [debian.Suite("deb", "bookworm"), debian.Suite("deb", "bullseye")]
        work = out / ".work"
        for deb in debian.open_archive(work, suites).download(_PAYLOAD, work / "debs"):
            debian.unpack(deb, out / deb.name.split("_")[0])
        run(["rm", "-r", work])

    return artifact(cache, "payload", ["1", *_PAYLOAD], make)


def repository(
    cache: Path,
    version: str,
    programs: Mapping[str, Path],
    contents: list[str],
    third_party: Path,
    flannel: Path,
    say: Say,
) -> Path:
    """Return the artefact that is the yum repository for one Kubernetes version.

    Args:
        cache: the user's cache folder of this project.
        version: what the Kubernetes packages say they are.
        programs: the file of each Kubernetes program.
        contents: the words that identify the programs' content.
        third_party: the folder that `payload` returned.
        flannel: the folder that `gomodules.flannel` returned.
        say: receives progress.

    Raises:
        LabError: rpmbuild or createrepo failed.
    """
    specs = data_folder() / "rpms"

    def make(out: Path) -> None:
        say(f"packing the RPMs of Kubernetes {version}, etcd, docker and flannel")
        macros = {
            "lab_files": str(specs),
            "lab_payload": str(third_party),
            "lab_flannel": str(flannel),
            "kube_version": version,
            **{name.replace("-", "_"): str(path) for name, path in programs.items()},
        }
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda name: build(specs / f"{name}.spec", out, macros), SPECS))
        run(["createrepo_c", "--quiet", out])

    inputs = ["1", version, third_party.name, flannel.name, *contents, digest_of_files(specs)]
    return artifact(cache, f"rpms-{version}", inputs, make)


def build(spec: Path, out: Path, macros: Mapping[str, str]) -> None:
    """Build the packages of one spec file into `out`.

    Raises:
        LabError: rpmbuild failed.
    """
    work = out / f".{spec.stem}"
    settings = {
        **macros,
        "_topdir": str(work),
        "_rpmdir": str(out),
        "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_build_id_links": "none",
        "__os_install_post": "%{nil}",  # the programs are stripped already
        "_binary_payload": "w1.gzdio",  # quick, and CentOS 7's rpm can read it
    }
    defines = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
    run(["rpmbuild", "--quiet", "-bb", *defines, spec])
    run(["rm", "-rf", work])
