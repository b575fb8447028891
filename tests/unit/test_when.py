from __future__ import annotations

import pytest
from pydantic import ValidationError

from k8s_installer.inventory import Role
from k8s_installer.profiles.schema import Component
from k8s_installer.profiles.when import Facts, When, holds

FACTS = Facts("routes", "tls", "packages", frozenset({Role.NODE}), frozenset({"ipvs"}))


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        ({}, True),
        ({"network": "routes", "security": "tls", "programs": "packages", "roles": ["node"], "setting": "ipvs"}, True),
        ({"network": "flannel"}, False),
        ({"security": "insecure"}, False),
        ({"programs": "tarball"}, False),
        ({"roles": ["master", "etcd"]}, False),
        ({"roles": ["master", "node"]}, True),
        ({"setting": "limit_nofile"}, False),
        ({"network": "routes", "roles": ["master"]}, False),
    ],
)
def test_a_condition_holds_if_all_that_it_names_does(condition: dict[str, object], *, held: bool) -> None:
    assert holds(When.model_validate(condition), FACTS) is held


def test_facts_without_a_host_are_those_of_one_that_has_every_role_and_setting() -> None:
    facts = Facts("routes", "tls", "packages")
    assert holds(When(roles=frozenset({Role.ETCD}), setting="cgroup_driver"), facts)


@pytest.mark.parametrize("condition", [{"setting": "ipvs"}, {"roles": ["node"]}])
def test_a_component_depends_on_the_cluster_alone(condition: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="may depend only on the cluster: network, security and programs"):
        Component.model_validate({"why": "It is an example.", "roles": ["node"], "when": condition})
