"""What one host's files hold, component by component. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from k8s_installer.desired.context import Context, by_address, header, of_cluster
from k8s_installer.desired.flags import Render, config, effective, variables
from k8s_installer.desired.leftovers import leaves
from k8s_installer.inventory import Cluster, Host, Tuning
from k8s_installer.inventory.allocations import Settled
from k8s_installer.model.resources import File, Leaves, UploadedFile
from k8s_installer.pki import Pki
from k8s_installer.profiles import FileSpec, Profile
from k8s_installer.profiles.pieces import FlagValue
from k8s_installer.render import Renderer

_UNTUNED = Tuning({}, {})
_RECORD = "# Written by k8s-installer: what was given out in this cluster. Hosts keep it, see docs/networks.md.\n"
SIGNS = "ca.key"  # with which a controller-manager signs what the cluster's API is asked for


class _Placeholders(dict[str, UploadedFile]):
    """For each program one that is none: to show what is wanted without having its tarball."""

    def __missing__(self, name: str) -> UploadedFile:
        return UploadedFile(Path(name), f"<{name}>", 0, 0o755)


PLACEHOLDERS: Mapping[str, UploadedFile] = _Placeholders()


@dataclass(frozen=True, slots=True)
class Source:
    """All that files are made from.

    What is the same on several hosts is made once: `shared` remembers files that all have, by path; `texts` the texts
    of a profile's templates; and `left` what components leave, by component and the folders that its flags name.
    `names` are the hosts' names and addresses, as /etc/hosts is to have them, and `record` is what is allocated, as
    masters keep it.
    """

    cluster: Cluster
    profile: Profile
    pki: Pki
    renderer: Renderer
    programs: Mapping[str, UploadedFile]
    context: Context
    names: str
    record: File
    shared: dict[str, File] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    left: dict[tuple[object, ...], Leaves | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settled: Settled, profile: Profile, pki: Pki, renderer: Renderer, programs: Mapping[str, UploadedFile]
    ) -> Source:
        """A source with nothing rendered yet."""
        cluster, record = settled.cluster, File((_RECORD + settled.allocations.text()).encode())
        context = of_cluster(cluster, profile, signs=_signs(pki))
        return cls(cluster, profile, pki, renderer, programs, context, _names(cluster), record)

    def text(self, template: str, context: Context, host: str, *, where: str) -> str:
        """The text of a template that stands in the profile, rendered once where it names nothing of a host's own."""
        if template in self.texts:
            return self.texts[template]
        text = self.renderer.text(template, context, host, where=where)
        if self.renderer.names(template) <= self.context.keys():
            self.texts[template] = text
        return text

    def shared_text(self, where: str) -> Callable[[str], str]:
        """What renders templates of the profile that know what is the same for all hosts."""
        return lambda template: self.text(template, self.context, self.cluster.name, where=where)


def _signs(pki: Pki) -> bool:
    """Whether controller-managers can sign with the CA's key.

    One that signs takes a file with a single certificate, and ends where there is a chain ("expected 1 certificate,
    found 2"; Kubernetes 1.20.2, pkg/controller/certificates/signer/ca_provider.go).
    """
    return SIGNS not in pki.absent and pki.files.get("ca.crt", b"").count(b"-----BEGIN CERTIFICATE-----") <= 1


def _names(cluster: Cluster) -> str:
    return ",".join(
        f"{host.address}={host.name}" for host in by_address(cluster.hosts)
    )  # a value of the setting hosts-file


def files(
    source: Source,
    name: str,
    specs: Mapping[str, FileSpec],
    host: Host,
    context: Context,
    said: Mapping[str, FlagValue],
) -> dict[str, File]:
    """The files of one component on one host, by path, as `specs` describe them; `said` are its flags there.

    Raises:
        TemplateError: a template cannot be rendered; it names template, line and host.
    """
    own = {**context, **_tuned(source, name, host, context, said)}
    result: dict[str, File] = {}
    for path, spec in specs.items():
        if not spec.shared:
            result[path] = _file(source, path, spec, own, host.name, host.name)
            continue
        if path not in source.shared:
            everyone = f"every host of {source.cluster.name}"
            source.shared[path] = _file(source, path, spec, source.context, everyone, host.name)
        result[path] = source.shared[path]
    return result


def _tuned(source: Source, name: str, host: Host, context: Context, said: Mapping[str, FlagValue]) -> dict[str, object]:
    """What the inventory makes of the component on this host: `variables` and `config`."""
    component = source.profile.components[name]
    render = _renders(source, name, host, context)
    return {
        "variables": variables(component, said, source.profile.accepted(name)),
        "config": config(component.config, host.tuning.get(name, _UNTUNED).config, render),
    }


def flags(source: Source, name: str, host: Host, context: Context) -> dict[str, FlagValue]:
    """The flags of a component on one host, the inventory's over the profile's."""
    tuning = host.tuning.get(name, _UNTUNED)
    return effective(source.profile.components[name], tuning, source.cluster, _renders(source, name, host, context))


def _renders(source: Source, name: str, host: Host, context: Context) -> Render:
    def render(template: str, where: str) -> str:
        return source.text(template, context, host.name, where=f"{name} {source.profile.version}: {where}")

    return render


def _file(source: Source, path: str, spec: FileSpec, context: Context, whom: str, host: str) -> File:
    used = _Used(source.pki)
    if spec.pki:
        content = used.bytes(source.text(spec.pki, context, host, where=f"pki {spec.pki}"))
    else:
        params = {
            key: source.text(value, context, host, where=f"{spec.template}, with {key}")
            for key, value in spec.params.items()
        }
        names = {**context, "params": params, "header": header(spec.template, whom, source.profile.version)}
        if spec.secret:  # no other template sees a key, not even by mistake
            names["pki"] = used
        content = source.renderer.file(spec.template, names, host)
    secret = spec.secret or spec.pki.endswith(".key")
    pending = next((source.pki.pending[name] for name in used.names if name in source.pki.pending), "")
    return File(
        content,
        spec.mode,
        spec.owner,
        spec.owner,
        secret,
        tuple(used.names),
        pending,
        leaves(path, spec.leaves, source.shared_text(f"{path}: leaves")) if spec.leaves else None,
    )


class _Used(Mapping[str, str]):
    """The PKI as a template sees it, which notes what is taken from it."""

    def __init__(self, keys: Pki) -> None:
        self._keys, self.names = keys, dict[str, None]()

    def bytes(self, name: str) -> bytes:
        self.names[name] = None
        return self._keys[name]

    def __getitem__(self, name: str) -> str:
        return self.bytes(name).decode(errors="replace")

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys.files)

    def __len__(self) -> int:
        return len(self._keys.files)
