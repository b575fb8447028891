"""A plan as text: by component in the order of the run, a line for what reads the same, the difference below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

from k8s_installer.host import families
from k8s_installer.host.perform import upload_of
from k8s_installer.inventory import Cluster
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import File, Kind, Package, SeenLeftovers, Setting
from k8s_installer.planning.undo import reversible
from k8s_installer.report.dangers import danger_lines
from k8s_installer.report.diff import flags, unified
from k8s_installer.report.grouped import OWN, Entry, Words, grouped, subject
from k8s_installer.report.names import spans

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
    Action.RESTART: ("↻", "yellow"),
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

_ADDON, _ADDONS = "addon ", "addon to apply|addons to apply"  # the family of settings, and how those are counted
_SCREEN = 24  # lines of changes beyond which the totals stand above them, too
_COLUMN = 20  # characters for the hosts of a line; more of them stand above it
_EDITS = (Action.UPDATE, Action.REWRITE, Action.SET)
_WHOLE_FILES = (Action.CREATE, Action.REMOVE, Action.RESTORE)
_WORDS = {
    Action.RELOAD: "daemon-reload for {}",
    Action.ATTRIBUTES: "set mode and owner of {}",
    Action.UNINSTALL: "uninstall package {}",
    Action.CLEAN: "clean up after {}",
    Action.ADOPT: "adopt the host: record what was placed on it",
}


@dataclass(frozen=True, slots=True)
class View:
    """How much of a plan is shown.

    `details` adds what each change is for and the content of new files. `full` gives each host its own lines, also
    where forty read the same. `hosts` leaves out all other hosts.
    """

    details: bool = False
    full: bool = False
    hosts: frozenset[str] | None = None


USUAL = View()


def plan_lines(cluster: Cluster, plan: Plan, desired: Desired, view: View = USUAL, keys: str = "") -> Iterator[Text]:
    """A whole plan: what is dangerous and the totals, all changes by component, and the former again.

    Changes that read the same are one line with their hosts. A plan that fits a screen has its totals at the end only.
    `keys` is the folder of this machine from which the cluster's keys are deleted, too.
    """
    yield Text(f"Plan for {cluster.name}: Kubernetes {cluster.version} on {_count(len(cluster.hosts), 'host')}", "bold")
    body = list(_body(cluster, plan, desired, view))
    ends = [*danger_lines(plan, change_words, keys), Text(totals(plan), "bold")]
    if len(body) > _SCREEN:
        yield from ends
    yield Text()
    yield from body
    if view.hosts is not None:
        yield Text(f"Only what is about {spans(sorted(view.hosts))} is listed. The whole plan:", "dim")
    yield from ends


def _body(cluster: Cluster, plan: Plan, desired: Desired, view: View) -> Iterator[Text]:
    def words(change: Change) -> Words:
        return _words(change, desired, view)

    shown = [change for change in plan.changes if view.hosts is None or subject(change) in view.hosts]
    addresses = {host.name: host.address for host in cluster.everyone}
    entries = {
        component: list(
            (Entry(words(change), (change,)) for change in changes)
            if view.full or view.hosts is not None
            else grouped(changes, words, addresses)
        )
        for component, changes in _by_component(shown).items()
    }
    width = min(max((len(spans(entry.hosts)) for part in entries.values() for entry in part), default=0), _COLUMN)
    for component, part in entries.items():
        yield Text(component, "bold")
        above = ""
        for entry in part:
            label = spans(entry.hosts)
            if len(label) <= width:
                above = ""
            elif label == above:
                label = ""
            else:
                yield Text(f"  {label}")
                above, label = label, ""
            yield from _entry(entry, f"  {label:<{width}}  ")
        yield Text()
    yield from _legend(entry for part in entries.values() for entry in part)


def _by_component(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """The changes of each component, in the order of the run."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.component, []).append(change)
    return found


def _words(change: Change, desired: Desired, view: View) -> Words:
    diff = unified(change) if change.action in _EDITS or (view.details and change.action in _WHOLE_FILES) else []
    if diff and diff[0].startswith("--- "):
        # a file's path and the host are in the line above; of a setting the path is news
        heads = [line.replace(f" {change.ref.host}:", " ") for line in diff[:2] if isinstance(change.after, Setting)]
        diff = [*heads, *diff[2:]]
    because = desired[change.ref].because if view.details else ""
    return Words(change.action, change_words(change), _note(change), tuple(diff), because, reversible(change))


def _entry(entry: Entry, head: str) -> Iterator[Text]:
    words = entry.words
    glyph, style = _STYLE[words.action]
    line = Text(head)
    line.append(f"{glyph} {words.does}", style)
    if words.note:
        line.append(f"  {words.note}{_each(entry)}", "dim")
    if not words.reversible:
        line.append("  cannot be rolled back", "red")
    yield line
    if words.because:
        yield Text(f"      # {words.because}", "dim italic")
    for text in words.diff:
        yield Text(f"      {text}", "green" if text.startswith("+") else "red" if text.startswith("-") else "dim")
    if words.action is Action.UPDATE:
        yield from (Text(f"      {text}", "yellow") for text in flags(words.diff))


def _each(entry: Entry) -> str:
    """What is to be said of files that read the same and are not: new ones are shown without their bytes."""
    sums = {change.after.sha256 for change in entry.changes if isinstance(change.after, File)}
    if entry.words.diff or len(sums) < 2:  # noqa: PLR2004 - they are the same
        return ""
    return ", different on each host" if len(sums) == len(entry.changes) else ", not the same on all hosts"


def _legend(entries: Iterable[Entry]) -> Iterator[Text]:
    shared = "\n".join(entry.words.text() for entry in entries if len(entry.changes) > 1)
    own = [mark for mark in OWN if mark in shared]
    if own:
        meaning = [f"{mark} stands for each host's own {mark[1:-1]}" for mark in own]
        yield Text(f"{'; '.join(meaning)}; --full lists every host.", "dim")


def totals(plan: Plan) -> str:
    """One sentence: how many changes of each kind."""
    if not plan:
        return "No changes: every host matches the inventory."
    counts = Counter(_counted(change) for change in plan.changes)
    sorts = [words for action in Action for words in (_PLURAL[action], *([_ADDONS] if action is Action.SET else []))]
    parts = [f"{counts[words]} {words.split('|')[counts[words] != 1]}" for words in sorts if counts[words]]
    return f"Plan: {', '.join(parts)}."


def _counted(change: Change) -> str:
    """As what a change is counted."""
    applied = change.ref.kind is Kind.SETTING and change.ref.name.startswith(_ADDON)
    return _ADDONS if applied else _PLURAL[change.action]


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


def _note(change: Change) -> str:
    """What is said of a change after what it does."""
    if isinstance(change.after, File) and change.action is Action.CREATE:
        size = "secret" if change.after.secret else _count(len(change.after.content.splitlines()), "line")
        if change.after.pending:
            size = change.after.new
        return f"{change.after.mode:04o} {change.after.owner}:{change.after.group}, {size}"
    if (upload := upload_of(change)) is not None:
        return f"({change.reason}; {upload.size / 1e6:.1f} MB to send)"
    if isinstance(change.before, SeenLeftovers):
        stays = "".join(f"; the data in {path} stays" for path in change.before.stays)
        return f"({change.reason}: {', '.join(change.before.names)}{stays})"
    return "" if change.action is Action.WAIT else f"({change.reason})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
