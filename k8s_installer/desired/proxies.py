"""What hosts reach without their proxy: the inventory's own hosts, networks, registries and repositories. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from urllib.parse import urlsplit

from k8s_installer.inventory import Host, Images, Proxy

_LOCAL = ("localhost", "127.0.0.1")
_NAMED = 64  # hosts that a list names one by one; of more it has their networks, so that it stays short
_AROUND = 24  # the length of those networks


def inside(hosts: Sequence[Host], networks: Iterable[IPv4Network], images: Images) -> tuple[str, ...]:
    """Hosts, networks and registries of a cluster, as a NO_PROXY has them."""
    own = [*map(str, networks), *_of_images(images)]
    if len(hosts) <= _NAMED:
        return (*(host.address for host in hosts), *(host.name for host in hosts), *own)
    around = {IPv4Network((host.address, _AROUND), strict=False) for host in hosts}
    return (*map(str, collapse_addresses(around)), *own)


def bypass(host: Host, cluster_own: Iterable[str]) -> tuple[str, ...]:
    """What docker of a host reaches without the host's proxy; empty without one.

    Args:
        host: the host.
        cluster_own: what `inside` says of its cluster.
    """
    if host.settings.proxy is None:
        return ()
    return tuple(dict.fromkeys([*_LOCAL, *host.settings.proxy.bypass, *_registries(host), *cluster_own]))


def lies_in(url: str, proxy: Proxy) -> bool:
    """Whether an address is one that a proxy's `no_proxy` names: as a name, a domain, an address or a network."""
    name = urlsplit(url).hostname or ""
    return any(_matches(name, place.lower()) for place in proxy.bypass)


def _registries(host: Host) -> Iterator[str]:
    """Registries that are certainly inside: without TLS, or by a private address. A mirror may well be outside."""
    tuning = host.tuning.get("docker")
    for flag in ("insecure-registry", "registry-mirror"):
        said = tuning.args.get(flag) if tuning else None
        for value in said if isinstance(said, tuple) else [said]:
            text = str(value or "")
            if "/" in text and "://" not in text:
                yield text  # a network
                continue
            parts = urlsplit(text if "://" in text else f"//{text}")
            name = parts.hostname or ""
            if name and (flag == "insecure-registry" or parts.scheme == "http" or _private(name)):
                yield name


def _of_images(images: Images) -> Iterator[str]:
    """Registries that images come from, if certainly inside: by a private address, or on a port of their own."""
    for image in (images.registry, images.pause, images.verify, *images.dns.values()):
        first, slash, _ = image.partition("/")
        name, _, port = first.partition(":")
        if (slash or image is images.registry) and (port or _private(name)):
            yield name


def _private(name: str) -> bool:
    try:
        return IPv4Address(name).is_private
    except ValueError:
        return False


def _matches(name: str, place: str) -> bool:
    if "/" in place:
        try:
            return IPv4Address(name) in IPv4Network(place, strict=False)
        except ValueError:
            return False
    domain = place.rpartition(":")[0] or place
    bare = domain.lstrip("*").lstrip(".")
    return place == "*" or name == bare or name.endswith(f".{bare}")
