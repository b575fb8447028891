"""What a host has, asked by ONE read-only script: the questions, and the pure parsers of the answers.

Every question is a command of CentOS 7 (coreutils 8.22, rpm 4.11, systemd 219). Every answer is a line with a word
in front (a sum is its own), so that a missing one is noticed; systemctl's stand last, behind a line that says so.
"""

from __future__ import annotations

import base64
import re
import shlex
import stat
from collections.abc import Iterable, Sequence

from k8s_installer.desired.model import Wanted
from k8s_installer.resources import (
    File,
    Gone,
    Kept,
    Kind,
    Large,
    Missing,
    Ref,
    Seen,
    SeenFile,
    SeenPackage,
    SeenSetting,
    SeenUnit,
)

UNIT_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID",
    "ExecMainStartTimestampMonotonic", "NeedDaemonReload",
)  # fmt: skip
LARGEST_DIFF = 256 * 1024  # bytes; a larger file is compared by its sum alone
END = "end-of-observation"
_SUM_DIGITS = 64
UNITS = "units"  # what follows it is systemctl's

# Of all that a plan with nothing to do costs, this script's processes are most: one for all files' attributes, one
# for all their sums, one for all packages, one for all units, and one for the time. Everything else is the shell's own.
_FILES = """\
set -- {paths}
stat -c 'file %f %U %G %.9Y %n' "$@" 2>/dev/null
{large}sums=$(sha256sum "$@" 2>/dev/null </dev/null)
echo "$sums"
for wanted in {wanted}; do
  case $sums in *"$wanted"*) continue ;; esac
  path=${{wanted#*  }}
  [ -f "$path" ] && [ "$(stat -c %s "$path")" -le {largest} ] || continue
  printf 'content %s %s\\n' "$path" "$(base64 -w0 "$path")"
done
"""
# openssl makes them five times as fast; its lines have a star where sha256sum's have a blank
_LARGE = """\
openssl dgst -sha256 -r {paths} 2>/dev/null || sha256sum {paths} 2>/dev/null
set -- {others}
"""
_PACKAGES = "rpm -q --qf 'rpm %{{NAME}} %{{VERSION}} %{{RELEASE}} %{{INSTALLTIME}}\\n' {names} 2>&1\n"
# the one family of settings that there is
_USERS = 'for user in {names}; do getent passwd "$user" >/dev/null && echo "user $user"; done\n'
_UNITS = f"echo {UNITS}\nsystemctl show {{properties}} {{names}} 2>&1\n"
# The uptime is cut to hundredths, so a process seems to have started up to 10 ms late, never early: a file
# written just before its unit's start is never taken for newer than the process.
_CLOCK = 'read -r up idle </proc/uptime; echo "clock $(date +%s.%N) $up"\n'


def script(wanted: Sequence[Wanted]) -> str:
    """The one script that asks a host for everything in `wanted` (all of that host)."""
    files = [(item.ref.name, item.resource) for item in wanted if isinstance(item.resource, File | Large | Kept | Gone)]
    packages = [item.ref.name for item in wanted if item.ref.kind is Kind.PACKAGE]
    units = [item.ref.name for item in wanted if item.ref.kind is Kind.UNIT]
    parts = [_CLOCK]
    if files:
        shown = [f"{file.sha256}  {path}" for path, file in files if isinstance(file, File | Kept) and not file.secret]
        paths = shlex.join(path for path, _ in files)
        large = [path for path, file in files if isinstance(file, Large)]
        others = shlex.join(path for path, file in files if not isinstance(file, Large))
        apart = _LARGE.format(paths=shlex.join(large), others=others) if large else ""
        parts.append(_FILES.format(paths=paths, large=apart, wanted=shlex.join(shown), largest=LARGEST_DIFF))
    if packages:
        parts.append(_PACKAGES.format(names=shlex.join(packages)))
    settings = [item.ref.name.partition(" ")[2] for item in wanted if item.ref.kind is Kind.SETTING]
    if settings:
        parts.append(_USERS.format(names=shlex.join(settings)))
    if units:
        properties = " ".join(f"-p {name}" for name in UNIT_PROPERTIES)
        parts.append(_UNITS.format(properties=properties, names=shlex.join(f"{unit}.service" for unit in units)))
    return "".join(parts) + f"echo {END}\n"


