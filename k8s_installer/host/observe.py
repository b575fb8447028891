"""What a host has, asked by ONE read-only script: the questions, and the pure parsers of the answers.

Every question is a command of CentOS 7 (coreutils 8.22, rpm 4.11, systemd 219). Every answer is a line with a word
in front (a sum is its own), so that a missing one is noticed; systemctl's come last, after a line that says so.

A file that is as it was when it was last summed, by its inode, size and ctime (which nobody can set), is not read
again, and rpm is not asked while its database is the same: as git knows a work tree. The host compares, and gives the
remembered answer.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import shlex
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from k8s_installer.host import families, leftovers, placed, statedir
from k8s_installer.host.paths import RPM_DATABASES, RPM_LOG
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Data,
    File,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    Original,
    Record,
    Ref,
    Seen,
    SeenFile,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    UploadedFile,
)
from k8s_installer.pki import encryption
from k8s_installer.pki.leaves import ENCRYPTION
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

UNIT_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID",
    "ExecMainStartTimestampMonotonic", "NeedDaemonReload",
)  # fmt: skip
LARGEST_DIFF = 256 * 1024  # bytes; a larger file is compared by its sum alone
END = "end-of-observation"
UNITS = "units"  # what follows it is systemctl's

_NAMELESS = "UNKNOWN"  # as stat says of an owner without a name
_TYPES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
# Within so many seconds a file can change twice and keep its ctime, which the kernel counts in ticks.
_RACY_SECONDS = 2.0
_SEGMENT = "*.wal"  # what the files of a write-ahead log are called

# Of all that a plan with nothing to do costs, this script's processes are most: one for all attributes, one for the
# sums, one for all packages, one for all units, and one for the time; settings cost none where a host has none of them.
# A file that differs is looked at closer, and its old bytes are said. Everything else is the shell's own. What is
# answered is said at once at the end, or nearly: each piece that a shell says is a packet for both sides to encrypt.
# A name has no colon, but may have blanks, as groups of Active Directory do.
_STAT = "looked=$(stat -c 'file %f %U:%G:%u:%g %.9Y %d:%i:%s:%.9Z %n' {paths} 2>/dev/null)\n"
_SUMS = """\
rendered() {{ # path: whether one of the first two lines is the header that this program writes
  {{ read -r one; read -r two; }} <"$1"
  case $one$two in *{rendered}*) echo "rendered $1" ;; esac
}}
shown() {{ [ -f "$1" ] && [ "$(stat -c %s "$1")" -le {largest} ]; }}
set --
for path in {paths}; do [ ! -f "$path" ] || set -- "$@" "$path"; done # a pipe or a device could be read for ever
sums=
for known in {known}; do
  line=${{known#* }}
  case $looked in
    *" ${{known%% *}} ${{line#*  }}"*) sums="$sums$line
" ;;
    *) [ ! -f "${{line#*  }}" ] || set -- "$@" "${{line#*  }}" ;;
  esac
