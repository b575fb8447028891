"""Conditions of components, files and gates, and the one place where they are judged. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from k8s_installer.inventory import Role

Network = Literal["routes", "flannel", "none"]
Security = Literal["tls", "insecure"]
Programs = Literal["packages", "tarball"]  # where the server programs come from
Setting = Literal["limit_nofile", "cgroup_driver", "etcd_folders", "ipvs"]  # what `Host.conditions` may have


class When(BaseModel):
    """A condition: all of its parts must hold, and a part that is left out always does.

    All but `roles` and `setting` are the same for all hosts of a cluster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    network: Network | None = Field(default=None, description="The cluster's network.", examples=["routes"])
    security: Security | None = Field(default=None, description="The cluster's security.", examples=["tls"])
    programs: Programs | None = Field(
        default=None, description="Where the server programs come from.", examples=["tarball"]
    )
    roles: frozenset[Role] = Field(
        default=frozenset(Role), description="Roles of the host: one of them is enough.", examples=[["node"]]
    )
    setting: Setting | None = Field(
        default=None, description="What the inventory sets for the host.", examples=["limit_nofile"]
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions are judged by. Without `roles` and `settings` it is a host that has all of them."""

    network: str
    security: str
    programs: str
    roles: frozenset[Role] = frozenset(Role)
    settings: frozenset[str] = frozenset(get_args(Setting))


def holds(when: When, facts: Facts) -> bool:
    """Whether a condition holds."""
    return (
        when.network in (None, facts.network)
        and when.security in (None, facts.security)
        and when.programs in (None, facts.programs)
        and bool(when.roles & facts.roles)
        and (when.setting is None or when.setting in facts.settings)
    )
