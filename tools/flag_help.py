"""A line for each flag of programs, as their own `--help` has it, as JSON.

    python -m tools.flag_help "--help of 1.20.2" 1.20.2 DIR/kube-apiserver DIR/kubelet ... \
        >k8s_installer/explanations/help/1.20.2.json

The programs are the lab's (`~/.cache/k8s-installer/artifacts`). Of each text the first sentence is kept, without the
default and without what says that the flag is deprecated: the lists of flags have both. A program that is not
Kubernetes' own has the version "". `NAME=PROGRAM` is the program under another name (docker=.../dockerd).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_FLAG = re.compile(r"^\s*(?:-\w, )?--?([a-z][\w-]*)(.*)$")
_ASIDE = re.compile(r"\((?:default|DEPRECATED)\b[^()]*(?:\([^()]*\)[^()]*)*\)|^DEPRECATED: ")
_SENTENCE = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.:](?= [A-Z\"'-]|$)|(?<=\.)\s*$")
_LONGEST = 220  # characters


def main() -> None:
    """Print the lines of the programs that the arguments name."""
    source, version, *programs = sys.argv[1:]
    flags: dict[str, dict[str, str]] = {}
    for given in programs:
        name, _, path = given.rpartition("=")
        flags[name or Path(path).name] = asked(path)
    json.dump({"source": source, "version": version, "flags": flags}, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def asked(program: str | Path) -> dict[str, str]:
    """What a program says of each of its flags."""
    run = subprocess.run([program, "--help"], check=False, capture_output=True, text=True, timeout=60)
    return dict(sorted(_lines(run.stdout + run.stderr)))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The flags of a help, each with its first sentence: what stands beside it, and on the lines below it."""
    name, said = "", list[str]()
    for line in [*text.splitlines(), "--end"]:
        found = _FLAG.match(line)
        if found is None:
            if line.strip() and not line.rstrip().endswith("flags:"):
                said.append(line.strip())
            else:
                yield from _first(name, said)
                name, said = "", []
            continue
        yield from _first(name, said)
        beside = re.split(r"\s{2,}|\t", found[2].strip(), maxsplit=1) if found[2].startswith(" ") else [found[2], ""]
        bare = found[2].startswith("   ")  # a flag without a type
        name, said = found[1], [found[2].strip()] if bare else beside[1:]


def _first(name: str, said: list[str]) -> Iterator[tuple[str, str]]:
    text = " ".join(_ASIDE.sub("", " ".join(said)).split())
    sentence = _SENTENCE.split(text, maxsplit=1)[0].strip(" .,:;")
    if name and sentence and name != "help":
        yield name, sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST].rsplit(' ', 1)[0]} ..."


if __name__ == "__main__":
    main()
