"""From the file to a `Cluster`: parse, validate the shape, check the topology, merge and resolve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from k8s_installer.errors import Finding, InventoryError, did_you_mean
from k8s_installer.inventory import nodes, topology
from k8s_installer.inventory.addons import addons
from k8s_installer.inventory.cluster import (
    Addon,
    ArgValue,
    Cluster,
    Drain,
    EtcdBackups,
    Flannel,
    Host,
    HostSettings,
    Images,
    Origin,
    Proxy,
    Ssh,
    Tarball,
    Tuning,
)
from k8s_installer.inventory.hostsettings import HostSettingsModel
from k8s_installer.inventory.repos import BundleModel
from k8s_installer.inventory.schema import (
    ClusterModel,
    ComponentModel,
    FlannelModel,
    HostModel,
    ImagesModel,
    InventoryModel,
    SshModel,
    TarballModel,
)
from k8s_installer.inventory.source import read
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

# In a writer's words, where pydantic speaks of Python's types.
_WORDS = {
    "model_type": "must be a mapping", "dict_type": "must be a mapping", "list_type": "must be a list",
    "too_short": "must not be empty",
}  # fmt: skip
_CAN_BE_NONE = frozenset({"gateway", "key", "known_hosts"})
Hint = Callable[[Origin, tuple[str, ...]], str]  # what to write instead of the key at a path; empty if nothing is known
DEFAULT_SSH = SshModel(user="root", port=22, host_keys="strict", connect_timeout=10)


def load(path: Path, hint: Hint | None = None) -> Cluster:
    """Read an inventory file; `hint` may say what an unknown key is.

    Raises:
        InventoryError: the file cannot be read, or anything in it is wrong; every finding at once.
    """
    try:
        text = userfile.text(path)
    except UnreadableError as error:
        raise InventoryError([Finding(str(path), 0, f"cannot read the inventory: {error}")]) from None
    return parse(text, path, hint)


def parse(text: str, path: Path, hint: Hint | None = None) -> Cluster:
    """Turn the text of an inventory into a `Cluster`; `path` is where it lies, for messages and relative paths.

    Raises:
        InventoryError: anything is wrong; every finding at once.
    """
    data, lines = read(text, str(path))
    origin = Origin(str(path), lines, data)
    if not isinstance(data, dict):
        raise InventoryError([Finding(str(path), 0, "an inventory is a mapping with `cluster:` and `hosts:`")])
    try:
        model = InventoryModel.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InventoryError(sorted({_finding(detail, origin, hint) for detail in details})) from None
    there = {name: host for name, host in model.hosts.items() if host.state == "present"}
    leaving = {name: host for name, host in model.hosts.items() if name not in there}
    model = model.model_copy(update={"hosts": there})
    folder = path.absolute().parent
    manifests, wrong = addons(folder)
    findings = [
        *topology.findings(model, origin),
        *nodes.findings(model, origin),
        *topology.returning(there, leaving, origin),
        *_missing_files(model, folder, origin),
        *_said_twice(model, origin),
        *wrong,
    ]
    if findings:
        raise InventoryError(sorted(findings))
    cluster, base = _cluster(model, folder, origin, manifests), _base(model)
    return replace(cluster, leaving=tuple(_host(name, host, model, base, folder) for name, host in leaving.items()))


def _cluster(model: InventoryModel, folder: Path, origin: Origin, manifests: tuple[Addon, ...]) -> Cluster:
    base = _base(model)
    return Cluster(
        name=model.cluster.name,
        version=model.cluster.version,
        pod_cidr=model.cluster.pod_cidr,
        service_cidr=model.cluster.service_cidr,
        dns_domain=model.cluster.dns_domain,
        network=model.cluster.network,
        security=model.cluster.security,
        programs=model.cluster.programs,
        tarball=_tarball(model.cluster.tarball, folder),
        images=_images(model.images),
        hosts=tuple(_host(name, host, model, base, folder) for name, host in model.hosts.items()),
        folder=folder,
        origin=origin,
        repos=model.repos if isinstance(model.repos, str) else "",
        bundle=_bundle(model.repos, folder),
        bundle_sha256=model.repos.sha256 if isinstance(model.repos, BundleModel) else "",
        packages=model.packages,
        dns=model.cluster.dns,
        outside_name=model.cluster.outside_name or "",
        load_balancer=model.cluster.api_endpoint or "",
        addons=manifests,
        flannel=_flannel(model),
        drain=_drain(model.cluster),
    )


def _drain(model: ClusterModel) -> Drain:
    return Drain(
        restarts=model.drain,
        timeout=model.drain_timeout,
        ignore_daemonsets=model.drain_daemonsets == "ignore",
        delete_local_data=model.drain_local_data == "delete",
    )


def _base(model: InventoryModel) -> dict[str, Tuning]:
    """How components are tuned on all hosts."""
    base = {name: _tuning(component) for name, component in model.components.items()}
    return _with_settings(base, model.host_settings)


def _host(
    name: str,
    host: HostModel,
    model: InventoryModel,
    base: Mapping[str, Tuning],
    folder: Path,
) -> Host:
    tuning = dict(base)
    for component, own in host.components.items():
        shared = base.get(component, Tuning({}, {}))
        mine = _tuning(own)
        deadline = shared.deadline if mine.deadline is None else mine.deadline
        tuning[component] = Tuning({**shared.args, **mine.args}, layered(shared.config, mine.config), deadline)
    final = _with_settings(tuning, host.host_settings)
    return Host(
        name=name,
        address=str(host.address),
        roles=frozenset(host.roles),
        ssh=_ssh([DEFAULT_SSH, model.ssh, host.ssh], folder),
        tuning=final if host.components or final is not tuning else base,
        pod_subnet=host.pod_subnet if model.cluster.network == "routes" else None,
        settings=_settings([model.host_settings, host.host_settings]),
        node=nodes.settings(model.nodes, host),
    )


def _images(model: ImagesModel) -> Images:
    dns = model.dns.said
    return Images(
        model.pause or "",
        model.verify,
        dns={name: image.image for name, image in dns.items()},
        dns_versions={name: image.version.removeprefix("v") for name, image in dns.items() if image.version},
        registry=model.registry,
    )


def _settings(layers: list[HostSettingsModel]) -> HostSettings:
    said: dict[str, Any] = {}
    for layer in layers:
        said |= layer.model_dump(exclude_none=True, exclude={"proxy", "docker", "etcd_backups"})
        if layer.proxy is not None:
            proxy = layer.proxy
            said["proxy"] = Proxy(proxy.http, proxy.https or proxy.http, tuple(proxy.no_proxy))
        if layer.etcd_backups is not None:
            said["etcd_backups"] = EtcdBackups(**layer.etcd_backups.model_dump())
    return HostSettings(**said)


def _with_settings(tuning: dict[str, Tuning], settings: HostSettingsModel) -> dict[str, Tuning]:
    """Tuning with the flags that `host_settings` says of components."""
    for name, flags in settings.flags.items():
        args = {flag: tuple(value) if isinstance(value, list) else value for flag, value in flags.items()}
        said = tuning.get(name, Tuning({}, {}))
        tuning = {**tuning, name: Tuning({**said.args, **args}, said.config, said.deadline)}
    return tuning


def _said_twice(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    """Flags that `host_settings` and `components` both set, in one place: neither is the stronger one."""
    places: list[tuple[tuple[str, ...], InventoryModel | HostModel]] = [((), model)]
    places += [(("hosts", name), host) for name, host in model.hosts.items()]
    for path, place in places:
        for name, flags in place.host_settings.flags.items():
            named = place.components[name].args if name in place.components else {}
            for flag in flags:
                if flag in named:
                    message = f"host_settings.{name} and components.{name}.args both set {flag}"
                    yield origin.finding((*path, "host_settings", name), message, "keep one of them")


def layered(shared: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Keys of a configuration file for all hosts with those of one host over them, to any depth.

    A null stays: it takes out what the profile has.
    """
    result = dict(shared)
    for key, value in own.items():
        below = shared.get(key)
        result[key] = layered(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _tuning(component: ComponentModel) -> Tuning:
    args: dict[str, ArgValue] = {
        flag: tuple(value) if isinstance(value, list) else value for flag, value in component.args.items()
    }
    return Tuning(args, component.config, component.deadline)


def _ssh(layers: list[SshModel], folder: Path) -> Ssh:
    said: dict[str, Any] = {}
    for layer in layers:
        # null means none where there can be none: a host that is reached without the cluster's gateway, for one
        dumped = layer.model_dump(exclude_unset=True)
        said |= {name: value for name, value in dumped.items() if value is not None or name in _CAN_BE_NONE}
    return Ssh(
        user=said["user"],
        port=said["port"],
        key=_path(said.get("key"), folder),
        known_hosts=_path(said.get("known_hosts"), folder),
        host_keys=said["host_keys"],
        gateway=said.get("gateway"),
        connect_timeout=said["connect_timeout"],
    )


def _tarball(model: TarballModel | None, folder: Path) -> Tarball | None:
    return None if model is None else Tarball(_path(model.path, folder), model.url, model.sha256)


def _flannel(model: InventoryModel) -> Flannel | None:
    said = model.cluster.flannel or FlannelModel()
    return Flannel(said.backend) if model.cluster.network == "flannel" else None


def _bundle(repos: str | BundleModel, folder: Path) -> str | None:
    if isinstance(repos, str):
        return None
    return _path(repos.file, folder) if repos.file else ""


def _path(text: str | None, folder: Path) -> str | None:
    """A path as the inventory says it, from its folder on; `~` of somebody who is unknown here stays as it is."""
    if text is None:
        return None
    with suppress(RuntimeError):
        return str(folder / Path(text).expanduser())
    return str(folder / text)


def _missing_files(model: InventoryModel, folder: Path, origin: Origin) -> Iterator[Finding]:
    places: list[tuple[tuple[str, ...], SshModel]] = [(("ssh",), model.ssh)]
    places += [(("hosts", name, "ssh"), host.ssh) for name, host in model.hosts.items()]
    for path, ssh in places:
        for option, text in (("key", ssh.key), ("known_hosts", ssh.known_hosts)):
            resolved = _path(text, folder)
            if resolved is not None and not userfile.is_file(Path(resolved)):
                yield origin.finding((*path, option), f"ssh.{option}: file {resolved} does not exist")
    tarball = _tarball(model.cluster.tarball, folder)
    if tarball is not None and tarball.path is not None and not userfile.is_file(Path(tarball.path)):
        yield origin.finding(
            ("cluster", "tarball", "path"), f"cluster.tarball.path: file {tarball.path} does not exist"
        )


def _finding(detail: ErrorDetails, origin: Origin, hint: Hint | None) -> Finding:
    """Say what pydantic found in the words of someone who wrote the file."""
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    name = ".".join(path)
    if detail["type"] == "extra_forbidden":
        known = hint(origin, path) if hint else ""
        return origin.finding(path, f"unknown key {name}", known or did_you_mean(path[-1], _keys_at(path[:-1])))
    if detail["type"] == "missing":
        return origin.finding(path[:-1], f"missing key {name}")
    given = detail["input"]
    message = _WORDS.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    choices = [
        choice.strip("'") for choice in str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split(", ")
    ]
    suggestion = did_you_mean(given, choices) if isinstance(given, str) else ""
    shown = f" {given!r}" if isinstance(given, str | int | float) else ""
    return origin.finding(path, f"{name}:{shown} {message}", suggestion)


def _keys_at(path: tuple[str, ...]) -> list[str]:
    """The keys that the schema knows at a path of the file, which leads through models and mappings to a model."""
    here: Any = InventoryModel
    for part in path:
        here = here.model_fields[part].annotation if hasattr(here, "model_fields") else get_args(here)[1]
        here = get_args(here)[0] if isinstance(here, UnionType) else here
    return list(here.model_fields)
