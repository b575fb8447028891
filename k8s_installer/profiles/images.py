"""Which container images a cluster runs with: the version's own, from one registry, and the inventory's. Pure."""

from __future__ import annotations

import re

from k8s_installer.inventory import Cluster
from k8s_installer.profiles.schema import DnsSpec, Profile, Variant

UPSTREAM = "registry.k8s.io"  # has what was at gcr.io/google_containers and at k8s.gcr.io, by the same names

_VERSION = re.compile(r"v?(\d+(?:\.\d+)+)(?:[-_.].*)?")  # two numbers at least: `1` is nobody's version

Version = tuple[int, ...]


def pause(cluster: Cluster, profile: Profile) -> str:
    """The image that holds each pod's network."""
    return cluster.images.pause or _located(cluster, profile.pause_image)


def of_dns(cluster: Cluster, spec: DnsSpec) -> dict[str, str]:
    """The images of the cluster's DNS, by the names that the profile gives them."""
    return {name: cluster.images.dns.get(name) or _located(cluster, image) for name, image in spec.images.items()}


def version(reference: str) -> Version | None:
    """The version that an image's tag says, as in `coredns:v1.8.7-arm64`; None where it says none."""
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = _VERSION.fullmatch(tag)
    return numbers(found[1]) if found else None


def numbers(text: str) -> Version:
    """A version as it is compared: 1.10 is later than 1.9."""
    return tuple(map(int, text.split(".")))


def variant(cluster: Cluster, spec: DnsSpec) -> Variant | None:
    """What the manifest of the cluster's DNS is rendered with, by the version of its image.

    It is empty where one manifest is for all versions. None where neither the inventory nor the image's tag says a
    version, or there is nothing for one so old.
    """
    if not spec.variants:
        return {}
    said = cluster.images.dns_versions.get(spec.versioned)
    found = numbers(said) if said else version(of_dns(cluster, spec)[spec.versioned])
    fitting = [since for since in spec.variants if found is not None and numbers(since) <= found]
    return spec.variants[max(fitting, key=numbers)] if fitting else None


def _located(cluster: Cluster, image: str) -> str:
    """Where an image of the profile's is for this cluster: in the inventory's registry, by the same name."""
    registry, slash, name = image.partition("/")
    if not cluster.images.registry:
        return image
    if not slash or not (set(registry) & set(".:") or registry == "localhost"):
        name = image  # it says no registry
    return f"{cluster.images.registry}/{name}"
