"""What pages show of files, as those files are now; and the parts that each symptom of docs/troubleshooting.md has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s_installer.desired.agreements import AGREEMENTS
from k8s_installer.flows import resolve
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Kind
from k8s_installer.preflight import CHECKS
from k8s_installer.verify import lifecycle, running

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs/how-a-cluster-works.md"
_QUOTED = re.compile(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Desired:
    """What the page's example wants."""
    inventory = tmp_path_factory.mktemp("example") / "cluster.yaml"
    text = (REPO / "inventories/quick-start.yaml").read_text(encoding="utf-8")
    inventory.write_text(text.replace("  security: tls\n", "  security: tls\n  dns: coredns\n"), encoding="utf-8")
    return resolve.resolve(inventory, None, None).desired


@pytest.fixture(scope="module")
def files(example: Desired) -> dict[str, str]:
    """The files of the example, by HOST:PATH, and the templates, by their paths."""
    rendered = {
        f"{ref.host}:{ref.name}": item.resource.content.decode()
        for ref, item in example.items()
        if isinstance(item.resource, File)
    }
    paths = (REPO / "templates").rglob("*.j2")
    return rendered | {str(path.relative_to(REPO)): path.read_text(encoding="utf-8") for path in paths}


def test_what_the_page_quotes_is_in_the_files(files: dict[str, str]) -> None:
    quoted = _QUOTED.findall(PAGE.read_text(encoding="utf-8"))
    assert [name for name, text in quoted if _words(text) not in _words(files[name])] == []
    shown = {name.partition(":")[2].rpartition("/")[2] for name, _ in quoted}
    assert shown >= {"etcd.conf", "apiserver", "controller-manager", "scheduler", "docker-network", "kubelet", "proxy"}


def _words(text: str) -> str:
    """A text without its line breaks, which are where the page has room for them."""
    return " ".join(text.split())


# What a symptom's section has, in this order; the message says where it was seen, so that nobody takes a guess for one.
_PARTS = (
    "```text\n", "```\n", r"(Seen|Reported)\b", r"\*\*Cause\.\*\* \S", r"\*\*See it\.\*\*", "```console\n", r"\*\*Fix\.\*\* \S",
    r"\*\*Found by\*\* \S",
)  # fmt: skip
_SYMPTOMS = REPO / "docs/troubleshooting.md"


def _sections() -> dict[str, str]:
    parts = re.split(r"^### (.*)$", _SYMPTOMS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {heading: text.partition("\n## ")[0] for heading, text in zip(parts[::2], parts[1::2], strict=True)}


SECTIONS = _sections()


def test_there_are_thirty_symptoms_and_the_index_has_each() -> None:
    assert len(SECTIONS) >= 30
    index = re.findall(r"\]\(#([^)]+)\)", _SYMPTOMS.read_text(encoding="utf-8").partition("\n### ")[0])
    assert sorted(index) == sorted(_anchor(heading) for heading in SECTIONS)


def _anchor(heading: str) -> str:
    """What MkDocs, and GitHub, make of it in an address."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()))


def test_a_symptom_has_its_message_cause_command_and_fix() -> None:
    whole = re.compile(".*?".join(_PARTS), re.DOTALL)
    assert [heading for heading, text in SECTIONS.items() if not whole.search(text)] == []


def test_commands_of_symptoms_are_shell() -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", _SYMPTOMS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    assert [line for line in lines if not line.startswith("$ ")] == []
    script = "\n".join(line.removeprefix("$ ") for line in lines)
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_finds_a_symptom_exists(example: Desired) -> None:
    found = "\n".join(text.partition("**Found by**")[2] for text in SECTIONS.values())
    named = {word: _after(word, found) for word in ("preflight", "validate", "gate", "gates", "verify`:")}
    assert all(named.values())
    assert named["preflight"] <= {*CHECKS}
    assert named["validate"] <= {*AGREEMENTS}
    gates = {ref.name for ref in example if ref.kind is Kind.GATE}
    assert named["gate"] | named["gates"] <= gates
    assert named["verify`:"] <= {lifecycle.REACH, lifecycle.ACROSS, running.NAME}


def _after(word: str, text: str) -> set[str]:
    """What stands in backticks after a word, also several with commas and `and` between them."""
    lists = re.findall(rf"\b{word} ((?:`[^`]+`(?:, | and )?)+)", text)
    return {name for names in lists for name in re.findall(r"`([^`]+)`", names)}


_SETTING = re.compile(r"`((?:cluster|components|dns|host_settings|images|network|repos|security): [^`]+)`")
_NOT_WHOLE = re.compile(r"\.\.\.|URL|FILE")  # an ellipsis, or a placeholder
_REFERENCE = "inventory.md"
_OF_CLUSTER = frozenset({"dns", "network", "security"})


def _settings() -> list[str]:
    """What sentences show of an inventory, as in `host_settings: {time: chrony}`; the reference is generated."""
    pages = [path for path in (REPO / "docs").glob("*.md") if path.name != _REFERENCE]
    texts = [path.read_text(encoding="utf-8") for path in pages]
    found = {setting for text in texts for setting in _SETTING.findall(text)}
    return sorted(setting for setting in found if not _NOT_WHOLE.search(setting))


def test_settings_that_sentences_show_are_valid(tmp_path: Path) -> None:
    settings = _settings()
    assert len(settings) > 20
    path = tmp_path / "cluster.yaml"
    for setting in settings:
        # PyYAML takes `off` for false, the inventory's own reader does not
        ((key, value),) = yaml.safe_load(setting.replace(": off", ": 'off'")).items()
        inventory = yaml.safe_load((REPO / "inventories/quick-start.yaml").read_text(encoding="utf-8"))
        inventory["cluster"]["version"] = "1.5.2" if setting == "security: insecure" else "1.20.2"
        if key in _OF_CLUSTER:
            inventory["cluster"][key] = value
        elif key == "cluster":
            inventory["cluster"] |= value
        else:
            inventory[key] = value
        path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
        resolve.resolve(path, None, None)
