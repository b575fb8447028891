"""A plan as text: by component in the order of the run, a line per change, the diff under it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.text import Text

from k8s_installer.host import families
from k8s_installer.host.perform import upload_of
from k8s_installer.inventory import Cluster
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import File, Kind, Package, SeenLeftovers, Setting
from k8s_installer.planning.undo import reversible
from k8s_installer.report.diff import flags, unified

_STYLE = {
    Action.INSTALL: ("+", "green"),
    Action.UPGRADE: ("^", "yellow"),
    Action.DOWNGRADE: ("v", "yellow"),
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REWRITE: ("~", "dim"),
    Action.ATTRIBUTES: ("~", "yellow"),
    Action.RESTORE: ("<", "yellow"),
    Action.REMOVE: ("-", "red"),
    Action.SET: ("~", "yellow"),
    Action.RELOAD: ("↻", "cyan"),
    Action.START: ("▸", "cyan"),
    Action.RESTART: ("↻", "magenta"),
    Action.ENABLE: ("▸", "cyan"),
    Action.WAIT: ("…", "dim"),
    Action.STOP: ("■", "red"),
    Action.DISABLE: ("■", "red"),
    Action.UNINSTALL: ("-", "red"),
    Action.CLEAN: ("-", "red"),
    Action.ADOPT: ("+", "cyan"),
}
_PLURAL = {
    Action.INSTALL: "package to install|packages to install",
    Action.UPGRADE: "package to upgrade|packages to upgrade",
    Action.DOWNGRADE: "package to downgrade|packages to downgrade",
    Action.CREATE: "file to create|files to create",
    Action.UPDATE: "file to update|files to update",
    Action.REWRITE: "file to rewrite|files to rewrite",
    Action.RESTORE: "file to restore|files to restore",
    Action.REMOVE: "file to remove|files to remove",
    Action.ATTRIBUTES: "mode or owner to set|modes or owners to set",
    Action.SET: "setting to change|settings to change",
    Action.RELOAD: "daemon-reload|daemon-reloads",
    Action.START: "service to start|services to start",
    Action.RESTART: "restart|restarts",
    Action.ENABLE: "service to enable|services to enable",
    Action.STOP: "service to stop|services to stop",
    Action.DISABLE: "service to disable|services to disable",
    Action.UNINSTALL: "package to uninstall|packages to uninstall",
    Action.CLEAN: "component to clean up after|components to clean up after",
    Action.ADOPT: "host to adopt|hosts to adopt",
    Action.WAIT: "health gate|health gates",
}


_EDITS = (Action.UPDATE, Action.REWRITE, Action.SET)
_WHOLE_FILES = (Action.CREATE, Action.REMOVE, Action.RESTORE)
_WORDS = {
    Action.RELOAD: "daemon-reload for {}",
    Action.ATTRIBUTES: "set mode and owner of {}",
    Action.UNINSTALL: "uninstall package {}",
    Action.CLEAN: "clean up after {}",
    Action.ADOPT: "adopt the host: record what was placed on it",
}


def plan_lines(cluster: Cluster, plan: Plan, desired: Desired, *, full: bool) -> Iterator[Text]:
    """A whole plan; `full` also shows what each resource is for, and the content of files that are created."""
    yield Text(f"Plan for {cluster.name}: Kubernetes {cluster.version} on {len(cluster.hosts)} hosts\n", "bold")
    width = max((len(host.name) for host in cluster.hosts), default=0)
    rank = {name: number for number, name in enumerate(dict.fromkeys(change.component for change in plan.changes))}
    by_component = sorted(plan.changes, key=lambda change: rank[change.component])
    for component, changes in groupby(by_component, key=lambda change: change.component):
        yield Text(component, "bold")
        for change in changes:
            yield _line(change, width)
            if full:
                yield Text(f"      # {desired[change.ref].because}", "dim italic")
            yield from _diff(change, full=full)
        yield Text()
    yield Text(totals(plan), "bold")


def totals(plan: Plan) -> str:
    """One sentence: how many changes of each kind."""
    if not plan:
        return "No changes: every host matches the inventory."
    counts = {action: sum(change.action is action for change in plan.changes) for action in Action}
    parts = [f"{count} {_PLURAL[action].split('|')[count != 1]}" for action, count in counts.items() if count]
    return f"Plan: {', '.join(parts)}."


def about(change: Change) -> str:
    """The host that a change is about: of a setting of a node, which a master carries out, the node."""
    node = families.node(change.ref.name) if change.ref.kind is Kind.SETTING else ""
    return node or change.ref.host


def change_words(change: Change) -> str:
    """What a change does, in words: `restart kube-proxy`, `create /etc/etcd/etcd.conf`, `load image lab/pause:1`."""
    if change.ref.kind is Kind.GATE:
        return f"wait until {change.ref.name}"
    if change.action in _WORDS:
        return _WORDS[change.action].format(change.ref.name)
    if isinstance(change.after, Package):
        version = f" {change.after.version}" if change.after.version else ""
        return f"{change.action} package {change.ref.name}{version}"
    if isinstance(change.after, Setting):
        return families.words(change.ref.name, change.after.value)
    return f"{change.action} {change.ref.name}"


def _line(change: Change, width: int) -> Text:
    glyph, style = _STYLE[change.action]
    line = Text(f"  {about(change):<{width}}  ")
    line.append(f"{glyph} {change_words(change)}", style)
    if isinstance(change.after, File) and change.action is Action.CREATE:
        size = "secret" if change.after.secret else f"{len(change.after.content.splitlines())} lines"
        if change.after.pending:
            size = change.after.new
        line.append(f"  {change.after.mode:04o} {change.after.owner}:{change.after.group}, {size}", "dim")
    elif (upload := upload_of(change)) is not None:
        line.append(f"  ({change.reason}; {upload.size / 1e6:.1f} MB to send)", "dim")
    elif isinstance(change.before, SeenLeftovers):
        stays = "".join(f"; the data in {path} stays" for path in change.before.stays)
        line.append(f"  ({change.reason}: {', '.join(change.before.names)}{stays})", "dim")
    elif change.action is not Action.WAIT:
        line.append(f"  ({change.reason})", "dim")
    if not reversible(change):
        line.append("  cannot be rolled back", "red")
    return line


def _diff(change: Change, *, full: bool) -> Iterator[Text]:
    if change.action not in _EDITS and not (full and change.action in _WHOLE_FILES):
        return
    lines = unified(change)
    for line in lines:
        style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
        yield Text(f"      {line}", style)
    if change.action is Action.UPDATE:
        for line in flags(lines):
            yield Text(f"      {line}", "yellow")
