"""The YAML parser of Kubernetes 1.5 to 1.9 itself, built from its module, over everything that is rendered."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.old_yaml import findings
from tests.unit.test_old_yaml import files

SOURCE = Path(__file__).parent / "oldyaml"
ENVIRONMENT = dict(os.environ)  # of whoever runs the tests: where Go's modules come from is said in the home folder
REFUSED = ("roleRef: {name: system:coredns}\n", "a: [x, y:z]\n", "a:\n\tb: 1\n")


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go on this machine to build the parser with")
    program = tmp_path_factory.mktemp("parser") / "parser"
    done = subprocess.run(
        [go, "build", "-o", program, "."], cwd=SOURCE, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def said(parser: Path, *paths: Path) -> list[str]:
    done = subprocess.run([parser, *paths], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_it_refuses_what_our_own_rules_find(parser: Path, tmp_path: Path) -> None:
    for number, text in enumerate(REFUSED):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert len(said(parser, path)) == 1
        if "\t" not in text:  # which PyYAML refuses, too
            assert findings(text)


def test_it_takes_every_file_of_every_golden_case(parser: Path) -> None:
    assert said(parser, *files()) == []
