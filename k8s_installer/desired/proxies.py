"""What hosts reach without their proxy: the inventory's own hosts, networks, registries and repositories. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

from k8s_installer.inventory import Host, Images, Proxy
from k8s_installer.profiles import Profile

_LOCAL = ("localhost", "127.0.0.1")
_NAMED = 64  # hosts that a list has by name, too; of more it has the addresses alone, so that it stays short
_USUAL_PORTS = ("", "80", "443")
# Top-level domains that no public registry is in.
_PRIVATE_DOMAINS = frozenset({"corp", "home", "internal", "intranet", "lan", "local", "localdomain", "private"})


def inside(hosts: Sequence[Host], networks: Iterable[IPv4Network], images: Images) -> tuple[str, ...]:
    """Hosts, networks and registries of a cluster, as a NO_PROXY has them.

    CentOS 7's docker is built with Go 1.10, whose net/http compares names and addresses and reads no networks (Go 1.11
    is the first that does): every host has its address there. The networks are for a newer docker.
    """
    names = [host.name for host in hosts] if len(hosts) <= _NAMED else []
    return (*(host.address for host in hosts), *names, *map(str, networks), *_of_images(images))


def bypass(host: Host, profile: Profile, cluster_own: Iterable[str]) -> tuple[str, ...]:
    """What a host's runtime reaches without the host's proxy; empty without one.

    Args:
        host: the host.
        profile: knows the flags.
        cluster_own: what `inside` says of its cluster.
    """
    if host.settings.proxy is None:
        return ()
    return tuple(dict.fromkeys([*_LOCAL, *host.settings.proxy.bypass, *_internal(host, profile), *cluster_own]))


def registries(host: Host, profile: Profile, kind: str) -> Iterator[str]:
    """What the inventory says in a host's flags of a type: `registry` (without TLS) or `mirror`."""
    for component, tuning in host.tuning.items():
        known = profile.known_flags.get(component, {})
        for flag, value in tuning.args.items():
            if flag in known and known[flag].type == kind:
                yield from (str(one) for one in (value if isinstance(value, tuple) else (value,)) if one)


def lies_in(url: str, proxy: Proxy) -> bool:
    """Whether an address is one that a proxy's `no_proxy` names: as a name, a domain, an address or a network."""
    name = urlsplit(url).hostname or ""
    return any(_matches(name, place.lower()) for place in proxy.bypass)


def _internal(host: Host, profile: Profile) -> Iterator[str]:
    """Registries and mirrors that are inside; behind a proxy that decrypts, public ones are without TLS, too."""
    for one in (*registries(host, profile, "registry"), *registries(host, profile, "mirror")):
        scheme, _, place = one.rpartition("://")
        if "/" in place and not scheme:
            yield place  # a network
        elif _is_inside(place.rstrip("/")):
            yield place.rstrip("/").partition(":")[0]


def _of_images(images: Images) -> Iterator[str]:
    """Registries that images come from and that are inside."""
    for image in (images.registry, images.pause, images.verify, *images.dns.values()):
        place, slash, _ = image.partition("/")
        if (slash or image is images.registry) and _is_inside(place, bare=image is images.registry):
            yield place.partition(":")[0]


def _is_inside(place: str, *, bare: bool = True) -> bool:
    """Whether a registry is certainly inside: by an address, a name or a port that no public one has.

    `bare` is whether a word without a dot can be a host: in an image's name it is a folder of docker.io.
    """
    name, _, port = place.partition(":")
    domain = name.rpartition(".")[2].lower()
    return bool(name) and (
        port not in _USUAL_PORTS
        or _private(name)
        or (domain in _PRIVATE_DOMAINS and "." in name)
        or (bare and "." not in name)
    )


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
