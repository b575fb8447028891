"""The README's table of versions, sources, networks and security modes, and how each combination is known to work.

`python -m tests.matrix` writes it again. *not supported* is what validation refuses, *golden* what has a golden case,
*run on the lab* what a fleet test declares by `@pytest.mark.runs(...)`, which fails where its cluster is another one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from k8s_installer import inventory, profiles
from k8s_installer.desired.check import check
from k8s_installer.errors import InventoryError
from tests.golden.cases import CASES
from tests.unit.clusters import cluster

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- written by python -m tests.matrix -->\n", "<!-- end of the matrix -->"
VERSIONS = ("1.5.2", "1.9.4", "1.20.2")
SOURCES = ("packages", "tarball", "bundle")
NETWORKS = ("routes", "flannel", "none")
SECURITY = ("tls", "insecure")
RUN, GOLDEN, REFUSED = "run on the lab", "golden", "not supported"


class Combination(NamedTuple):
    """One cell."""

    version: str
    source: str
    network: str
    security: str


def of_inventory(path: Path) -> Combination:
    """The combination that an inventory file asks for."""
    found = inventory.load(path)
    source = profiles.profile_of(found).source(found) if found.bundle is None else "bundle"
    return Combination(found.version, source, found.network, found.security)


def supported(cell: Combination) -> bool:
    """Whether the validation of every command lets a combination pass."""
    try:
        programs, more = ("", "repos: bundle\n") if cell.source == "bundle" else (cell.source, "")
        asked = cluster(cell.version, cell.security, "all-in-one", network=cell.network, programs=programs, more=more)
        return not check(asked, profiles.profile_of(asked))
    except InventoryError:
        return False


def golden() -> set[Combination]:
    """The combinations of the golden cases."""
    found = set()
    for version, security, programs, _, *network in CASES:
        source = programs or profiles.load(version).programs[0]
        found.add(Combination(version, source, "".join(network) or "routes", security))
    return found


def run() -> set[Combination]:
    """What the fleet tests declare."""
    folder = Path(__file__).parent / "fleet"
    modules = [importlib.import_module(f"tests.fleet.{path.stem}") for path in sorted(folder.glob("test_*.py"))]
    marks = [mark for module in modules for test in vars(module).values() for mark in getattr(test, "pytestmark", ())]
    return {Combination(**mark.kwargs) for mark in marks if mark.name == "runs"}


def cells() -> dict[Combination, str]:
    """Every combination with what is known of it; a supported one that nothing covers has an empty word."""
    of_golden, of_fleet = golden(), run()
    words: dict[Combination, str] = {}
    for cell in map(Combination._make, product(VERSIONS, SOURCES, NETWORKS, SECURITY)):
        covered = RUN if cell in of_fleet else GOLDEN if cell in of_golden else ""
        words[cell] = covered if supported(cell) else REFUSED
    return words


def table(words: dict[Combination, str]) -> str:
    """The table in Markdown, a row for each version and source."""
    columns = list(product(NETWORKS, SECURITY))
    rows = [_row(["", *(f"`{network}`, `{security}`" for network, security in columns)])]
    rows.append(_row(["---"] * (len(columns) + 1)))
    for version, source in product(VERSIONS, SOURCES):
        found = (words[Combination(version, source, *column)] for column in columns)
        rows.append(_row([f"{version}, {source}", *found]))
    return "".join(rows)


def replaced(text: str, made: str) -> str:
    """A text with the table between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + made + end + after


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(), table(cells())))
