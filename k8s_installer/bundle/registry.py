"""A client of the registry API v2, as far as pulling an image goes: a token, the manifest, the blobs.

Every manifest that a digest names, and every blob, is compared with its digest; blobs are kept by it, and resumed
where they broke off. Registries that ask for a password are none of ours: `docker save` and `--from` serve those.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.parse
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from k8s_installer.bundle.images import Image, Layer, full
from k8s_installer.bundle.store import HINT, OnBytes, Store, nothing, opened
from k8s_installer.errors import InputError, InstallerError

_LISTS = ("application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json")
_MANIFESTS = ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json")
_ACCEPT = ", ".join((*_MANIFESTS, *_LISTS))
_LARGEST = 16 << 20  # of a manifest or a token
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(slots=True)
class Registry:
    """Where images come from.

    `default` is the host for names that say none. `insecure` hosts are asked without TLS, as are this machine and
    a default that begins with http://.
    """

    store: Store
    default: str = ""
    insecure: Collection[str] = ()
    _tokens: dict[str, str] = field(default_factory=dict)

    def pull(self, reference: str, on_bytes: OnBytes = nothing) -> Image:
        """An image for linux/amd64, its layers kept in the store.

        Raises:
            InputError: the reference does not say where the image is.
            InstallerError: it cannot be had.
        """
        host, name, tag = self._parts(full(reference))
        manifest = self._manifest(host, name, tag)
        if manifest.get("mediaType") in _LISTS or "manifests" in manifest:
            fitting = [
                item["digest"]
                for item in manifest["manifests"]
                if (item.get("platform", {}).get("os"), item.get("platform", {}).get("architecture"))
                == ("linux", "amd64")
            ]
            if not fitting:
                raise InstallerError(f"{reference} does not exist for linux/amd64", hint="use another image or tag")
            manifest = self._manifest(host, name, fitting[0])
        if "config" not in manifest or "layers" not in manifest:
            raise InstallerError(
                f"{reference}: the registry has it only in the format from before docker 1.10",
                hint="pull it with docker, docker save it, and give the file with --from",
            )
        layers = [self._blob(host, name, layer, on_bytes) for layer in manifest["layers"]]
        with self._blob(host, name, manifest["config"], nothing).open() as config:
            return Image(config.read(), layers)

    def _parts(self, reference: str) -> tuple[str, str, str]:
        path, _, tag = reference.rpartition(":")
        first, slash, rest = path.partition("/")
        if slash and (set(".:") & set(first) or first == "localhost"):
            return first, rest, tag
        if not self.default:
            raise InputError(
                f"{reference} has no registry in its name",
                hint="use --registry HOST for names without one, or save the image to a file (docker save) "
                "and use --from DIR",
            )
        return self.default.removeprefix("http://").removeprefix("https://").rstrip("/"), path, tag

    def _manifest(self, host: str, name: str, reference: str) -> dict[str, Any]:
        data = self._get(host, name, f"manifests/{reference}")
        came = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if reference.startswith("sha256:") and came != reference:
            raise InstallerError(
                f"{host}/{name}: the manifest {reference[:19]}... is another: {came[:19]}...", hint=HINT
            )
        try:
            found: dict[str, Any] = json.loads(data)
        except ValueError:
            raise InstallerError(f"{host}/{name}:{reference}: the answer is not a manifest", hint=HINT) from None
        return found

    def _blob(self, host: str, name: str, described: dict[str, Any], on_bytes: OnBytes) -> Layer:
        algorithm, _, digest = described["digest"].partition(":")
        if algorithm != "sha256":
            raise InstallerError(f"{host}/{name}: a blob has a {algorithm} digest: only sha256 is supported")
        path = self.store.fetch(
            self._url(host, name, f"blobs/{described['digest']}"),
            (algorithm, digest),
            headers=self._headers(host, name),
            on_bytes=on_bytes,
            limit=described["size"],
        )
        return Layer(digest, described["size"], lambda: path.open("rb"))

    def _get(self, host: str, name: str, what: str) -> bytes:
        url = self._url(host, name, what)
        try:
            try:
                with opened(url, self._headers(host, name)) as answer:
                    return answer.read(_LARGEST)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != http.client.UNAUTHORIZED or f"{host}/{name}" in self._tokens:
                        raise InstallerError(_refused(host, name, what, error.code), hint=_HINT) from None
                    challenge = error.headers.get("WWW-Authenticate", "")
            self._tokens[f"{host}/{name}"] = self._token(host, name, challenge)
            return self._get(host, name, what)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise InstallerError(f"cannot ask {host} for {name}: {reason}", hint=HINT) from None

    def _token(self, host: str, name: str, challenge: str) -> str:
        """A token that lets anybody pull, from where the registry says."""
        scheme, _, rest = challenge.partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or not said.get("realm", "").startswith(("https://", "http://")):
            raise InstallerError(f"{host} requires a password for {name}", hint=_HINT)
        query = {"service": said.get("service", ""), "scope": said.get("scope") or f"repository:{name}:pull"}
        try:
            with opened(f"{said['realm']}?{urllib.parse.urlencode(query)}", {}) as answer:
                data = json.loads(answer.read(_LARGEST))
            return str(data.get("token") or data["access_token"])
        except (ValueError, KeyError, urllib.error.HTTPError):
            raise InstallerError(f"{host} gives no anonymous token for {name}", hint=_HINT) from None

    def _headers(self, host: str, name: str) -> dict[str, str]:
        token = self._tokens.get(f"{host}/{name}")
        return {"Accept": _ACCEPT, **({"Authorization": f"Bearer {token}"} if token else {})}

    def _url(self, host: str, name: str, what: str) -> str:
        plain = host in self.insecure or self.default == f"http://{host}" or host.startswith(("127.", "localhost"))
        return f"{'http' if plain else 'https'}://{host}/v2/{name}/{what}"


_HINT = "check the name. If the image needs a password, pull it with docker, docker save it, and use --from DIR"


def _refused(host: str, name: str, what: str, code: int) -> str:
    return f"{host} has no {name} {what.removeprefix('manifests/')} for anonymous users: it answers {code}"
