"""The real programs of 1.20.2, etcd and docker, asked what they say of a flag or of a file; nothing is left running."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s_installer import profiles
from k8s_installer.desired.flags import variables
from k8s_installer.desired.values import wrong
from k8s_installer.inventory import ArgValue
from k8s_installer.lab import debian
from k8s_installer.lab.artifacts import artifact
from k8s_installer.lab.state import default_cache
from k8s_installer.profiles.flags import Flag

ARTIFACTS = default_cache() / "artifacts"
EVERY = bool(os.environ.get("EVERY_FLAG"))
PROFILE = profiles.load("1.20.2")
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PLACES = {
    **{name: f"programs-*/{name}" for name in SERVERS},
    "etcd": "payload-*/etcd-server/usr/bin/etcd",
    "docker": "payload-*/docker.io/usr/sbin/dockerd",
}
FOUND = {name: next(iter(sorted(ARTIFACTS.glob(place))), None) for name, place in PLACES.items()}
needs_programs = pytest.mark.skipif(None in FOUND.values(), reason=f"the lab's programs are not in {ARTIFACTS}")

# Flags with which a program ends after it has looked at all others, and what it says then.
ENDS = {
    "kube-apiserver": ((), (
        "Error: [--etcd-servers must be specified, service-account-issuer is a required flag,"
        " --service-account-signing-key-file and --service-account-issuer are required flags]")),
    "kube-controller-manager": (("--kubeconfig=/nonexistent",), "stat /nonexistent: no such file"),
    "kube-scheduler": (("--kubeconfig=/nonexistent",), "stat /nonexistent: no such file"),
    "kubelet": (("--exit-on-lock-contention",), "no lock file specified"),
    "kube-proxy": (("--write-config-to=/nonexistent/config",), "open /nonexistent/config: no such file"),
}  # fmt: skip
BOOKWORM = ("etcd-server/bookworm", "etcd-client/bookworm")  # 3.4
Case = tuple[str, str, ArgValue]  # a program, its flag, a value


def bookworm_etcd() -> Path:
    """Where etcd and etcdctl 3.4 are, the first version that has learners.

    Raises:
        LabError: they cannot be fetched.
    """

    def make(out: Path) -> None:
        work = out / ".work"
        archive = debian.open_archive(work, [debian.Suite("deb", "bookworm")])
        for deb in archive.download(BOOKWORM, work / "debs"):
            debian.unpack(deb, out)
        shutil.rmtree(work)

    return artifact(default_cache(), "etcd", list(BOOKWORM), make) / "usr/bin"


@functools.cache
def reads(name: str, words: tuple[str, ...]) -> bool:
    """Whether a program takes its flags: each prints its version after it has read them all."""
    argv = [str(FOUND[name]), *words, "--version"]
    return subprocess.run(argv, capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL).returncode == 0


def ends_well(name: str, folder: Path, words: tuple[str, ...]) -> bool:
    """Whether a program that cannot run has nothing to say but that; and none of its file's keys is unknown to it."""
    more, usual = ENDS[name]
    own = {
        "kube-scheduler": (
            "--port=0",
            "--secure-port=0",
            f"--cert-dir={folder}",
        ),  # others of these tests run beside it
        "kubelet": (f"--root-dir={folder}", f"--cert-dir={folder}"),
        "kube-proxy": (),
    }
    argv = [str(FOUND[name]), *own.get(name, (f"--cert-dir={folder}",)), *words, *more]
    done = subprocess.run(
        argv, capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL, encoding="utf-8", errors="replace"
    )
    said = done.stdout + done.stderr
    return usual in said and "lenient decoding" not in said


def words_of(name: str, flag: str, value: ArgValue) -> tuple[str, ...]:
    """The flag as it reaches the program, through its file and its unit."""
    assert value is not None
    made = variables(PROFILE.components[name], {flag: value}, PROFILE.known_flags[name])
    words = [word for words in made.values() for word in words]
    if name == "etcd":
        pairs = [word.removeprefix("ETCD_").partition("=") for word in words]
        words = [f"--{key.lower().replace('_', '-')}={text[1:-1]}" for key, _, text in pairs]
    return tuple(words)


def limited(spec: Flag) -> bool:
    """Whether more is known of a flag than its type."""
    return bool(spec.one_of or spec.keys) or {spec.min, spec.max, spec.above} != {None}


def differing(cases: Sequence[Case], accepts: Callable[[str, tuple[str, ...]], bool]) -> list[str]:
    """Where validation and the program do not say the same."""

    def ask(case: Case) -> str:
        name, flag, value = case
        spec = PROFILE.known_flags[name][flag]
        ours, theirs = not list(wrong(spec, value)), accepts(name, words_of(name, flag, value))
        return "" if ours == theirs else f"{name} --{flag} ({spec.type}) {value!r}: we {ours}, the program {theirs}"

    with ThreadPoolExecutor(max_workers=4) as pool:
        return [answer for answer in pool.map(ask, cases) if answer]
