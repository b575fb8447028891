"""Programs built from Go modules: CoreDNS and flannel, which Debian 12 has no packages of.

`data/go/NAME/` says which module, and its go.sum what the archives must be. They come through the module proxy that
this machine's Go is configured with. The compiler is Debian's Go 1.19, as for Kubernetes; what is not imported is not
compiled.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab import debian
from k8s_installer.lab.artifacts import artifact, data_folder, digest_of, digest_of_files
from k8s_installer.lab.commands import Say, run
from k8s_installer.lab.programs import build_environment

_SUITE = "bookworm"
_GO = ("golang-1.19-go", "golang-1.19-src")
_FLANNEL = "github.com/flannel-io/flannel"
# The others are for clouds, whose libraries take longer to compile than all the rest, or need a C compiler.
_BACKENDS = ("hostgw", "vxlan")


def coredns(cache: Path, say: Say) -> Path:
    """Return the artefact's folder, which holds `coredns`, a static program.

    Raises:
        LabError: the modules cannot be fetched, or the compiler failed.
    """
    source = data_folder() / "go/coredns"

    def make(out: Path, _work: Path, env: dict[str, str]) -> None:
        _compile(source, out / "coredns", "", env)

    return _built(cache, "coredns", (), say, make)


def flannel(cache: Path, say: Say) -> Path:
    """Return the artefact's folder, which holds `flanneld`, a static program, and upstream's `mk-docker-opts.sh`.

    It is upstream's main package, with the backends `vxlan` and `host-gw` alone. Not one of before 0.21: those list the
    leases in etcd and watch from the next moment on, so that hosts that start together may miss each other's.

    Raises:
        LabError: the module cannot be fetched, is not as expected, or the compiler failed.
    """
    source = data_folder() / "go/flannel"

    def make(out: Path, work: Path, env: dict[str, str]) -> None:
        pinned, tree = work / "pinned", work / "source"
        shutil.copytree(source, pinned)
        version = required(pinned / "go.mod", _FLANNEL)
        told = run(["go", "mod", "download", "-json", f"{_FLANNEL}@{version}"], env=env, cwd=pinned)
        shutil.copytree(json.loads(told)["Dir"], tree)
        main = tree / "main.go"
        main.write_text(only_backends(main.read_text(encoding="utf-8"), _BACKENDS), encoding="utf-8")
        _compile(tree, out / "flanneld", f" -X {_FLANNEL}/pkg/version.Version={version}", env)
        shutil.copy(tree / "dist/mk-docker-opts.sh", out)

    return _built(cache, "flannel", _BACKENDS, say, make)


def _built(
    cache: Path, name: str, inputs: Sequence[str], say: Say, make: Callable[[Path, Path, dict[str, str]], None]
) -> Path:
    """Return an artefact that `make` fills, given its folder, a folder to work in, and an environment to build in."""
    words = ["1", *_GO, *inputs, digest_of_files(data_folder() / "go" / name)]  # the first changes with the recipe
    work = cache / "work" / f"{name}-{digest_of(words)}"  # outlives an interrupted build: Go's caches are in it

    def fill(out: Path) -> None:
        env = {**build_environment(_go(cache, say)), "GO111MODULE": "on", "GOFLAGS": "-mod=readonly -modcacherw"}
        env |= {"GOPATH": str(work / "go"), "GOCACHE": str(work / "gocache"), "GOPROXY": module_proxy(env["GOROOT"])}
        say(f"fetching the modules of {name} and compiling it (about two minutes on two cores)")
        for folder in ("pinned", "source"):
            shutil.rmtree(work / folder, ignore_errors=True)
        make(out, work, env)
        shutil.rmtree(work)

    return artifact(cache, name, words, fill)


def _go(cache: Path, say: Say) -> Path:
    """Return the artefact with Debian's Go, unpacked to `goroot/`."""

    def make(out: Path) -> None:
        say("fetching Go from Debian's packages")
        work = out / ".work"
        archive = debian.open_archive(work, [debian.Suite("deb", _SUITE)])
        for deb in archive.download(_GO, work / "debs"):
            debian.unpack(deb, out / "goroot")
        shutil.rmtree(work)

    return artifact(cache, "golang", ["1", _SUITE, *_GO], make)


def _compile(tree: Path, program: Path, variables: str, env: dict[str, str]) -> None:
    run(["go", "build", "-trimpath", "-ldflags", f"-s -w{variables}", "-o", program, "."], env=env, cwd=tree)


def required(go_mod: Path, module: str) -> str:
    """Return the version of a module that a go.mod requires.

    Raises:
        LabError: it requires none.
    """
    found = re.search(rf"^require {re.escape(module)} (\S+)$", go_mod.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LabError(f"{go_mod} does not require {module}")
    return found[1]


def only_backends(main: str, names: tuple[str, ...]) -> str:
    """Return flannel's main.go without the imports of all backends but these.

    Raises:
        LabError: it does not import one of them: upstream's file has changed.
    """
    line = re.compile(rf'^\t_ "{re.escape(_FLANNEL)}/pkg/backend/(\w+)"\n', re.MULTILINE)
    there = line.findall(main)
    if lost := [name for name in names if name not in there]:
        raise LabError(f"flannel's main.go imports no backend {', '.join(lost)}")
    return line.sub(lambda found: found[0] if found[1] in names else "", main)


def module_proxy(go_root: str) -> str:
    """Return where this machine gets Go modules from, as its own Go says, or where it has none, that of `go_root`.

    Raises:
        LabError: it does not say.
    """
    return run([shutil.which("go") or f"{go_root}/bin/go", "env", "GOPROXY"]).strip()