def parse(output: str, wanted: Sequence[Wanted]) -> dict[Ref, Seen]:
    """Read the answers; what was wanted and got no answer is UNKNOWN, and so is all if the script was cut off."""
    refs = [item.ref for item in wanted if item.ref.kind is not Kind.GATE]
    lines = output.splitlines()
    if not lines or lines[-1] != END:
        return dict.fromkeys(refs, Missing.UNKNOWN)
    split = lines.index(UNITS) if UNITS in lines else len(lines)
    by_word: dict[str, list[str]] = {}
    for line in lines[:split]:
        word, _, rest = line.partition(" ")
        by_word.setdefault(word, []).append(rest)
    found: dict[tuple[Kind, str], Seen] = {
        **{(Kind.FILE, path): file for path, file in files(by_word).items()},
        **{(Kind.PACKAGE, name): package for name, package in packages(by_word).items()},
        **{(Kind.SETTING, f"user {name}"): SeenSetting("system") for name in by_word.get("user", ())},
        **{(Kind.UNIT, name): unit for name, unit in units(lines[split + 1 :], boot_time(by_word)).items()},
    }
    # stat names every file that is there, getent every user; a package or unit must be answered for by name
    absent = {Kind.FILE: Missing.ABSENT, Kind.SETTING: Missing.ABSENT}
    return {ref: found.get((ref.kind, ref.name), absent.get(ref.kind, Missing.UNKNOWN)) for ref in refs}


def boot_time(by_word: dict[str, list[str]]) -> float:
    """When the host booted by its own clock, in Unix seconds: what monotonic times are counted from."""
    now, uptime = by_word["clock"][0].split()
    return float(now) - float(uptime)


def files(by_word: dict[str, list[str]]) -> dict[str, SeenFile]:
    """From stat's, the sums' and base64's lines; anything but a regular file has an empty sum and so differs."""
    now = float(by_word["clock"][0].split()[0])
    sums = {rest[1:]: word for word, rests in by_word.items() if len(word) == _SUM_DIGITS for rest in rests}
    contents = {path: base64.b64decode(text) for path, text in _pairs(by_word.get("content", ()))}
    result: dict[str, SeenFile] = {}
    for line in by_word.get("file", ()):
        raw, owner, group, changed, path = line.split(" ", 4)
        mode, modified = int(raw, 16), float(changed)
        result[path] = SeenFile(
            sha256=sums.get(path, "") if stat.S_ISREG(mode) else "",
            mode=stat.S_IMODE(mode),
            owner=owner,
            group=group,
            # a time to come is from before the clock was set back; nothing can be told from it
            modified_at=modified if modified <= now else 0.0,
            content=contents.get(path),
        )
    return result


def packages(by_word: dict[str, list[str]]) -> dict[str, Seen]:
    """From rpm's lines: `rpm NAME VERSION RELEASE TIME`, or `package NAME is not installed`."""
    result: dict[str, Seen] = {}
    for line in by_word.get("rpm", ()):
        name, version, release, installed = line.split()
        result[name] = SeenPackage(version, release, float(installed))
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
            result[block["Id"].removesuffix(".service")] = _unit(block, boot)
            block = {}
    return result


def _unit(block: dict[str, str], boot: float) -> Seen:
    if block["LoadState"] == "not-found":
        return Missing.ABSENT
    started = int(block["ExecMainStartTimestampMonotonic"])
    return SeenUnit(
        load=block["LoadState"],
        active=block["ActiveState"],
        sub=block["SubState"],
        enabled=block["UnitFileState"] == "enabled",
        pid=int(block["MainPID"]),
        started_at=boot + started / 1e6 if started else 0.0,
        needs_reload=block["NeedDaemonReload"] == "yes",
    )


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        first, _, second = line.partition(" ")
        yield first, second
