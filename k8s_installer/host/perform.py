"""Changes as ONE script for one host, and the pure parser of what it reports.

The script says on stdout when each change begins and ends, so that whatever cuts it off, what was done is
known. It stops at the first failure, and what it prints after `failed` is the evidence.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from k8s_installer.host import families, leftovers, paths, placed, statedir
from k8s_installer.host.evidence import END, ERRORS
from k8s_installer.model.plan import REPLACED, Action, Change
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    Kind,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Record,
    SeenFile,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

MARK = "::k8s-installer::"
JOURNAL_LINES = 20
# A program that refuses a flag says so once and then prints pages of usage, or of what each goroutine did, which push
# its words out of sight.
JOURNAL_SEARCHED = 20000
COMPLAINT_LINES = 6
LOCK_SECONDS = 300  # that another yum may run before we give up
START_SECONDS = 600  # that systemd may take for a start; docker's package sets no limit at all (TimeoutStartSec=0)
LARGEST_DIFF = 64 * 1024  # bytes of a file whose difference is shown when it has changed under a plan
LONGEST_PART = 200  # characters of what a change says of how far it is
LARGEST_EVIDENCE = 64 * 1024  # characters
# Of klog, of Go's flags and of pflag, of docker's and of etcd's start.
COMPLAINTS = (
    "[Ee]rror: |: [EF][0-9]{4} |panic: |fatal|invalid (argument|value)|unknown (shorthand )?flag|bad flag syntax"
    "|provided but not defined|needs an argument|[Ee]rror (verifying|starting|setting)|unable to configure"
)
# Why a program of Go's ended, and that journald left lines out: they are shown whatever was said after them.
LAST_WORDS = (r"\]: (F[0-9]{4} |panic: )", r"systemd-journald.*: Suppressed [0-9]+ messages")
# A unit's journal begins again where somebody starts it. systemd starts one again after its process has ended, and
# says so first. 219 says "Started" before "Starting" of a simple one: the first of the two begins.
_OWN = """\
$5 == "systemd[1]:" && ($6 == "Stopping" || /ain process exited|Deactivated|entered failed state/) { up = 0 }
$5 == "systemd[1]:" && /[Ss]chedul(ed|ing) restart/ { up = 1 }
$5 == "systemd[1]:" && ($6 == "Starting" || $6 == "Started") { if (!up) count = 0; up = 1 }
{ lines[count++] = $0 }
END { for (i = 0; i < count; i++) print lines[i] }"""

# Written beside its target, flushed, owned, checked by sum and renamed: a reader sees the old bytes or the new
# ones, never a mixture, not even after a power cut. Nothing goes through /tmp, as bash's here-documents do.
# A script outlives whoever sent it: what was begun is finished, and nobody needs to listen.
_PRELUDE = f"""\
trap '' PIPE HUP
{statedir.FUNCTIONS}\
root=${{K8S_INSTALLER_ROOT-}}
say() {{ printf '%s %s\\n' '{MARK}' "$*" 2>/dev/null; }}
begin() {{ say "begin $1"; [ -n "${{busy-}}" ] || {{ alone "$1"; finish "$1"; busy=yes; }}; }}
failed() {{ say "failed $1"; shift; printf '%s\\n' "$@"; exit 1; }}
evidence() {{
  systemctl status --no-pager --full --lines=0 "$1" 2>&1
  own=$(journalctl --no-pager -n {JOURNAL_SEARCHED} -u "$1" 2>&1 | awk '{_OWN}')
  echo '{ERRORS}'
  {{
    for words in {shlex.join(LAST_WORDS)}; do printf '%s\\n' "$own" | grep -nE "$words" | tail -n 1; done
    printf '%s\\n' "$own" | grep -nE '{COMPLAINTS}' | tail -n {COMPLAINT_LINES}
  }} | sort -un | cut -d: -f2-
  echo '{END}'
  printf '%s\\n' "$own" | tail -n {JOURNAL_LINES}
}}
unlocked() {{ # index: wait while another yum runs; it writes its number without a line's end
  waited=0
  while pid=; {{ read -r pid <"$root{paths.YUM_PID}" || [ -n "$pid" ]; }} && kill -0 "$pid"; do
    [ "$waited" -lt {LOCK_SECONDS} ] ||
      failed "$1" "yum is locked by process $pid for {LOCK_SECONDS} s: $(tr '\\0' ' ' <"/proc/$pid/cmdline")"
    [ "$waited" -gt 0 ] || say "part $1 waiting for another yum (process $pid)"
    sleep 2
    waited=$((waited + 2))
  done 2>/dev/null
}}
done_by_yum() {{ # sets packages and size: what its log has, and the kilobytes that it keeps; of dnf also
  packages=$(cat "$root/var/log/yum.log" "$root/var/log/dnf.rpm.log" | grep -c 'Installed: \\|Updated: \\|Upgrade: ')
  size=$(du -skc "$root/var/cache/yum" "$root/var/cache/dnf" | tail -n 1)
  size=${{size%%[!0-9]*}}
}}
watch() {{ # index: say what yum has done so far, until the caller ends this
  told=
  done_by_yum
  had=$packages kept=$size
  while command -p sleep 1 >/dev/null && start_of $$; do # as long as the script lives
    done_by_yum
    words="$(((size - kept) / 1024)) MB downloaded"
    [ "$packages" -le "$had" ] || words="packages installed: $((packages - had))"
    [ "$words" = "$told" ] || say "part $1 $words"
    told=$words
  done
}} 2>/dev/null
started() {{ # unit: restart starts a stopped one, too; start would join the job of a process with old settings
  timeout {START_SECONDS} systemctl restart "$1" && return
  [ $? -ne 124 ] || echo "it has not started within {START_SECONDS} s"
  return 1
}}
packaged() {{ # path [copy]: whether it is as its package brought it: what a plan saw as absent before yum ran
  rpm -qf --qf '[%{{FILENAMES}} %{{FILEDIGESTS}}\\n]' "$1" 2>/dev/null | grep -qxF "$1 $(sum_of "${{2-$1}}")"
}}
{placed.FUNCTIONS}\
bytes() {{ printf '%s\\n' "$1" | base64 -d; }}
written() {{ dd of="$1" conv=fsync status=none && printf '%s  %s\\n' "$2" "$1" | sha256sum -c --status; }}
uploaded() {{ # new sha256 command: its sum was compared when it came, and its time is the change's
  "$3" -T "$incoming/$2" "$1" && touch "$1" && flushed "$1"
}}
returned() {{ # new sha256 path: what was kept, with the time and all that it had under this path
  own=$(kept_as "$3" "$2") || return 1
  if [ -f "$kept/$own" ]; then cp "$kept/$2" "$1" && cp -a --attributes-only "$kept/$own" "$1"
  else cp -a "$kept/$2" "$1" # of a version that kept one copy for all paths
  fi && [ "$(sum_of "$1")" = "$2" ] && flushed "$1"
}}
place() {{ # path mode owner group sha256 [time [mv|cp|kept]]: its bytes come on stdin, were uploaded, or kept
  folder=${{1%/*}}
  [ -d "$folder" ] || {{ made "$folder" && (umask 022; mkdir -p "$folder"); }} || return 1
  for new in "$folder"/.k8s-installer.??????; do # of a script that was killed
    [ ! -f "$new" ] || rm -f "$new"
  done
  new=$(umask 077; mktemp "$folder/.k8s-installer.XXXXXX") || return 1
  case ${{7-}} in
    '') written "$new" "$5" ;;
    kept) returned "$new" "$5" "$1" ;;
    *) uploaded "$new" "$5" "$7" ;;
  esac && keep "$1" &&
    {{ [ -z "${{6-}}" ] || touch -r "$6" "$new"; }} &&
    chown "$3:$4" "$new" && chmod "$2" "$new" && {{ [ -z "${{readers-}}" ] || mark "$1" $readers; }} &&
    mv -T "$new" "$1" || {{ rm -f "$new"; df -P "$folder" "$state" 2>/dev/null; return 1; }}
  [ ! -x {paths.RESTORECON} ] || restorecon "$1"
}}
"""


@dataclass(frozen=True, slots=True)
class Report:
    """One line of a running script: change `index` has begun, is done, or failed.

    Between these, `part` says in `words` how far it is. `sent` and `uploaded` are no script's words: so many bytes of
    the change's file are on their way, and so many went over the wire when its upload ended, in whichever way.
    """

    word: str
    index: int
    sent: int = 0
    words: str = ""


def script(numbered: Sequence[tuple[int, Change]], run: str = "0") -> str:
    """The script that carries these changes of one host out, in this order; `run` is the name of who does."""
    settings = [change.ref.name for _, change in numbered if change.ref.kind is Kind.SETTING]
    parts = [_PRELUDE, f"run={shlex.quote(run)}\n", families.setters(settings)]
    last = {file.sha256: index for index, file in _uploaded(numbered)}
    for action, group in groupby(numbered, key=lambda item: batch(item[1])):
        changes = list(group)
        if action == "packages":
            parts.append(_packages(changes))
        elif action == "uninstall":
            parts.append(_uninstall(changes))
        elif action == "reload":
            parts.append(_reload(changes))
        else:
            parts.extend(_singles(changes, last))
    if _undefines(numbered):
        parts.append("systemctl daemon-reload && loaded\n")
    if any(change.forgets or isinstance(change.after, Record) for _, change in numbered):
        parts.append("compact\n")
    elif any(entry.kind is Kind.FILE for _, change in numbered for entry in change.records):
        parts.append(placed.COMPACT_CROWDED)
    return "".join([*parts, "prune all\n" if last else "prune\n"])


def _undefines(numbered: Sequence[tuple[int, Change]]) -> bool:
    """Whether a unit file or drop-in leaves after the last daemon-reload: no unit that stays asks for one then."""
    for _, change in reversed(numbered):
        if change.action is Action.RELOAD:
            return False
        if isinstance(change.after, Original) and paths.unit_of(change.ref.name):
            return True
    return False


def uploads(numbered: Sequence[tuple[int, Change]]) -> Iterator[tuple[int, UploadedFile]]:
    """What must be on the host before the script of these changes runs; each file once."""
    once = {file.sha256: (index, file) for index, file in reversed(list(_uploaded(numbered)))}
    yield from sorted(once.values(), key=lambda item: item[0])


def _uploaded(numbered: Iterable[tuple[int, Change]]) -> Iterator[tuple[int, UploadedFile]]:
    for index, change in numbered:
        file = upload_of(change)
        if file is not None:
            yield index, file


def upload_of(change: Change) -> UploadedFile | None:
    """The large file that a change needs on its host; None if it needs none."""
    file = change.after.uses if isinstance(change.after, Setting) else change.after
    return file if isinstance(file, UploadedFile) and change.action is not Action.ATTRIBUTES else None


def batch(change: Change) -> str:
    """What neighbours have in common that one command carries out: a yum transaction, a daemon-reload, or nothing."""
    if isinstance(change.after, Package):
        return "packages"
    if isinstance(change.after, NoPackage):
        return "uninstall"
    return "reload" if change.action is Action.RELOAD else ""


def _packages(changes: list[tuple[int, Change]]) -> str:
    """What goes down goes down first, all at once: what is installed then may require those very versions."""
    down = [item for item in changes if item[1].action is Action.DOWNGRADE]
    return "".join(
        _transaction(verb, some)
        for verb, some in (("downgrade", down), ("install", [item for item in changes if item not in down]))
        if some
    )


def _transaction(verb: str, changes: Sequence[tuple[int, Change]]) -> str:
    """One transaction of yum's; by `install` yum 3.4 does not go down, as dnf does."""
    packages = [change.after for _, change in changes if isinstance(change.after, Package)]
    wanted = [_named(package) for package in packages]
    repo = next((package.repo for package in packages if package.repo), "")  # a host's packages have all the same
    words = ["yum", "-y", "-q", *(["--disablerepo=*", f"--enablerepo={repo}"] if repo else []), verb, *wanted]
    indices = [index for index, _ in changes]
    records = [entry for _, change in changes for entry in change.records]
    names = [package.name for package in packages]
    ask, note = "", ""
    if records:
        failed = _failed(indices[0])
        ask = f"out=$({placed.installing(records[0], names)} 2>&1 && {placed.noted(records)} 2>&1) || {failed}"
        note = f"noted=$({placed.ARRIVED} 2>&1) || out=$out$noted\n"
    if any(change.action in REPLACED for _, change in changes):
        ask = placed.BEFORE_OTHERS + ask
        note = f"noted=$({placed.AFTER_OTHERS} 2>&1) || out=$out$noted\n" + note
    # yum 3.4 exits 0 although a package was not available, as long as it could install another one
    return (
        _each("begin", indices)
        + f"unlocked {indices[0]}\n"
        + ask
        + f"watch {indices[0]} </dev/null & watcher=$!\n"
        + f"status=0\nout=$({shlex.join(words)} 2>&1 </dev/null) || status=$?\n"
        + "{ kill $watcher; wait $watcher; } 2>/dev/null\n"
        + note
        + f"[ $status -eq 0 ] || {_failed(indices[0])}"
        + "".join(
            f'rpm -q {shlex.quote(name)} >/dev/null || failed {index} "$out"\n'
            for (index, _), name in zip(changes, wanted, strict=True)
        )
        + _each("done", indices)
    )


def _failed(index: int) -> str:
    return f'failed {index} "$out"\n'


def _uninstall(changes: Sequence[tuple[int, Change]]) -> str:
    """One transaction of rpm's for packages that nobody needs any more, and one for those whose units stay."""
    parts = []
    for how in ("--noscripts", ""):
        some = [(index, change.ref.name) for index, change in changes if _in_use(change) == bool(how)]
        if some:
            indices = [index for index, _ in some]
            names = [name for _, name in some]
            forget = placed.forgotten(Placed(Kind.PACKAGE, name, "") for name in names)
            parts.append(
                _each("begin", indices)
                + f"unlocked {indices[0]}\n"
                + f"out=$(uninstall '{how}' {shlex.join(names)} 2>&1 && {forget} 2>&1) || {_failed(indices[0])}"
                + _each("done", indices)
            )
    return "".join(parts)


def _in_use(change: Change) -> bool:
    return isinstance(change.after, NoPackage) and change.after.in_use


def _named(package: Package) -> str:
    """NAME[-VERSION[-RELEASE]], as yum and rpm both take it; rpm 4.11 takes no epoch in a name."""
    version = package.version.rpartition(":")[2]
    return f"{package.name}-{version}" if version else package.name


def _reload(changes: list[tuple[int, Change]]) -> str:
    indices = [index for index, _ in changes]
    return (
        _each("begin", indices)
        + f'out=$(systemctl daemon-reload 2>&1 && loaded 2>&1) || failed {indices[0]} "$out"\n'
        + _each("done", indices)
    )


def _singles(changes: Sequence[tuple[int, Change]], last: Mapping[str, int]) -> Iterator[str]:
    """Each by itself; the lines about their files are written ahead of the first of these, and flushed once."""
    placing = [(index, change) for index, change in changes if not isinstance(change.after, Record)]
    files = [(index, entry) for index, change in placing for entry in change.records if entry.kind is Kind.FILE]
    for index, change in changes:
        early = [entry for _, entry in files] if files and files[0][0] == index else []
        yield _single(index, change, [*early, *(e for e in change.records if e.kind is not Kind.FILE)], last)


def _single(index: int, change: Change, records: Sequence[Placed], last: Mapping[str, int]) -> str:
    wanted = change.after
    stop = _failed(index)
    known = placed.KNOWN if any(entry.kind is Kind.FILE for entry in records) else ""
    note = f"{known}out=$({placed.noted(records)} 2>&1) || {stop}" if records else ""
    forget = f"out=$({_forgotten(change)} 2>&1) || {stop}" if change.forgets else ""
    if isinstance(wanted, File | UploadedFile | Backup | Absent | Original):
        # another change of this script may place the same bytes
        take = "cp" if isinstance(wanted, UploadedFile) and last.get(wanted.sha256) != index else "mv"
        body = _unmoved(index, change, wanted) + note + _file(index, change, wanted, take)
    elif isinstance(wanted, Setting):
        body = f"{note}out=$({families.setter(change.ref.name, wanted.value)} 2>&1) || {stop}"
    elif isinstance(wanted, NoLeftovers):
        body = leftovers.CLEAN + f"out=$({leftovers.cleaner(wanted.leaves)} 2>&1) || {stop}"
    elif isinstance(wanted, Record):
        body, forget = f"out=$({placed.adopted(change.records, change.forgets)} 2>&1) || {stop}", ""
    else:
        marked = f"out=$(mark '' {shlex.join(change.readers)} 2>&1) || {stop}" if change.readers else ""
        body = note + marked + _unit(index, change)
    return _each("begin", [index]) + body + forget + _each("done", [index])


def _forgotten(change: Change) -> str:
    forget, wanted = placed.forgotten(change.forgets), change.after
    if isinstance(wanted, NoLeftovers) and leaves_data(change):  # the record says whose it is, until it is gone
        return f"{leftovers.has_data(wanted.leaves)} || {forget}"
    return forget


def leaves_data(change: Change) -> bool:
    """Whether what programs left is removed without the data among it."""
    if not isinstance(change.after, NoLeftovers):
        return False
    own = [entry.leaves for entry in change.forgets if entry.leaves is not None]
    data = {path for leaves in own for path in leaves.data_to_remove}
    return not data <= set(change.after.leaves.folders)


def _file(index: int, change: Change, file: File | UploadedFile | Backup | Absent | Original, take: str) -> str:
    path = shlex.quote(change.ref.name)
    stop = _failed(index)
    readers = shlex.join(change.readers)
    if isinstance(file, Absent | Original):
        marked = f"mark {path} {readers} 2>&1 && " if readers else ""
        gone = f"rm -f {path}" if isinstance(file, Absent) else f"leave {path}"
        return f'out=$(keep {path} 2>&1 && {marked}{gone} 2>&1) || {stop}[ -z "$out" ] || printf "%s\\n" "$out"\n'
    owner = shlex.quote(f"{file.owner}:{file.group}")
    attributes = f"chown {owner} {path} 2>&1 && chmod {file.mode:o} {path} 2>&1"
    if change.action is Action.ATTRIBUTES:
        return f"out=$({attributes}) || {stop}"
    place = f"place {path} {file.mode:o} {shlex.quote(file.owner)} {shlex.quote(file.group)} {file.sha256}"
    time = path if change.action is Action.REWRITE else "''"
    if isinstance(file, Backup):
        # with its old time: what has not restarted since is not out of date, and what has is marked
        back = f"{{ readers={shlex.quote(readers)}; {place} {time} kept 2>&1; }}"
        there = f'[ "$(sum_of {path})" = {file.sha256} ]'
        return f"out=$(if {there}; then {attributes}; else {back}; fi) || {stop}"
    if isinstance(file, UploadedFile):
        return f"out=$({place} '' {take} 2>&1) || {stop}"
    return f"out=$({_bytes(file.content)} | {place} {time} 2>&1) || {stop}"


def _unmoved(index: int, change: Change, file: File | UploadedFile | Backup | Absent | Original) -> str:
    """Stop where the host's file is neither what the plan saw nor what it wants; the difference is the evidence."""
    before = change.before
    path = shlex.quote(change.ref.name)
    expected = (before.sha256 or "unreadable") if isinstance(before, SeenFile) else "absent"
    wanted = "absent" if isinstance(file, Absent | Original) else file.sha256
    words = f"the plan is stale: {change.ref.name} has changed on the host since it was made"
    shown = ""
    if isinstance(before, SeenFile) and before.content is not None and len(before.content) <= LARGEST_DIFF:
        shown = f' "$({_bytes(before.content)} | diff -u - {path})"'
    arrived = f"packaged {path} || " if expected == "absent" or isinstance(file, Original) else ""
    return (
        f"case $(sum_of {path}) in {expected}|{wanted}) ;; *) "
        f'{arrived}failed {index} {shlex.quote(words)} "now: $(sum_of {path})"{shown} ;; esac\n'
    )


def _bytes(content: bytes) -> str:
    """The command that prints these bytes; they are an argument of the shell's own functions, and of no program."""
    # in lines: one of megabytes would be slow to scan
    return f"bytes '\n{base64.encodebytes(content).decode()}'"


def _unit(index: int, change: Change) -> str:
    unit = shlex.quote(change.ref.name)
    fail = f'failed {index} "$out" "$(evidence {unit})"\n'
    enable = f"out=$(systemctl enable {unit} 2>&1) || {fail}"
    if change.action in (Action.STOP, Action.DISABLE):
        return _stopped(unit, change, fail)
    if change.action is Action.ENABLE:
        return enable
    restart = f"out=$(started {unit} 2>&1) || {fail}"
    if isinstance(change.before, SeenUnit) and change.before.enabled and change.before.is_active:
        return restart  # the rule, and each systemctl less is some milliseconds on each host, or a reload of systemd
    # a unit that failed too often refuses to start until its counter is cleared
    return f"{enable}systemctl reset-failed {unit} 2>/dev/null\n{restart}"


def _stopped(unit: str, change: Change, fail: str) -> str:
    stop = f"out=$(systemctl stop {unit} 2>&1) || {fail}" if change.action is Action.STOP else ""
    stays = isinstance(change.after, Unit) and change.after.enabled
    disable = "" if stays else f"out=$(systemctl disable {unit} 2>&1) || {fail}"
    # a unit that had failed would stand in systemd's list although it is gone
    return f"{stop}{disable}systemctl reset-failed {unit} 2>/dev/null\n"


def _each(word: str, indices: Iterable[int]) -> str:
    return "".join(f"{'begin' if word == 'begin' else f'say {word}'} {index}\n" for index in indices)


class Account:
    """What a running script has reported so far of its changes, line by line.

    Only the script's own changes count, each in the order in which a script reports it: what a host says of another
    change is no report. Behind the first failure stands evidence, in which a service's log may say anything.
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self._waiting = set(indices)
        self._begun: set[int] = set()
        self.done: set[int] = set()
        self.failed: int | None = None

    def hear(self, line: str) -> Report | None:
        """Read one line of output; None if it is not one of ours.

        Raises:
            Malformed: it reports a change that this script does not have, or not in this state.
        """
        mark, _, rest = line.partition(" ")
        if mark != MARK or self.failed is not None:
            return None
        word, rest = answers.words(rest, 2, "a report of changes")
        index, words = answers.words(rest, 2, "a report of changes") if word == "part" else (rest, "")
        report = Report(word, answers.whole(index, "a report of changes"), words=words[:LONGEST_PART])
        if report.index not in (self._waiting if word == "begin" else self._begun):
            raise Malformed("a report of an unknown change", line)
        if word == "begin":
            self._waiting.remove(report.index)
            self._begun.add(report.index)
        elif word == "done":
            self._begun.remove(report.index)
            self.done.add(report.index)
        elif word == "failed":
            self.failed = report.index
        elif word != "part":
            raise Malformed("a report of changes", line)
        return report


def evidence(output: str) -> str:
    """What a failed script printed after the mark of the failure; of very much, its beginning and its end."""
    _, failed, said = f"\n{output}".partition(f"\n{MARK} failed ")
    text = (said.partition("\n")[2] if failed else output).strip()
    half = LARGEST_EVIDENCE // 2
    return text if len(text) <= LARGEST_EVIDENCE else f"{text[:half]}\n[...]\n{text[-half:]}"


def evidence_script(unit: str) -> str:
    """What systemd and the journal say about a unit; reads only."""
    return f"{_PRELUDE}evidence {shlex.quote(unit)}\n"
