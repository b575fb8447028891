"""`python -m benchmarks`: the command line."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import alone, environment, lab, loopback, many, report
from benchmarks.measure import REPOSITORY, BenchmarkError
from benchmarks.settings import Settings
from benchmarks.targets import judged

# Of the tables where there is no terminal.
_WIDTH = 120
_EXAMPLES = """\
examples:
  python -m benchmarks                                       everything: an hour, of which Ansible takes most
  python -m benchmarks --rounds 1 --hosts 10 --many 0 --bootstrap 0   a look: ten minutes
  python -m benchmarks --no-peers --bootstrap 0              us against the floor alone
  python -m benchmarks --hosts '' --many 0 --bootstrap 0     what needs no host
  python -m benchmarks --hosts '' --many 0 --bootstrap 1     the lab's hosts, real to their systemd
  python -m benchmarks.many                                  thousands of hosts alone: ten minutes

The rows on loopback hosts need root, openssh-server, and the lab's base image, which is made the first time.
"""


def main() -> None:
    """Parse, measure, print, save."""
    options = _parser().parse_args()
    console, progress = Console(width=None if sys.stdout.isatty() else _WIDTH), Console(stderr=True, soft_wrap=True)
    try:
        _bench(options, console, progress)
    except BenchmarkError as error:
        progress.print(f"benchmarks: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        progress.print("stopped; nothing was saved")
        sys.exit(130)


def _bench(options: argparse.Namespace, console: Console, progress: Console) -> None:
    about: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": environment.machine(),
    }
    tools = environment.tools()
    environment.compiled()
    about["versions"] = environment.versions(tools)
    settings = Settings(
        hosts=options.hosts, rounds=options.rounds, tools=tools if options.peers else None,
        peers_up_to=options.peers_up_to, peer_rounds=options.peer_rounds,
        large_ansible_rounds=options.large_ansible_rounds,
        pyinfra_parallel=options.pyinfra_parallel, ansible_forks=options.ansible_forks, pure=options.pure,
        pure_rounds=options.pure_rounds, say=lambda words: progress.print(f"… {words}", markup=False),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        figures = loopback.measure(settings)
        if options.many:
            sizes = (many.FEW, options.many)
            about["many"] = many.data(found for size in sizes for found in many.measure(size, settings.say))
        far = loopback.far_away(settings) if options.hosts else []
        settings.say("what needs no host")
        figures += alone.commands(folder, settings.rounds)
        figures += alone.pure(folder, settings.pure, settings.pure_rounds)
        on_lab = lab.bootstrap(options.bootstrap, settings) if options.bootstrap else []
    found = report.Report(figures, far, on_lab, judged(figures), about)
    report.show(found, console)
    report.save(found, options.json)
    if options.hosts:
        report.plot(tools, options.json, options.svg)
    progress.print(f"saved: {options.json}" + (f", {options.svg}" if options.hosts else ""), markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures k8s-installer beside bare SSH, pyinfra and Ansible: the same work, in turn.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--hosts",
        type=_sizes,
        default=(10, 50, 100, 200),
        metavar="N,...",
        help="loopback hosts: 10,50,100,200; '' for none",
    )
    add("--many", type=int, default=many.HOSTS, metavar="N", help="hosts of the run over thousands (5000); 0 for none")
    add("--rounds", type=_count, default=5, metavar="N", help="rounds of the floor and our own rows (5)")
    add("--no-peers", dest="peers", action="store_false", help="leave pyinfra and Ansible out")
    add("--peers-up-to", type=_count, default=50, metavar="N", help="the most hosts for pyinfra and Ansible (50)")
    add("--peer-rounds", type=_count, default=5, metavar="N", help="their rounds (5)")
    add("--large-ansible-rounds", type=int, default=1, metavar="N", help="Ansible's rounds on more hosts (1)")
    add("--pyinfra-parallel", type=_count, default=50, metavar="N", help="pyinfra's --parallel (50)")
    add("--ansible-forks", type=_count, default=20, metavar="N", help="Ansible's forks (20)")
    add(
        "--pure", type=_sizes, default=(100, 1000, 5000), metavar="N,...", help="hosts of the pure part (100,1000,5000)"
    )
    add("--pure-rounds", type=_count, default=3, metavar="N", help="rounds of the pure part (3)")
    add("--bootstrap", type=int, default=3, metavar="N", help="bootstraps of a fresh lab, whose last is measured (3)")
    docs = REPOSITORY / "docs"
    add("--json", type=Path, default=docs / "benchmarks.json", metavar="FILE", help="where the figures go")
    add("--svg", type=Path, default=docs / "benchmarks.svg", metavar="FILE", help="where the picture goes")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give a number from 1")
    return number


def _sizes(text: str) -> Sequence[int]:
    return tuple(sorted({_count(word) for word in text.split(",") if word.strip()}))


if __name__ == "__main__":
    main()
