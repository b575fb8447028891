"""What the script of `ask` printed on a host, read as `Answers`. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Interface
from itertools import pairwise

from k8s_installer.preflight.ask import END
from k8s_installer.preflight.model import Answers, Disk, ImageReply, Listener, Yum
from k8s_installer.preflight.tables import (
    LINK_SECONDS,
    SYNC_WRITES,
)
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed


def parse(output: str, heard_at: float) -> Answers | None:
    """Read what `script` printed; None where it was cut off.

    Args:
        output: what it printed.
        heard_at: our own time, in Unix seconds, when its first line came.

    Raises:
        Malformed: a line is not what its question prints.
    """
    lines = answers.lines(output)
    if END not in lines:
        return None
    replies: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        replies.setdefault(word, []).append(rest)
    first = {word: rests[0].strip() for word, rests in replies.items()}
    ids = dict(line.split(" ", 1) for line in replies.get("id", ()) if " " in line)
    return Answers(
        os=dict(assignments(replies.get("os", ()))),
        systemd=_number(first.get("systemd", "")),
        kernel=first.get("kernel", ""),
        machine=first.get("machine", ""),
        memory_mib=_number(first.get("memory", "")) // 1024,
        cpus=_number(first.get("cpus", "")),
        missing_modules=frozenset(replies.get("no-module", ())),
        missing_tools=frozenset(replies.get("no-tool", ())),
        disks=dict(_disks(replies)),
        sync_ms=_sync(replies["sync"][0]) if "sync" in replies else None,
        no_ftype=next((mount for ftype, mount in map(_pair, replies.get("xfs", ())) if ftype == "0"), ""),
        listeners=tuple(_listeners(replies)),
        reached=dict(_reached(replies.get("reach", ()))),
        offset=answers.seconds(first.get("clock", ""), "the clock") - heard_at,
        hostname=first.get("hostname", ""),
        resolves="resolves" in replies,
        machine_id=ids.get("machine-id", ""),
        boot_id=ids.get("boot_id", ""),
        product_uuid=ids.get("product_uuid", "").lower(),
        networks=tuple(networks(replies.get("address", ()))),
        installed=dict(line.split(" ", 1) for line in replies.get("rpm", ()) if " " in line),
        leftovers=_grouped(replies.get("data", ())),
        unit_files=tuple(replies.get("unit-file", ())),
        daemon_json=frozenset(replies.get("daemon-json", ())),
        active=frozenset(replies.get("active", ())),
        enforcing="enforcing" in replies,
        swap=tuple(" ".join(line.split()) for line in replies.get("swap", ())),
        name_server=first.get("name-server", ""),
        yum=_yum(first["yum-status"], replies.get("yum", ())) if "yum-status" in replies else None,
        etcd_log=_grouped(replies.get("etcd-log", ())),
        images=dict(_images(replies.get("image", ()))),
    )


def _number(text: str) -> int:
    found = re.match(r"[0-9]{1,18}", text)
    return int(found[0]) if found else 0


def assignments(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read the lines of /etc/os-release, whose values may be quoted as in a shell."""
    for line in lines:
        name, _, value = line.partition("=")
        yield name, value.strip("\"'")


