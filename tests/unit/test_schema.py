"""The JSON Schemas: complete, correct for what real files hold, and in agreement with the models that read these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError

from k8s_installer.flows.schema import DRAFT, SCHEMAS, Json
from k8s_installer.inventory import hostsettings, parse, repos, source
from k8s_installer.inventory import schema as models
from k8s_installer.inventory.schema import InventoryModel
from k8s_installer.profiles import available, files
from tests.golden.cases import MORE
from tests.unit.agreeing import validator
from tests.unit.clusters import MODES, TOPOLOGIES, cluster

REPO = Path(__file__).parents[2]
SUBJECTS = [*SCHEMAS]
GOOD = """\
cluster: {name: lab, version: "1.20.2"}
hosts:
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]}
"""


def keys(schema: Json) -> Iterator[tuple[str, Json]]:
    """Every key of a file by its place, with its shape."""
    for place, shape in [("", schema), *schema["$defs"].items()]:
        for name, below in shape.get("properties", {}).items():
            yield f"{place}.{name}", below


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_schema_is_one_of_the_draft_and_refers_to_nothing_else(subject: str) -> None:
    made = SCHEMAS[subject]()
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == DRAFT
    named = {shape["$ref"] for shape in _all(made) if "$ref" in shape}
    assert named == {f"#/$defs/{name}" for name in made["$defs"]}
    assert not any(shape.get("title") for shape in _all({**made, "title": ""}))


def _all(node: object) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _all(below)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_key_has_a_description_and_an_example_that_is_valid(subject: str) -> None:
    made = SCHEMAS[subject]()
    found = [*keys(made)]
    assert len(found) > 60
    for place, shape in found:
        said = shape if "description" in shape else made["$defs"][shape["$ref"].removeprefix("#/$defs/")]
        assert said["description"].endswith("."), place
        assert shape["examples"], place
        for example in shape["examples"]:
            errors = Draft202012Validator({**shape, "$defs": made["$defs"]}).iter_errors(
                json.loads(json.dumps(example))
            )
            assert [error.message for error in errors] == [], place


def test_the_models_accept_the_examples_as_well() -> None:
    found = [
        (name, field)
        for module in (models, hostsettings, repos)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
        if field.examples
    ]
    assert len(found) > 80
    for name, field in found:
        whole: Any = Annotated[(field.annotation, None, *field.metadata)]
        for example in field.examples or []:
            assert TypeAdapter(whole).validate_python(example) is not None, name


@pytest.mark.parametrize("path", sorted((REPO / "inventories").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_of_inventories_are_valid_and_name_the_schema(path: Path) -> None:
    text = path.read_text()
    parse(text, path)
    assert [*validator().iter_errors(source.read(text, "")[0])] == []
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve() == REPO / "docs/schema/inventory.json"


@pytest.mark.parametrize(("version", "security"), MODES)
@pytest.mark.parametrize("topology", [*TOPOLOGIES])
def test_the_inventories_of_golden_files_are_valid(version: str, security: str, topology: str) -> None:
    for network in ("routes", "flannel", "none"):
        said = cluster(version, security, topology, network=network, more=MORE).origin.said
        assert [*validator().iter_errors(said)] == []


@pytest.mark.parametrize("version", available())
def test_packaged_profiles_are_valid(version: str) -> None:
    said = json.loads(json.dumps(yaml.safe_load((files.PROFILES / f"{version}.yaml").read_text())))
    assert [error.message for error in Draft202012Validator(SCHEMAS["profile"]()).iter_errors(said)] == []


@pytest.mark.parametrize("path", sorted(files.COMPONENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_packaged_components_are_valid(path: Path) -> None:
    said = yaml.safe_load(path.read_text())
    assert [error.message for error in Draft202012Validator(SCHEMAS["component"]()).iter_errors(said)] == []


@pytest.mark.parametrize(
    ("subject", "wrong"),
    [
        ("component", {"why": "x"}),
        ("component", {"why": "x", "roles": ["nod"]}),
        ("component", {"why": "x", "roles": ["node"], "gates": {"it answers": {"check": "ok"}}}),
        ("component", {"why": "x", "roles": ["node"], "files": {"/a": {"why": "x", "mode": 640}}}),
        ("component", {"why": "x", "roles": ["node"], "colour": 1}),
        ("profile", {"version": "1.20.2"}),
        ("profile", {"components": {"etcd": None}}),
        ("profile", {"components": {"etcd": {"files": {"/a": {"colour": 1}}}}}),
    ],
)
def test_a_wrong_profile_or_component_is_refused(subject: str, wrong: Json) -> None:
    base = {}
    if subject == "profile":
        base = yaml.safe_load((files.PROFILES / "1.20.2.yaml").read_text())
        if "components" not in wrong:
            base = {}
    assert [*Draft202012Validator(SCHEMAS[subject]()).iter_errors({**base, **wrong})] != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: lab", "name: Lab_1"),
        ('"1.20.2"', "1.20"),
        ("cluster: {", "cluster: {netwrk: routes, "),
        ("cluster: {", "cluster: {network: flanel, "),
        ("cluster: {", "cluster: {pod_cidr: 10.244.0.0.0/16, "),
        ("cluster: {", "cluster: {pod_cidr: 10.244.0.0/33, "),
        ("cluster: {", "cluster: {dns_domain: a..b, "),
        ("cluster: {", "cluster: {api_endpoint: api.example.com, "),
        ("cluster: {", "cluster: {drain: maybe, "),
        ("cluster: {", "cluster: {drain_timeout: -1, "),
        ("cluster: {", "cluster: {drain_timeout: 86401, "),
        ("cluster: {", "cluster: {tarball: {url: 'ftp://x/y', sha256: '" + "0" * 64 + "'}, "),
        ("cluster: {", "cluster: {tarball: {sha256: abc}, "),
        ("cluster: {", "cluster: {tarball: {path: a.tar.gz}, "),
        ("10.77.0.21", "10.77.0.256"),
        ("10.77.0.21", "10.77"),
        ("[node]", "[]"),
        ("[node]", "[nod]"),
        ("n1: {", "N_1: {"),
        ("n1: {", "n1: {state: gone, "),
        ("n1: {", "n1: {labels: {a/b/c: d}, "),
        ("n1: {", "n1: {labels: {a: 'b c'}, "),
        ("n1: {", "n1: {labels: {a: true}, "),
        ("n1: {", "n1: {taints: [a=b], "),
        ("n1: {", "n1: {ssh: {port: 70000}, "),
        ("n1: {", "n1: {ssh: {user: 'a b'}, "),
        ("n1: {", "n1: {components: {kubelet: {args: {--v: 1}}}, "),
        ("n1: {", "n1: {components: {kubelet: {args: {v: {a: 1}}}}, "),
        ("n1: {", "n1: {components: {kubelet: {args: {v: 'a b'}}}, "),
        ("n1: {", "n1: {components: {kubelet: {deadline: 0}}, "),
        ("hosts:", "repos: vaul\nhosts:"),
        ("hosts:", "repos: {mirror: centos}\nhosts:"),
        ("hosts:", "repos: {vault: 'http://a', mirror: 'http://b'}\nhosts:"),
        ("hosts:", "repos: {bundle: a, sha256: b}\nhosts:"),
        ("hosts:", "images: {pause: 'Pause'}\nhosts:"),
        ("hosts:", "images: {dns: {coredns: {version: '1.8'}}}\nhosts:"),
        ("hosts:", "images: {dns: {coredns: {image: a, version: latest}}}\nhosts:"),
        ("hosts:", "packages: {etcd: 3.3}\nhosts:"),
        ("hosts:", "host_settings: {proxy: {http: proxy}}\nhosts:"),
        ("hosts:", "host_settings: {proxy: {https: 'http://a:1'}}\nhosts:"),
        ("hosts:", "host_settings: {docker: {registry_mirrors: ['https://a/b']}}\nhosts:"),
        ("hosts:", "host_settings: {docker: {log: {max_size: 10}}}\nhosts:"),
        ("hosts:", "host_settings: {etcd_backups: {schedule: monthly}}\nhosts:"),
        ("hosts:", "host_settings: {etcd_backups: {keep: 3}}\nhosts:"),
        ("hosts:", "host_settings: {limit_nofile: 12}\nhosts:"),
        ("hosts:", "colour: red\nhosts:"),
        ("hosts:", "hosts_:"),
    ],
)
def test_what_is_wrong_is_wrong_for_the_models_and_for_the_schema(old: str, new: str) -> None:
    assert [*validator().iter_errors(source.read(GOOD, "")[0])] == []
    said, _ = source.read(GOOD.replace(old, new, 1), "")
    with pytest.raises(ValidationError):
        InventoryModel.model_validate(said)
    assert [*validator().iter_errors(said)] != []


def test_names_of_packaged_components_are_offered() -> None:
    offered = SCHEMAS["inventory"]()["properties"]["components"]
    assert (
        {"etcd", "kubelet", "docker"} <= {*offered["properties"]} <= {path.stem for path in files.COMPONENTS.iterdir()}
    )
    assert offered["properties"]["etcd"]["description"]
    assert offered["additionalProperties"]["$ref"] == offered["properties"]["etcd"]["$ref"]


def test_the_published_schema_is_what_the_command_prints() -> None:
    published = (REPO / "docs/schema/inventory.json").read_text()
    assert json.loads(published) == SCHEMAS["inventory"](), "make reference"
