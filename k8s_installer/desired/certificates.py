"""Which certificates a cluster's components have. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster, Host
from k8s_installer.pki.leaves import LOCAL, ROOTS, Leaf
from k8s_installer.profiles import CertificateSpec, Profile, has_own
from k8s_installer.render import Renderer


def leaves(cluster: Cluster, profile: Profile) -> dict[str, Leaf]:
    """The certificates of a cluster's components, by name; none if the cluster is insecure.

    Raises:
        InputError: two of them have the same name.
        TemplateError: a template in a certificate's names cannot be rendered.
    """
    if cluster.security == "insecure":
        return {}
    renderer = Renderer(sandboxed=has_own(cluster))
    result: dict[str, Leaf] = {}
    for path, component, certificate, host in _places(cluster, profile.fitting(cluster)):
        if path in result or f"{path}.key" in ROOTS:
            raise InputError(f"component {component}: there is already a certificate {certificate}")
        spec = profile.components[component].certificates[certificate]
        result[path] = _leaf(renderer, cluster, spec, host, where=f"{component} {profile.version}: {certificate}")
    return result


def _places(cluster: Cluster, profile: Profile) -> Iterator[tuple[str, str, str, Host | None]]:
    """The name of each certificate in the PKI, its component, its name there, and the host that alone has it."""
    parts = [
        (name, component.roles, certificate, spec.each_host)
        for name, component in profile.components.items()
        for certificate, spec in component.certificates.items()
    ]
    yield from ((certificate, name, certificate, None) for name, _, certificate, each_host in parts if not each_host)
    for host in cluster.hosts:
        for name, roles, certificate, each_host in parts:
            if each_host and roles & host.roles:
                yield f"{host.name}/{certificate}", name, certificate, host


def _leaf(renderer: Renderer, cluster: Cluster, spec: CertificateSpec, host: Host | None, *, where: str) -> Leaf:
    known = {"cluster": cluster} if host is None else {"cluster": cluster, "host": host}
    whom = cluster.name if host is None else host.name

    def text(template: str) -> str:
        return renderer.text(template, known, whom, where=where)

    own = () if host is None else (host.name, host.address, *LOCAL)
    names = dict.fromkeys(filter(None, (*own, *map(text, spec.names))))
    return Leaf(spec.ca, text(spec.user), spec.group, client=spec.client, names=tuple(names), rsa=spec.rsa)
