"""A file as hosts get it, line by line: what each line says, and where that comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from k8s_installer.desired.flags import variable
from k8s_installer.explain.components import Certificate, certificates
from k8s_installer.explain.known import Known
from k8s_installer.explain.settings import Setting, Source, setting
from k8s_installer.host.paths import SYSCTLS, unit_of
from k8s_installer.host.placed import RENDERED
from k8s_installer.model.resources import File
from k8s_installer.profiles import FileSpec, Style

_ETCD = "ETCD_"
_KEY = re.compile(r"( *)(?:- )?([-\w.]+):( .*)?$")
_DIRECTIVE = re.compile(r"([A-Za-z]+)=")
_SECTION = re.compile(r"\[\w+\]")
_KUBECONFIG = "kubernetes/kubeconfig.j2"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: the flags or keys that it sets, or what it means in words."""

    text: str
    settings: tuple[Setting, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A file as some hosts have it. One that is `secret`, or a certificate, is not shown: `hidden` says why."""

    hosts: tuple[str, ...]
    mode: int
    owner: str
    lines: tuple[Line, ...]
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class ExplainedFile:
    """A file: what it is for, whose it is, which units restart if it changes, and how hosts have it."""

    path: str
    why: str
    component: str
    template: str
    units: tuple[str, ...]
    variants: tuple[Variant, ...]
    certificates: tuple[Certificate, ...] = ()


def explained(known: Known, path: str) -> ExplainedFile:
    """A file of the cluster, which at least one host has."""
    files, found = dict[tuple[str, bytes], File](), dict[tuple[str, bytes], list[str]]()
    for host, component, file in known.files(path):
        key = (component, _body(file))
        files.setdefault(key, file)
        found.setdefault(key, []).append(host)
    (component, _), hosts = next(iter(found.items()))
    spec = known.profile.components[component].files.get(path) if component in known.profile.components else None
    item = next(wanted for ref, wanted in known.desired.items() if ref.name == path and ref.host == hosts[0])
    variants = tuple(_variant(known, key[0], spec, path, files[key], names) for key, names in found.items())
    of_file = [one for one in certificates(known, component) if one.path == path] if spec else []
    return ExplainedFile(
        path,
        item.because,
        component,
        spec.template if spec else "",
        tuple(_units(known, path)),
        variants,
        tuple(of_file),
    )


def _body(file: File) -> bytes:
    """A file's content without its header, which names the host."""
    first, _, body = file.content.partition(b"\n")
    return body if RENDERED.encode() in first else file.content


def annotated(known: Known, host: str, path: str) -> tuple[Line, ...]:
    """The lines of a file of one host; none where the cluster does not know it, or does not show it."""
    if not any(name == host for name, _, _ in known.files(path)):
        return ()
    return next(variant.lines for variant in explained(known, path).variants if host in variant.hosts)


def _units(known: Known, path: str) -> Iterator[str]:
    """The units that restart when the file changes, by the layouts of the cluster's hosts."""
    units = {
        component.unit: None
        for host in known.cluster.hosts
        for name, component in known.layout(host).components.items()
        if component.unit and path in (*known.layout(host).reads[name], *known.layout(host).defined_by[name])
    }
    yield from units


def _variant(
    known: Known, component: str, spec: FileSpec | None, path: str, file: File, hosts: Sequence[str]
) -> Variant:
    hidden = "secret: its content is not shown" if file.secret else ""
    if not hidden and spec is not None and spec.pki:
        hidden = "a certificate or key of the local PKI, which is not looked at here: see certs status"
    lines = () if hidden else tuple(_lines(known, component, spec, path, file, hosts[0]))
    return Variant(tuple(hosts), file.mode, file.owner, lines, hidden)


def _lines(known: Known, component: str, spec: FileSpec | None, path: str, file: File, host: str) -> Iterator[Line]:
    texts = file.content.decode(errors="replace").splitlines()
    if spec is not None and spec.template == _KUBECONFIG:
        yield from (_said(known, "kubeconfig", text, _KEY, 2) for text in texts)
    elif unit_of(path) and spec is not None:
        yield from (_of_unit(known, text) for text in texts)
    elif path.startswith(SYSCTLS):
        yield from (_said(known, "sysctl", text, re.compile(r"([\w.-]+) = "), 1) for text in texts)
    elif component in known.profile.components:
        yield from _of_component(known, component, texts, host)
    else:
        yield from map(Line, texts)


def _said(known: Known, kind: str, text: str, pattern: re.Pattern[str], group: int) -> Line:
    found = pattern.match(text)
    return Line(text, words=known.texts.lines[kind].get(found[group], "") if found else "")


def _of_unit(known: Known, text: str) -> Line:
    directive = _DIRECTIVE.match(text)
    key = directive[1] if directive else text if _SECTION.fullmatch(text) else ""
    return Line(text, words=known.texts.lines["systemd"].get(key, ""))


def _of_component(known: Known, component: str, texts: Sequence[str], host: str) -> Iterator[Line]:
    """Variables with flags, or the keys of a configuration file."""
    spec = known.profile.components[component]
    above: list[tuple[int, str]] = []  # the keys that lead to a line, with the columns in which they stand
    for text in texts:
        name, words = variable(text) or ("", "")
        if name.startswith(_ETCD) and spec.style is Style.ETCD:
            flag = name.removeprefix(_ETCD).lower().replace("_", "-")
            yield Line(text, _decided(setting(known, component, flag, host=host)))
        elif name in spec.variables:
            yield _of_variable(known, component, name, text, words, host)
        elif spec.config and (key := _KEY.match(text)):
            above = [(column, one) for column, one in above if column < len(key[1])]
            above.append((len(key[1]), key[2]))
            found = setting(known, component, ".".join(one for _, one in above), is_key=True, host=host)
            yield Line(text, _decided(found))
        else:
            yield Line(text)


def _decided(found: Setting) -> tuple[Setting, ...]:
    """A setting that somebody decided: not a key that only leads to others, nor what a template has by itself."""
    return (found,) if any(value.origin.source is not Source.PROGRAM for value in found.values) else ()


def _of_variable(known: Known, component: str, variable: str, text: str, value: str, host: str) -> Line:
    flags = dict.fromkeys(word.lstrip("-").partition("=")[0] for word in value.split())
    readers = known.profile.components[component].accepted_by.get(variable, ())
    words = f"read by {', '.join(readers)}" if readers else ""
    if not flags:
        words = "empty: no flag of this variable is set" + (f"; {words}" if words else "")
    found = (one for flag in flags for one in _decided(setting(known, component, flag, host=host)))
    return Line(text, tuple(found), words)