done
[ $# -eq 0 ] || sums=$sums$(sha256sum "$@" 2>/dev/null)
for entry in {wanted}; do
  path=${{entry#*  }} sum=${{entry%%  *}}
  sum=${{sum#?}}
  case $sums$large in *"$sum  $path"* | *"$sum *$path"*) continue ;; esac
  there=yes
  [ -e "$path" ] || [ -L "$path" ] || there=
  [ "$sum$there" != absent ] || continue
  folder=${{path%/*}}
  until [ -e "${{folder:=/}}" ] || [ -L "$folder" ]; do folder=${{folder%/*}}; done
  if [ -L "$path" ]; then
    echo "obstacle $path is a symbolic link to $(printf %s "$(readlink "$path")" | tr '[:cntrl:]' '?')"
  elif [ ! -d "$folder" ]; then
    echo "obstacle $path is below $folder, which is not a folder"
  elif [ ! -w "$folder" ] || {{ [ -n "$there" ] && [ ! -w "$path" ]; }}; then
    echo "obstacle $path cannot be written: it or $folder is immutable (lsattr -d), or mounted read-only"
  fi
  case $entry in
    [=%]*) [ -f "$kept/$sum" ] || echo "obstacle $path {not_kept}" ;;
    [:,]*)
      original=$(original_of "$path")
      if [ -f "$original" ]; then
        sum=$(sha256sum <"$original")
        echo "original $path ${{sum%% *}}"
        case $entry in :*) ! shown "$original" || printf 'kept %s %s\n' "$path" "$(base64 -w0 "$original")" ;; esac
      fi
      case $entry in ,*) continue ;; esac
      ;;
  esac
  case $entry in
    @*) ! shown "$path" || {{ rendered "$path"; sealed "$path"; }}; continue ;;
    -*) ! shown "$path" || rendered "$path"; continue ;;
    %*) continue ;;
    =*) shown "$kept/$sum" && printf 'kept %s %s\n' "$path" "$(base64 -w0 "$kept/$sum")" ;;
  esac
  shown "$path" && printf 'content %s %s\n' "$path" "$(base64 -w0 "$path")"
done
"""
# openssl makes them five times as fast; its lines have a star where sha256sum's have a blank
_LARGE = """\
set --
for path in {paths}; do [ ! -f "$path" ] || set -- "$@" "$path"; done
[ $# -eq 0 ] || large=$(openssl dgst -sha256 -r "$@" 2>/dev/null || sha256sum "$@" 2>/dev/null)
"""
_ASK_RPM = (
    "packages=$(rpm -q --qf 'rpm %{{NAME}} %{{VERSION}} %{{RELEASE}} %{{INSTALLTIME}} %|EPOCH?{{%{{EPOCH}}}}|\\n' "
    "{names} 2>&1)\n"
)
_PACKAGES = """\
log=
[ ! -s {log} ] || log=busy
case $looked$log in
*{database}) packages={answer} ;;
*) {ask} ;;
esac
"""
ROOT = "root=${K8S_INSTALLER_ROOT-}\n"  # of a test's files; a host's own are at /
_SETTINGS = "ask_settings() {{\n{questions}}}\nsettings=$(ask_settings)\n"
_RECORD = '"$state/placed"'
_ASK_RECORD = """\
case $looked in
  *" "{stamp}" $state/placed"*) placed="record same $state/placed" ;;
  *" $state/placed"*) placed="record new $state/placed
$(cat "$state/placed")" ;;
esac
"""
_UNITS = "units=$(systemctl show {properties} {names} 2>&1)\n"
# The uptime is cut to hundredths, so a process seems to have started up to 10 ms late, never early: a file
# written just before its unit's start is never taken for newer than the process.
_CLOCK = """\
looked= large= sums= packages= placed= settings= units=
read -r up idle </proc/uptime; clock="clock $(date +%s.%N) $up"
"""
_SAY = (
    f"""printf '%s\\n' "$clock" "$looked" "$large" "$sums" "$packages" "$placed" "$settings" {UNITS} "$units" {END}\n"""
)


_FILE = re.compile(
    r"([0-9a-f]{1,8}) ([^:\0-\x1f]{1,256}):([^:\0-\x1f]{1,256}):([0-9]{1,10}):([0-9]{1,10}) "
    r"(-?[0-9.]+) ([0-9]+:[0-9]+:[0-9]+:-?[0-9.]+) (/.*)"
)


@dataclass(frozen=True, slots=True)
class HostCache:
    """What a host answered the last time: sums by path, each with the file's stamp, and rpm's answer.

    A stamp is `device:inode:size:ctime`. `database` are the lines of stat for rpm's database, and `packages` are rpm's
    own lines; both are empty where nothing is remembered. `record` are the lines of the record of what was placed, of
    the stamp `record_stamp`.
    """

    sums: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    database: str = ""
    packages: tuple[str, ...] = ()
    record_stamp: str = ""
    record: tuple[str, ...] = ()


def script(wanted: Sequence[DesiredResource], memory: HostCache | None = None) -> str:
    """The one script that asks a host for everything in `wanted` (all of that host), but for what is remembered."""
    memory = memory or HostCache()
    files = [
        (item.ref.name, item.resource)
        for item in wanted
        if isinstance(item.resource, File | UploadedFile | Backup | Absent | Original)
    ]
    packages = [item.ref.name for item in wanted if item.ref.kind is Kind.PACKAGE]
    settings = [item.ref.name for item in wanted if item.ref.kind is Kind.SETTING]
    units = [item.ref.name for item in wanted if item.ref.kind is Kind.UNIT]
    paths = [path for path, _ in files]
    # by a pattern of the shell's, which costs no process: an empty folder has no log
    logs = [f"{shlex.quote(item.ref.name)}/{_SEGMENT}" for item in wanted if isinstance(item.resource, Data)]
    due = [f'"$state"/{mark}/{shlex.quote(unit)}' for unit in units for mark in ("due", "reload")]
    parts = [statedir.FOLDERS, _CLOCK]
    records = any(isinstance(item.resource, Record) for item in wanted)
    if files or packages or logs or due or records:
        # rpm's database stands last: what is remembered of it is compared with the end of what stat says
        quoted = [
            shlex.join(paths),
            *logs,
            *due,
            _RECORD if records else "",
            shlex.join(RPM_DATABASES if packages else ()),
        ]
        parts.append(_STAT.format(paths=" ".join(filter(None, quoted))))
    if files:
        # a file that differs from what is wanted is read again: its content is wanted too
        known = [
            f"{memory.sums[path][0]} {file.sha256}  {path}"
            for path, file in files
            if path in memory.sums and not isinstance(file, Absent | Original) and memory.sums[path][1] == file.sha256
        ]
        remembered = {entry.rpartition("  ")[2] for entry in known}
        entries = [f"{_mark(file)}{_sum(file)}  {path}" for path, file in files]
        large = [path for path, file in files if isinstance(file, UploadedFile) and path not in remembered]
        new = [path for path in paths if path not in remembered and path not in large]
        parts.append(_LARGE.format(paths=shlex.join(large)) if large else "")
        parts.append(encryption.SHELL if any(map(_is_sealed, dict(files).values())) else "")
        parts.append(placed.ORIGINAL if any(isinstance(file, Original) for _, file in files) else "")
        parts.append(
            _SUMS.format(
                not_kept=statedir.NOT_KEPT,
                rendered=shlex.quote(placed.RENDERED),
                paths=shlex.join(new),
                known=shlex.join(known),
                wanted=shlex.join(entries),
                largest=LARGEST_DIFF,
            )
        )
    if packages:
        ask = _ASK_RPM.format(names=shlex.join(packages))
        answered = {line.partition(" ")[2].partition(" ")[0] for line in memory.packages}
        if memory.database and answered == set(packages):
            answer = shlex.quote("\n".join(memory.packages))
            ask = _PACKAGES.format(
                log=RPM_LOG, database=shlex.quote(memory.database), answer=answer, ask=ask.rstrip("\n")
            )
        parts.append(ask)
    if records:
        parts.append(_ASK_RECORD.format(stamp=shlex.quote(memory.record_stamp or "none")))
    questions = families.questions(settings) + leftovers.questions(_leaves(wanted))
    if questions:
        parts.append(ROOT + _SETTINGS.format(questions=questions))
    if units:
        properties = " ".join(f"-p {name}" for name in UNIT_PROPERTIES)
        parts.append(_UNITS.format(properties=properties, names=shlex.join(f"{unit}.service" for unit in units)))
    return "".join(parts) + _SAY


def _mark(file: File | UploadedFile | Backup | Absent | Original) -> str:
    """Whether the content is asked for where it differs (+), or not (-); and the same of what a host must have kept.

    That is = where the content of both is asked for, and % where it is secret. Of a configuration with keys of Secrets
    their sums are (@). With : and , (where it is secret) the file from before this program is asked for.
    """
    if _is_sealed(file):
        return "@"
    if isinstance(file, Original):
        return "," if file.secret else ":"
    if isinstance(file, Backup):
        return "%" if file.secret else "="
    return "+" if isinstance(file, File) and not file.secret else "-"


def _sum(file: File | UploadedFile | Backup | Absent | Original) -> str:
    """The sum that is as wanted; a word that is no sum where there is none."""
    if isinstance(file, Original):
        return "original"
    return "absent" if isinstance(file, Absent) else file.sha256


def _is_sealed(file: File | UploadedFile | Backup | Absent | Original) -> bool:
    return isinstance(file, File) and file.secret and ENCRYPTION in file.made_of


def _leaves(wanted: Sequence[DesiredResource]) -> list[Leaves]:
    return [item.resource.leaves for item in wanted if isinstance(item.resource, NoLeftovers)]


def parse(output: str, wanted: Sequence[DesiredResource], memory: HostCache | None = None) -> dict[Ref, Seen]:
    """Read the answers; what was wanted and got no answer is UNKNOWN, and so is all if the script was cut off.

    Args:
        output: what the script printed.
        wanted: what was asked for.
        memory: what the script was made with.

    Raises:
        Malformed: a line is not what its question prints.
    """
    refs = [item.ref for item in wanted if item.ref.kind is not Kind.GATE]
    lines = answers.lines(output)
    if not lines or lines[-1] != END:
        return dict.fromkeys(refs, Missing.UNKNOWN)
    split = lines.index(UNITS) if UNITS in lines else len(lines)
    record = _record(lines[:split], memory or HostCache())
    by_word: dict[str, list[str]] = {}
    for line in lines[:split]:
        word, _, rest = line.partition(" ")
        by_word.setdefault(word, []).append(rest)
    there = files(by_word)
    now, uptime = clock(by_word.get("clock", ()))
    by_unit = _marked(units(lines[split + 1 :], now - uptime), there, now, uptime)
    found: dict[tuple[Kind, str], Seen] = {
        **{(Kind.DATA, posixpath.dirname(path)): file for path, file in there.items() if path.endswith(_SEGMENT[1:])},
        **{(Kind.FILE, path): file for path, file in there.items()},
        **{(Kind.PACKAGE, name): package for name, package in packages(by_word).items()},
        **{(Kind.UNIT, name): unit for name, unit in by_unit.items()},
        **{(Kind.SETTING, name): setting for name, setting in settings(by_word).items()},
        **{
            (Kind.LEFTOVERS, name): left
            for name, left in leftovers.parse(
                by_word.get(leftovers.WORD, ()),
                _leaves(wanted),
                by_word.get(leftovers.OWNER, ()),
                by_word.get(leftovers.STAYS, ()),
            ).items()
        },
        (Kind.RECORD, placed.NAME): SeenRecord(placed.parse(record)) if "record" in by_word else Missing.ABSENT,
    }
    # stat names every file that is there; anything else must be answered for by name
    absent = {Kind.FILE: Missing.ABSENT, Kind.DATA: Missing.ABSENT}
    return {ref: found.get((ref.kind, ref.name), absent.get(ref.kind, Missing.UNKNOWN)) for ref in refs}


def _record(lines: Sequence[str], memory: HostCache) -> Sequence[str]:
    """The lines of the host's record, from the answer or from memory."""
    if any(line.startswith("record same ") for line in lines):
        return memory.record
    return [line for line in lines if line.startswith(("+\t", "-\t"))]


def remember(output: str, memory: HostCache | None = None) -> HostCache:
    """What can be relied on the next time; nothing of a script that was cut off. `memory` is from the time before.

    Raises:
        Malformed: a line is not what its question prints.
    """
    lines = answers.lines(output)
    if not lines or lines[-1] != END:
        return HostCache()
    now, _ = clock(line.removeprefix("clock ") for line in lines if line.startswith("clock "))
    looked = [line for line in lines if line.startswith("file ")]
    settled = {
        path: stamp
        for *_, stamp, path in (_file(line.removeprefix("file ")) for line in looked)
        if answers.seconds(stamp.rpartition(":")[2], "a file's ctime") < now - _RACY_SECONDS
    }
    sums = {line[66:]: line[:64] for line in lines if line[64:66] in ("  ", " *") and answers.is_sha256(line[:64])}
    database = [line for line in looked if line.endswith(RPM_DATABASES)]
    packages = tuple(line for line in lines if line.startswith(("rpm ", "package ")))
    whole = bool(database) and all(line.rpartition(" ")[2] in settled for line in database)
    record = next((settled.get(line.split(" ", 2)[2], "") for line in lines if line.startswith("record ")), "")
    return HostCache(
        {path: (settled[path], digest) for path, digest in sums.items() if path in settled},
        "\n".join(database) if whole else "",
        packages if whole else (),
        record,
        tuple(_record(lines, memory or HostCache())) if record else (),
    )


def clock(lines: Iterable[str]) -> tuple[float, float]:
    """The host's time (Unix seconds) and uptime (seconds), from the first of its lines about that."""
    now, uptime = answers.words(next(iter(lines), ""), 2, "the clock")
    return answers.seconds(now, "the clock"), answers.seconds(uptime, "the uptime")


def _file(line: str) -> tuple[str, str, str, str, str, str]:
    """A line of stat: mode, owner, group, mtime, stamp, path; what nobody has a name for is put back by its number."""
    found = _FILE.fullmatch(line)
    if found is None:
        raise Malformed("stat", line)
    mode, owner, group, uid, gid, modified, stamp, path = found.groups()
    owner, group = uid if owner == _NAMELESS else owner, gid if group == _NAMELESS else group
    return mode, owner, group, modified, stamp, path


def files(by_word: Mapping[str, Sequence[str]]) -> dict[str, SeenFile]:
    """From stat's, the sums' and base64's lines; anything but a regular file has an empty sum and so differs."""
    now, _ = clock(by_word.get("clock", ()))
    sums = {rest[1:]: word for word, rests in by_word.items() if answers.is_sha256(word) for rest in rests}
    contents = {
        path: answers.from_base64(text, f"the content of {path}") for path, text in _pairs(by_word.get("content", ()))
    }
    kept = {path: answers.from_base64(text, f"the backup of {path}") for path, text in _pairs(by_word.get("kept", ()))}
    obstacles, originals = (dict(_pairs(by_word.get(word, ()))) for word in ("obstacle", "original"))
    rendered = frozenset(by_word.get("rendered", ()))
    sealed: dict[str, set[str]] = {}
    for path, digest in _pairs(by_word.get("sealed", ())):
        sealed.setdefault(path, set()).add(digest)
    result: dict[str, SeenFile] = {}
    for line in by_word.get("file", ()):
        raw, owner, group, changed, stamp, path = _file(line)
        mode, modified = answers.hexadecimal(raw, "a file's mode"), answers.seconds(changed, "a file's mtime")
        digest = sums.get(path, "") if stat.S_ISREG(mode) else ""
        result[path] = SeenFile(
            sha256=digest,
            mode=stat.S_IMODE(mode),
            owner=owner,
            group=group,
            # a time to come is from before the clock was set back; nothing can be told from it
            modified_at=modified if modified <= now else 0.0,
            content=contents.get(path),
            kept=kept.get(path),
            original=originals.get(path, ""),
            sealed=frozenset(sealed.get(path, ())),
            rendered=path in rendered or _is_rendered(contents.get(path, b"")),
            obstacle=obstacles.get(path, "") or _obstacle(mode, answers.whole(stamp.split(":")[2], "a size"), digest),
        )
    # what is not there, and cannot be made or is to come back
    missing = {
        path: SeenFile(
            "", 0, "", "", 0.0, obstacle=obstacles.get(path, ""), kept=kept.get(path), original=originals.get(path, "")
        )
        for path in (*obstacles, *originals)
    }
    return {**missing, **result}


def _is_rendered(content: bytes) -> bool:
    return placed.RENDERED.encode() in b"\n".join(content.split(b"\n", 2)[:2])


def _obstacle(mode: int, size: int, digest: str) -> str:
    """Why a file of this type, size and sum cannot be changed so that it could be put back; empty if it can."""
    if stat.S_ISREG(mode):
        if size > statedir.LARGEST_UPLOAD:
            return f"has {size >> 20} MB, more than a rollback can keep"
        return "" if digest else "cannot be read"
    return f"is {_TYPES.get(stat.S_IFMT(mode), 'a device')}"


def _marked(by_unit: Mapping[str, Seen], by_path: Mapping[str, SeenFile], now: float, uptime: float) -> dict[str, Seen]:
    """The units with what their marks say: see `hoststate`."""
    due, reload = (
        {path.rpartition(f"/{mark}/")[2]: file.modified_at for path, file in by_path.items() if f"/{mark}/" in path}
        for mark in ("due", "reload")
    )
    found: dict[str, Seen] = {}
    for name, unit in by_unit.items():
        if isinstance(unit, SeenUnit):
            stale = reload.get(name, 0.0) > now - uptime  # at a boot systemd loads everything
            # what has started by a definition that is not the file's has to restart, whenever that was
            due_at = now if stale and unit.started_at > reload[name] else due.get(name, 0.0)
            again, age = unit.needs_reload or stale, now - unit.started_at
            unit = dataclasses.replace(unit, needs_reload=again, due_at=due_at, age=age)  # noqa: PLW2901
        found[name] = unit
    return found


def packages(by_word: Mapping[str, Sequence[str]]) -> dict[str, Seen]:
    """From rpm's lines: `rpm NAME VERSION RELEASE TIME [EPOCH]`, or `package NAME is not installed`."""
    result: dict[str, Seen] = {}
    for line in by_word.get("rpm", ()):
        name, version, release, rest = answers.words(line, 4, "rpm")
        installed, *epoch = rest.split(" ", 1)
        result[name] = SeenPackage(version, release, answers.seconds(installed, "rpm's time of install"), *epoch)
    for line in by_word.get("package", ()):
        missing = re.fullmatch(r"(\S+) is not installed", line)
        if missing:
            result[missing[1]] = Missing.ABSENT
    return result


def units(lines: Iterable[str], boot: float) -> dict[str, Seen]:
    """From `systemctl show`: blocks of KEY=VALUE; `LoadState=not-found` is an absent unit."""
    result: dict[str, Seen] = {}
    block: dict[str, str] = {}
    for line in (*lines, ""):
        key, equals, value = line.partition("=")
        if equals:
            block[key] = value
        elif block:
            there = block.get("LoadState") != "not-found"  # what is not there may have nothing more to say
            missing = [name for name in (UNIT_PROPERTIES if there else ("Id",)) if name not in block]
            if missing:
                raise Malformed(f"systemctl show, without {missing[0]}", "")
            result[block["Id"].removesuffix(".service")] = _unit(block, boot)
            block = {}
    return result


def settings(by_word: Mapping[str, Sequence[str]]) -> dict[str, Seen]:
    """From the lines of `families.questions`."""
    return {
        name: Missing.ABSENT if value is None else SeenSetting(value)
        for name, value in families.answers(by_word.get("setting", ()))
    }


def _unit(block: dict[str, str], boot: float) -> Seen:
    if block["LoadState"] == "not-found":
        return Missing.ABSENT
    started = answers.whole(block["ExecMainStartTimestampMonotonic"], "the start of a unit's process", 16)  # µs
    return SeenUnit(
        load=block["LoadState"],
        active=block["ActiveState"],
        sub=block["SubState"],
        enabled=block["UnitFileState"] == "enabled",
        pid=answers.whole(block["MainPID"], "a unit's process"),
        started_at=boot + started / 1e6 if started else 0.0,
        needs_reload=block["NeedDaemonReload"] == "yes",
    )


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        first, _, second = line.partition(" ")
        yield first, second
