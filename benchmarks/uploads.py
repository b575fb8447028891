"""How fast a large file comes to a host, beside scp: `python -m benchmarks.uploads`.

Both from nothing to the end over the same loopback sshd, in turns. Ours ends when the file is in its place: looked at
here, sent, summed on the host, on its disk and renamed. scp ends when its last byte is written, and does none of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path

from k8s_installer.engine.remote import SshRemote
from k8s_installer.host.compression import Packer
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Missing, Ref, UploadedFile
from k8s_installer.transport import connect
from tests.contract.sshd import Sshd, serve

ROUNDS = 5
RANDOM_BYTES = 200_000_000
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")
ENOUGH = 0.7


def main() -> int:
    """Print a line for each kind of file; 1 where ours is slower than we say."""
    sftp = next((path for path in SFTP_SERVERS if Path(path).exists()), None)
    if sftp is None:
        sys.stderr.write("this needs sftp-server, which scp speaks to: apt-get install openssh-sftp-server\n")
        return 2
    with tempfile.TemporaryDirectory() as name, serve(Path(name) / "sshd", f"Subsystem sftp {sftp}") as server:
        folder = Path(name)
        noise = folder / "noise"
        with noise.open("wb") as file:
            for _ in range(RANDOM_BYTES // 1_000_000):
                file.write(os.urandom(1_000_000))
        program = _program()
        well = [
            _measured("random bytes", server, noise, slow=False),
            _measured(f"a program ({program.name})", server, program, slow=False),
        ]
        # what a slow network gets; here, both ends and gzip share two cores, and the network costs nothing
        _measured("the same, compressed (copy made before)", server, program, slow=True)
    return 0 if all(well) else 1


def _program() -> Path:
    """The largest of the lab's newest programs of Kubernetes, or Go's own."""
    folders = sorted(
        (user_cache_path("k8s-installer") / "artifacts").glob("programs-*"), key=lambda path: path.stat().st_mtime
    )
    if folders:
        return max(folders[-1].glob("kube*"), key=lambda path: path.stat().st_size)
    found = shutil.which("go") or sys.executable
    return Path(found).resolve()


def _measured(what: str, server: Sshd, source: Path, *, slow: bool) -> bool:
    """Time both in turns, and print what it comes to; whether ours is fast enough."""
    size = source.stat().st_size
    with source.open("rb") as file:
        wanted = UploadedFile(source, hashlib.file_digest(file, "sha256").hexdigest(), size, 0o755)
    cache = server.folder / "cache"
    if slow:
        Packer(cache).gzipped(wanted)
    targets = (server.folder / f"target-{number}" for number in range(2 * ROUNDS))
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(_seconds(lambda target: _scp(server, source, target), targets))
        ours.append(_seconds(lambda target: _upload(server, wanted, target, Packer(cache), slow=slow), targets))
    ratio = statistics.median(theirs) / statistics.median(ours)
    sys.stdout.write(
        f"{what}, {size / 1e6:.0f} MB: scp {_speed(size, theirs)}, ours {_speed(size, ours)}, "
        f"ratio of medians {ratio:.2f}\n"
    )
    sys.stdout.flush()
    return ratio >= ENOUGH


def _seconds(carry: Callable[[Path], None], targets: Iterator[Path]) -> float:
    target = next(targets)
    began = time.monotonic()
    carry(target)
    seconds = time.monotonic() - began
    target.unlink()
    return seconds


def _speed(size: int, seconds: list[float]) -> str:
    slowest, median, fastest = (size / 1e6 / one for one in (max(seconds), statistics.median(seconds), min(seconds)))
    return f"{median:.0f} MB/s ({slowest:.0f}-{fastest:.0f})"


def _scp(server: Sshd, source: Path, target: Path) -> None:
    options = ["-q", "-i", str(server.key), "-P", str(server.port), "-o", f"UserKnownHostsFile={server.known_hosts}"]
    options += ["-o", "IdentitiesOnly=yes", "-F", "/dev/null"]
    subprocess.run(["scp", *options, source, f"{server.user}@127.0.0.1:{target}"], check=True)


def _upload(server: Sshd, wanted: UploadedFile, target: Path, packer: Packer, *, slow: bool) -> None:
    transport = connect(server.host())
    try:
        host = SshRemote(transport, packer)
        host._slow = slow  # noqa: SLF001 - what a slow network would make of it
        ref = Ref("h1", Kind.FILE, str(target))
        change = Change(ref, Action.CREATE, "benchmark", Missing.ABSENT, wanted, "the benchmark")
        outcome = host.perform([(0, change)], lambda _: None)
    finally:
        transport.close()
    if outcome.failed is not None:
        raise RuntimeError(outcome.evidence)


if __name__ == "__main__":
    raise SystemExit(main())