def _disks(replies: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Disk]]:
    """From `df -P`: PATH, then file system, size, used, available, use in per cent, and where it is mounted."""
    inodes = dict(map(_pair, replies.get("inodes", ())))
    for line in replies.get("space", ()):
        path, _, _, _, free, _, mount = _columns(line, 7)
        _, total, _, left, *_ = _columns(inodes.get(path, "- 0 0 0"), 4)
        counted = answers.whole(left, "df -i") if total.strip("0").isdecimal() else None
        yield path, Disk(mount, answers.whole(free, "df") // 1024, counted)


def _columns(line: str, least: int) -> list[str]:
    """The words of a table's line, of which the last may have blanks."""
    found = line.split(None, max(least - 1, 6))
    if len(found) < least:
        raise Malformed("a table", line)
    return found


def _sync(words: str) -> float | None:
    """From dd's last line, in milliseconds for one write; it says nothing when it is ended by `timeout`."""
    if not words.strip():
        return math.inf
    took = re.search(r"copied, ([0-9]{1,9}(?:\.[0-9]{1,9})?(?:e[+-][0-9]{1,2})?) s", words)
    return float(took[1]) * 1000 / SYNC_WRITES if took else None


def _listeners(replies: Mapping[str, Sequence[str]]) -> Iterator[Listener]:
    """From ss: `LISTEN 0 128 *:6443 *:* users:(("haproxy",pid=812,fd=5))`; the last is not there for everybody.

    A process that starts another shares its sockets with it until the other runs its own program, so of several the
    one that systemd knows is meant: the other may be gone before it is asked for its unit.
    """
    units = {pid: unit.removesuffix(".service") for pid, unit in map(_pair, replies.get("pid", ()))}
    seen: set[tuple[int, int]] = set()
    for line in replies.get("listen", ()):
        words = line.split()
        if len(words) < 5:  # noqa: PLR2004 - an empty line, where nobody listens
            continue
        port = answers.whole(words[3].rpartition(":")[2], "a port")
        holders = re.findall(r'\("([^"]*)",pid=([0-9]{1,18})', line)
        program, number = next((one for one in holders if units.get(one[1])), next(iter(holders), ("", "0")))
        pid = int(number)
        if (port, pid) not in seen:  # once for IPv4 and once for IPv6
            seen.add((port, pid))
            yield Listener(port, program, pid, units.get(str(pid), ""))


def _reached(lines: Sequence[str]) -> Iterator[tuple[tuple[str, int], str]]:
    """Connected or refused is reached: something answers, if only the host. Anything else is reported."""
    for line in lines:
        address, text, status, said = answers.words(f"{line} ", 4, "a link")
        said, port = said.strip(), answers.whole(text, "a port")
        if status == "124":
            yield (address, port), f"no answer in {LINK_SECONDS} s"
        else:
            yield (address, port), "" if status == "0" or said == "Connection refused" else said


def _images(lines: Sequence[str]) -> Iterator[tuple[str, ImageReply]]:
    """Each line: the reference, `plain` or the HTTP status, how curl ended, and its words."""
    for line in lines:
        reference, status, curl, said = answers.words(f"{line} ", 4, "an image")
        plain = status == "plain"
        code = 0 if plain else answers.whole(status, "an HTTP status")
        yield reference, ImageReply(code, answers.whole(curl, "curl's status"), said.strip(), plain)


def networks(lines: Sequence[str]) -> Iterator[tuple[str, IPv4Interface]]:
    """Read `ip -4 -o addr`: `2: eth0    inet 10.77.0.11/24 brd ...`; of a peer's address, our own end."""
    for line in lines:
        _, name, _, text, *_ = _columns(line, 4)
        try:
            yield name, IPv4Interface(text)
        except ValueError:
            raise Malformed("an address", text) from None


def _grouped(lines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    result: dict[str, tuple[str, ...]] = {}
    for key, value in map(_pair, lines):
        result[key] = (*result.get(key, ()), value)
    return result


def _pair(line: str) -> tuple[str, str]:
    first, _, second = line.partition(" ")
    return first, second


def _yum(status: str, lines: Sequence[str]) -> Yum:
    said = [line.strip() for line in lines if line.strip()]
    return Yum(answers.whole(status, "yum's status"), offers(lines), "\n".join(said))


def offers(lines: Sequence[str]) -> dict[str, frozenset[str]]:
    """Read `yum list available`, as VERSION-RELEASE by name.

    Its lines are NAME.ARCH, [EPOCH:]VERSION-RELEASE, repository; yum 3.4 breaks long ones in two.
    """
    found: dict[str, set[str]] = {}
    words = [word for line in lines for word in line.split()]
    for name, version in pairwise(words):
        package = re.fullmatch(r"(\S+)\.(?:x86_64|noarch|i686|aarch64|ppc64le|s390x)", name)
        if package:
            found.setdefault(package[1], set()).add(version.partition(":")[2] or version)
    return {name: frozenset(versions) for name, versions in found.items()}
