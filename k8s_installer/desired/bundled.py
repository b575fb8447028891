"""What a bundle's content is on a host: packages as repositories on its own disk, images that are loaded. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from k8s_installer.desired.context import Context
from k8s_installer.desired.host import COMPONENT
from k8s_installer.host.images import ARCHIVES
from k8s_installer.host.paths import BUNDLE_REPOS
from k8s_installer.host.statedir import STATE
from k8s_installer.model.desired import Desired, DesiredResource, Turn, by_host
from k8s_installer.model.resources import File, Kind, Package, Ref, Resource, Setting, UploadedFile
from k8s_installer.render import Renderer

FOLDER = f"{STATE}/bundle"
TEMPLATE = "yum/k8s-installer.repo.j2"
ONLY = "k8s-installer-*"  # the names of the repositories, for yum


@dataclass(frozen=True, slots=True)
class Repository:
    """Packages for one host and the metadata of a repository of them, both by file name.

    `signed` says that yum checks whose they are.
    """

    name: str
    signed: bool
    packages: Mapping[str, UploadedFile]
    metadata: Mapping[str, bytes]

    @property
    def folder(self) -> str:
        """Where it is on a host."""
        return f"{FOLDER}/rpms/{self.name}"


@dataclass(frozen=True, slots=True)
class Archive:
    """An image as `docker load` takes it, by the name that the inventory has for it; `id` is docker's."""

    reference: str
    id: str
    file: UploadedFile


@dataclass(frozen=True, slots=True)
class Media:
    """What one host gets of a bundle."""

    repositories: tuple[Repository, ...]
    images: tuple[Archive, ...]


def bundled(
    desired: Desired, media: Mapping[str, Media], renderer: Renderer, context: Context, runtime: str
) -> Desired:
    """What is wanted, with packages and images from a bundle instead of from servers.

    Packages come after their repository, and yum asks no other; a host's own repositories stay as they are. Images are
    loaded when the runtime runs, and before the kubelet starts.

    Args:
        desired: what the inventory asks for.
        media: what each host gets.
        renderer: makes the file that tells yum of the repositories.
        context: the names that its template may use; `repositories` are added.
        runtime: the unit that runs the containers.
    """
    result = dict(desired)
    files: dict[str, File] = {}
    of_host = by_host(desired)
    for host, content in media.items():
        own = of_host[host]
        packages = [(wanted, wanted.resource) for wanted in own if isinstance(wanted.resource, Package)]
        if packages:
            turn = packages[0][0].turn
            added = list(_repositories(host, content, renderer, context, files, turn))
            result |= {wanted.ref: wanted for wanted in added}
            first = tuple(wanted.ref for wanted in added)
            for wanted, package in packages:
                resource = replace(package, repo=ONLY)
                result[wanted.ref] = replace(wanted, resource=resource, after=(*wanted.after, *first))
        result |= _images(host, content, own, runtime)
    return result


def _repositories(
    host: str, content: Media, renderer: Renderer, context: Context, files: dict[str, File], turn: Turn
) -> Iterator[DesiredResource]:
    def wanted(path: str, resource: Resource, because: str) -> DesiredResource:
        return DesiredResource(Ref(host, Kind.FILE, path), resource, COMPONENT, (), because, turn)

    key = " ".join(repository.name for repository in content.repositories)
    if key not in files:
        names = {**context, "repositories": content.repositories}
        files[key] = File(renderer.file(TEMPLATE, names, host))
    yield wanted(
        BUNDLE_REPOS, files[key], "Tells yum about the bundle's packages; disabled except when the installer uses it."
    )
    for repository in content.repositories:
        for name, package in sorted(repository.packages.items()):
            yield wanted(f"{repository.folder}/{name}", package, "A package of the bundle, kept for a reinstall.")
        for name, data in repository.metadata.items():
            yield wanted(f"{repository.folder}/{name}", File(data), "Repository metadata of the bundle's packages.")


def _images(host: str, content: Media, own: list[DesiredResource], runtime: str) -> dict[Ref, DesiredResource]:
    unit = next((wanted for wanted in own if wanted.ref == Ref(host, Kind.UNIT, runtime)), None)
    if unit is None or not content.images:
        return {}
    result: dict[Ref, DesiredResource] = {}
    loaded = []
    for image in content.images:
        path = Ref(host, Kind.FILE, f"{ARCHIVES}/{image.id.removeprefix('sha256:')}.tar")
        name = Ref(host, Kind.SETTING, f"image {image.reference}")
        because = "The image in the form that docker loads; kept because docker may garbage-collect its own copy."
        result[path] = DesiredResource(path, image.file, unit.component, (), because, unit.turn)
        because = "Pods use the node's copy: the node may reach no registry."
        result[name] = DesiredResource(name, Setting(image.id), unit.component, (unit.ref, path), because, unit.turn)
        loaded.append(name)
    kubelet = next((wanted for wanted in own if wanted.ref == Ref(host, Kind.UNIT, "kubelet")), None)
    if kubelet is not None:
        result[kubelet.ref] = replace(kubelet, after=(*kubelet.after, *loaded))
    return result
