"""The policy of 1.5.2 against the requests that its programs make, and against those that they must not make.

`allows` judges as 1.5.2 does: its pkg/auth/authorizer/abac over the attributes that pkg/apiserver/request finds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from k8s_installer import profiles
from k8s_installer.desired import desire
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster, placeholder

REQUESTS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("abac-1.5.2.yaml").read_text())
READS = ("get", "list", "watch")
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def policy() -> bytes:
    """The policy file of a cluster of 1.5.2."""
    lab = cluster("1.5.2")
    wanted = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    file = wanted[Ref("m1", Kind.FILE, "/etc/kubernetes/abac.jsonl")].resource
    assert isinstance(file, File)
    return file.content


def policies(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line)["spec"] for line in text.splitlines() if not line.startswith(b"#")]


@dataclass(frozen=True)
class Request:
    """What an authorizer knows of a request; `resource` is empty where the path is none of the API's objects."""

    verb: str
    path: str
    group: str = ""
    namespace: str = ""
    resource: str = ""

    @classmethod
    def of(cls, text: str) -> Request:
        method, url = text.split()
        path = urlsplit(url).path
        verb, parts = VERBS[method], path.strip("/").split("/")
        prefix = {"api": 2, "apis": 3}.get(parts[0], len(parts))
        if len(parts) <= prefix:
            return cls(verb, path)
        group, rest = parts[1] if parts[0] == "apis" else "", parts[prefix:]
        if rest[0] == "watch":
            verb, rest = "watch", rest[1:]
        namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 1 else ""
        if namespace and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
        if len(rest) == 1:
            verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        return cls(verb, path, group, namespace, rest[0])


def allows(spec: dict[str, Any], user: str, groups: Sequence[str], request: Request) -> bool:
    """Whether one policy lets this user make this request."""
    if not {"user", "group"} & spec.keys():
        return False
    if spec.get("user", user) not in ("*", user) or ("group" in spec and spec["group"] not in ("*", *groups)):
        return False
    if spec.get("readonly", False) and request.verb not in READS:
        return False
    if not request.resource:
        path = spec.get("nonResourcePath", "")
        return path == request.path or (path.endswith("*") and request.path.startswith(path.rstrip("*")))
    asked = {"namespace": request.namespace, "resource": request.resource, "apiGroup": request.group}
    return all(spec.get(key, "") in ("*", value) for key, value in asked.items())


@pytest.mark.parametrize("who", REQUESTS)
def test_the_policy_allows_what_a_program_needs_and_refuses_the_rest(who: str) -> None:
    asked, lines = REQUESTS[who], policies(policy())
    allowed = {
        text: any(allows(line, asked["user"], asked["groups"], Request.of(text)) for line in lines)
        for kind in ("needs", "beyond", "refused")
        for text in asked[kind]
    }
    expected = {text: kind != "refused" for kind in ("needs", "beyond", "refused") for text in asked[kind]}
    assert allowed == expected


def test_no_line_of_the_policy_is_without_use() -> None:
    lines = policies(policy())
    for line in lines:
        uses = [
            text
            for asked in REQUESTS.values()
            for text in asked["needs"]
            if allows(line, asked["user"], asked["groups"], Request.of(text))
        ]
        assert uses, line


def test_only_administrators_may_do_everything() -> None:
    everything = {"namespace": "*", "resource": "*", "apiGroup": "*", "nonResourcePath": "*"}
    assert [line for line in policies(policy()) if line.items() >= everything.items()] == [
        {"group": "system:masters", **everything}
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /api/v1/nodes/n1/proxy/pods", ("get", "", "", "nodes")),
        ("GET /api/v1/watch/pods", ("watch", "", "", "pods")),
        ("DELETE /api/v1/namespaces/a/pods", ("deletecollection", "", "a", "pods")),
        ("PUT /api/v1/namespaces/a/finalize", ("update", "", "a", "namespaces")),
        ("POST /apis/batch/v1/namespaces/a/jobs", ("create", "batch", "a", "jobs")),
        ("GET /apis/batch/v1", ("get", "", "", "")),
    ],
)
def test_a_request_is_read_as_the_apiserver_reads_it(text: str, expected: tuple[str, ...]) -> None:
    request = Request.of(text)
    assert (request.verb, request.group, request.namespace, request.resource) == expected
