"""What registries answered to a node about the images that it will pull, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from k8s_installer.preflight.checks import CheckedHost
from k8s_installer.preflight.images import REFUSED, VERIFY
from k8s_installer.preflight.model import Finding, ImageReply, WantedImage

_WORDS = 200  # characters of what curl said
_NOT_FOUND = 404
_KNOWN = frozenset({200, 401, 403})  # it has the image, or tells nobody without a password
_NO_NAME, _TIMED_OUT = 6, 28  # curl's
_UNTRUSTED = frozenset({51, 60})
_REACH = (
    "let the host reach {registry}; or set images: {{registry: HOST:PORT}} in the inventory to a mirror; or install"
    " from a bundle (docs/offline.md)"
)
_TRUST = (
    "put its CA's certificate into /etc/docker/certs.d/{registry}/ca.crt on the host; or add it to insecure_registries"
    " in host_settings.docker"
)


def troubles(host: CheckedHost) -> Iterator[Finding]:
    """Each registry or image that a pull would fail on, once."""
    found = [
        _trouble(host, image, host.answers.images[image.reference])
        for image in host.needs.images
        if image.reference in host.answers.images
    ]
    yield from dict.fromkeys(finding for finding in found if finding is not None)


def _trouble(host: CheckedHost, image: WantedImage, reply: ImageReply) -> Finding | None:
    if reply.plain:
        registries = ", ".join(f'"{one}"' for one in dict.fromkeys([*image.others, image.registry]))
        said = f"{image.registry} answers HTTP instead of TLS"
        return host.short("registry-http", said, error=True, registries=registries)
    if reply.status == _NOT_FOUND:
        # without the image of `verify` the cluster works
        said = f"{image.reference}: 404, no such image or tag"
        return host.short("image", said, error=image.key != VERIFY, key=image.key)
    if reply.status in _KNOWN and not reply.curl:
        return None
    how = (_TRUST if reply.curl in _UNTRUSTED else _REACH).format(registry=image.registry)
    return host.short("registry", f"{image.registry}: {_why(reply)}", error=reply.words == REFUSED, how=how)


def _why(reply: ImageReply) -> str:
    if reply.curl == _NO_NAME:
        return "its name cannot be resolved"
    if reply.curl == _TIMED_OUT:
        return "no answer in time"
    if reply.curl in _UNTRUSTED:
        return "its certificate is not trusted"
    return reply.words[:_WORDS] or f"it answers {reply.status}"
