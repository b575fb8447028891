"""The texts of `explanations/`: what components and words mean, and what programs say of their flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from k8s_installer.errors import InputError
from k8s_installer.profiles.files import as_yaml, parsed

FOLDER = Path(__file__).parents[1] / "explanations"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Model):
    """What something is, in one line and in paragraphs, and how to look at it (a command)."""

    summary: str = Field(alias="is")
    text: tuple[str, ...] = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    look: str = ""


class ComponentText(Text):
    """The same of a component; `user` is whom its process runs as, `if_down` what happens without it."""

    user: str = ""
    if_down: str = ""


class Step(_Model):
    """A phase of kubeadm: what it does, and what takes its place here; both are looked up in the cluster."""

    kubeadm: str
    does: str
    here: str
    components: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class HelpTexts(_Model):
    """A line for each flag, by program; `source` says which help it is from, `version` whose.

    Without a source they are this project's words. Texts without a version count for all of them.
    """

    source: str
    version: str
    flags: Mapping[str, Mapping[str, str]]


class Help(NamedTuple):
    """What a program says of a flag, and where; `exact` is whether it is the text of the version that is explained."""

    text: str
    source: str
    exact: bool


class Texts(_Model):
    """All of them: components, concepts and lines by name, kubeadm's steps in their order."""

    components: Mapping[str, ComponentText]
    concepts: Mapping[str, Text]
    steps: tuple[Step, ...]
    lines: Mapping[str, Mapping[str, str]]
    helps: tuple[HelpTexts, ...]

    def help(self, program: str, flag: str, version: str) -> Help | None:
        """What a program says of a flag: of this version rather than of another; None where there is no text."""
        found = [one for one in self.helps if flag in one.flags.get(program, {})]
        found.sort(key=lambda one: one.version not in (version, ""))
        return (
            Help(found[0].flags[program][flag], found[0].source, found[0].version in (version, "")) if found else None
        )


def load(folder: Path = FOLDER) -> Texts:
    """Read all texts.

    Raises:
        InputError: a file is not as the schema has it.
    """
    data = {
        "components": parsed(folder / "components.yaml", as_yaml),
        "concepts": parsed(folder / "concepts.yaml", as_yaml),
        "steps": parsed(folder / "kubeadm.yaml", as_yaml).get("steps"),
        "lines": parsed(folder / "lines.yaml", as_yaml),
        "helps": [parsed(path, json.loads) for path in sorted((folder / "help").glob("*.json"))],
    }
    try:
        return Texts.model_validate(data)
    except ValidationError as error:
        words = (f"{folder}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError("\n".join(words)) from None
