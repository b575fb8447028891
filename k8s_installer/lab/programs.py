"""The Kubernetes programs: built from Debian's source package, or found in a folder of the user's.

Debian 12's `kubernetes` source package is the full upstream source of 1.20.2 (Debian's version number says
`1.20.5+really1.20.2`). Its Go is 1.19; a newer one refuses the vendored code, so Debian's is unpacked beside
the source rather than taken from this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.lab import debian
from k8s_installer.lab.artifacts import artifact, digest_of, digest_of_file
from k8s_installer.lab.commands import Say, run

BUILT_VERSION = "1.20.2"
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PROGRAMS = (*SERVERS, "kubectl")
TOOLS = ("dpkg-dev", "rsync", "make", "gcc", "libc6-dev")  # the source's generators want rsync
_SUITE = "bookworm"
_GO = ("golang-1.19-go", "golang-1.19-src")
# The source vendors reflect2 1.0.1, which iterates maps through a runtime function that Go 1.18 changed: the
# apiserver then crashes ("unexpected fault address") on the first object with labels that it sends as JSON.
# 1.0.2 follows the change.
_REFLECT2 = "golang-github-modern-go-reflect2-dev"
_VERSION_PACKAGES = ("component-base/version", "client-go/pkg/version")
_NO_VERSION = "0.0.0"


def programs(cache: Path, version: str, folder: Path | None, say: Say) -> tuple[dict[str, Path], list[str]]:
    """Return the file of each of `PROGRAMS`, and the words that identify their content.

    Args:
        cache: the user's cache folder of this project.
        version: the Kubernetes version wanted.
        folder: where the user's programs are, or None to build them.
        say: receives progress.

    Raises:
        InputError: `folder` lacks a program or holds another version; or nothing was given for a version
            that cannot be built here.
        LabError: the build failed.
    """
    if folder is None:
        if version != BUILT_VERSION:
            raise InputError(
                f"only Kubernetes {BUILT_VERSION} can be built here, not {version}",
                hint=f"--programs DIR packs the {version} programs in DIR",
            )
        made = build(cache, PROGRAMS, say)
        return {name: made / name for name in PROGRAMS}, [made.name]
    given = _given(folder, version)
    if "kubectl" not in given:
        given["kubectl"] = built_kubectl(cache, say)
    with ThreadPoolExecutor(max_workers=2) as pool:  # hashing releases the interpreter lock
        digests = pool.map(digest_of_file, given.values())
    return given, [f"{name}={digest}" for name, digest in zip(given, digests, strict=True)]


def _given(folder: Path, version: str) -> dict[str, Path]:
    missing = [name for name in SERVERS if not os.access(folder / name, os.X_OK)]
    if missing:
        raise InputError(f"{folder} has no program {', '.join(missing)}")
    found = version_of(folder / "kubelet")
    if found not in {version, _NO_VERSION}:  # a build without version flags says 0.0.0
        raise InputError(
            f"{folder}/kubelet is {found or 'no Kubernetes program'}, not {version}",
            hint=f"--version {found}" if found else "",
        )
    return {name: (folder / name).resolve() for name in PROGRAMS if os.access(folder / name, os.X_OK)}


def version_of(program: Path) -> str:
    """Ask a Kubernetes program for its version; empty when it does not answer like one."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"Kubernetes v(\d+\.\d+\.\d+)", answer.stdout)
    return found[1] if found else ""


def built_kubectl(cache: Path, say: Say) -> Path:
    """Return the lab's own kubectl, from a complete build if there is one."""
    complete = cache / "artifacts" / f"programs-{digest_of(_inputs(PROGRAMS))}"
    made = complete if complete.is_dir() else build(cache, ("kubectl",), say)
    return made / "kubectl"


def build(cache: Path, names: tuple[str, ...], say: Say) -> Path:
    """Return the artefact that holds `names`, built from source if need be (minutes).

    Raises:
        LabError: no source, or the compiler failed.
    """
    inputs = _inputs(names)
    work = cache / "work" / f"programs-{digest_of(inputs)}"  # outlives an interrupted build: Go's cache is in it

    def make(out: Path) -> None:
        env = _prepare(work, say)
        say(f"compiling {len(names)} Kubernetes {BUILT_VERSION} programs (about four minutes on two cores)")
        flags = "-s -w" + "".join(
            f" -X k8s.io/kubernetes/vendor/k8s.io/{package}.{key}={value}"
            for package in _VERSION_PACKAGES
            for key, value in {"gitVersion": f"v{BUILT_VERSION}", "gitMajor": "1", "gitMinor": "20"}.items()
        )
        targets = [f"./cmd/{name}" for name in names]
        run(["go", "build", "-trimpath", "-ldflags", flags, "-o", f"{out}/", *targets], env=env, cwd=_tree(work))
        shutil.rmtree(work)

    return artifact(cache, "programs", inputs, make)


def _inputs(names: tuple[str, ...]) -> list[str]:
    return ["2", BUILT_VERSION, _SUITE, *_GO, _REFLECT2, *names]  # the first word changes with the recipe


def _tree(work: Path) -> Path:
    return work / "go/src/k8s.io/kubernetes"


def _prepare(work: Path, say: Say) -> dict[str, str]:
    """Fetch Go and the source, generate what upstream generates; return the environment to build in."""
    tree = _tree(work)
    if not (work / "fetched").exists():
        say(f"fetching the source of Kubernetes {BUILT_VERSION} and Go")
        shutil.rmtree(tree, ignore_errors=True)
        archive = debian.open_archive(work / "apt", [debian.Suite("deb", _SUITE), debian.Suite("deb-src", _SUITE)])
        for deb in archive.download(_GO, work / "debs"):
            debian.unpack(deb, work / "goroot")
        dsc = archive.source("kubernetes", work / "source")
        tree.parent.mkdir(parents=True, exist_ok=True)
        run(["dpkg-source", "-x", dsc, tree])
        _replace_reflect2(archive, work, tree)
        (work / "fetched").touch()
    env = build_environment(work)
    if not (work / "generated").exists():
        say("generating code (about one minute)")
        # the generators are built as modules, the programs themselves in GOPATH
        run(["make", "generated_files", "GOFLAGS=-mod=vendor"], env={**env, "GO111MODULE": ""}, cwd=tree)
        (work / "generated").touch()
    return env


def _replace_reflect2(archive: debian.Archive, work: Path, tree: Path) -> None:
    unpacked = work / "reflect2"
    for deb in archive.download([_REFLECT2], work / "debs"):
        debian.unpack(deb, unpacked)
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    for old in (*vendored.glob("*.go"), *vendored.glob("*.s")):
        old.unlink()
    source = unpacked / "usr/share/gocode/src/github.com/modern-go/reflect2"
    for new in (*source.glob("*.go"), *source.glob("*.s")):
        shutil.copy(new, vendored)


def build_environment(work: Path) -> dict[str, str]:
    """Return an environment in which `go` is the unpacked one and nothing of the user's Go settings is left."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO"))}
    go_root = work / "goroot/usr/lib/go-1.19"
    return {
        **kept,
        "PATH": f"{go_root}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "GOROOT": str(go_root),
        "GOPATH": str(work / "go"),
        "GOCACHE": str(work / "gocache"),
        "GOENV": "off",
        "GOFLAGS": "",
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
    }
