"""The one script that asks a host for everything at once, and the parser of its answer. Pure.

Every question is a command of CentOS 7, and every answer a line with a word in front. The script reads only, but for
yum's own cache, and for a temporary file of 90 KB that it writes where etcd's data will be, and removes; both only
where packages are missing.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Interface
from itertools import pairwise

from k8s_installer.host import paths
from k8s_installer.host.families import yum_proxy
from k8s_installer.host.observe import ROOT
from k8s_installer.inventory import Role
from k8s_installer.preflight.model import Answers, Disk, Listener, Needs, Yum
from k8s_installer.preflight.tables import (
    ENGINES,
    FIREWALL,
    IPVS_MODULES,
    LINK_SECONDS,
    LINKS_AT_ONCE,
    NAME_SECONDS,
    OWN_TOOLS,
    SYNC_BYTES,
    SYNC_SECONDS,
    SYNC_WRITES,
    TOOLS,
    YUM_SECONDS,
)
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

END = "end-of-preflight"

_SYSTEM = f"""\
echo "clock $(date +%s.%N)"
sed 's/^/os /' {paths.OS_RELEASE} 2>/dev/null
systemctl --version 2>/dev/null | sed -n '1p'
echo "kernel $(uname -r)"
echo "machine $(uname -m)"
sed -n 's/^MemTotal:/memory/p' /proc/meminfo
echo "cpus $(nproc)"
sed -n '2,$s/^/swap /p' {paths.SWAPS}
echo "hostname $(uname -n)"
timeout {NAME_SECONDS} getent hosts "$(uname -n)" >/dev/null && echo resolves
if grep -q '^nameserver' {paths.RESOLV_CONF} 2>/dev/null; then
  timeout {NAME_SECONDS} getent hosts k8s-installer.invalid >/dev/null
  [ $? != 124 ] || echo 'name-server silent'
else
  echo 'name-server none'
fi
for id in {paths.MACHINE_ID} {paths.BOOT_ID} {paths.PRODUCT_UUID}; do
  [ -r $id ] && echo "id ${{id##*/}} $(cat $id)"
done
ip -4 -o addr show 2>/dev/null | sed 's/^/address /'
[ "$(cat {paths.SELINUX_ENFORCE} 2>/dev/null)" = 1 ] && echo enforcing
for tool in {" ".join([*TOOLS, *OWN_TOOLS])}; do command -v $tool >/dev/null || echo "no-tool $tool"; done
for unit in {" ".join([*ENGINES, FIREWALL])}; do systemctl is-active --quiet $unit && echo "active $unit"; done
grep -o '"[a-z0-9-]*" *:' {paths.DAEMON_JSON} 2>/dev/null | sed 's/^"/daemon-json /; s/".*//'
"""
_DEMANDS = """\
for module in {modules}; do
  [ -d /sys/module/$module ] || modprobe -n -q $module 2>/dev/null || echo "no-module $module"
done
nearest() {{
  there=$1
  while [ ! -d "$there" ]; do there=${{there%/*}}; there=${{there:-/}}; done
}}
for path in {room}; do
  nearest $path
  df -Pk "$there" | sed -n "2s|^|space $path |p"
  df -Pi "$there" | sed -n "2s|^|inodes $path |p"
done
nearest {overlay}
if [ "$(stat -f -c %T "$there")" = xfs ]; then
  mount=$(df -P "$there" | awk 'NR == 2 {{ print $6 }}')
  xfs_info "$mount" 2>/dev/null | sed -n "s|.*ftype=\\([01]\\).*|xfs \\1 $mount|p"
fi
for path in {remains}; do
  find $path -mindepth 1 -maxdepth 1 ! -name lost+found 2>/dev/null | sort | head -n 3 | sed "s|^|data $path |"
done
"""
_PORTS = """\
listening=$(ss -ltnp 2>/dev/null | grep -E ':({ports}) ')
printf '%s\\n' "$listening" | sed 's/^/listen /'
for pid in $(printf '%s\\n' "$listening" | grep -o 'pid=[0-9]*' | sort -u); do
  unit=$(grep -o '/system\\.slice/.*\\.service' /proc/${{pid#pid=}}/cgroup 2>/dev/null | tail -n 1)
  echo "pid ${{pid#pid=}} ${{unit##*/}}"
done
"""
_UNITS = """\
for unit in {units}; do
  [ -e {folder}/$unit.service ] && echo "unit-file {folder}/$unit.service"
done
"""
_PACKAGES = """\
rpm -q --qf 'rpm %{{NAME}} %{{VERSION}}\\n' {all} 2>&1
missing=$(rpm -q {wanted} 2>/dev/null | sed -n 's/^package \\(.*\\) is not installed$/\\1/p')
"""
_SYNC = f"""\
if [ -n "$missing" ]; then
  nearest {paths.ETCD_DATA}
  if file=$(umask 077; mktemp "$there/.k8s-installer.XXXXXX" 2>/dev/null); then
    echo "sync $(timeout {SYNC_SECONDS} dd if=/dev/zero of="$file" bs={SYNC_BYTES} count={SYNC_WRITES} \
oflag=dsync 2>&1 | tail -n 1)"
    rm -f "$file"
  fi
fi
"""
# A first log replaces its folder by a new one from beside it. `.` and `..` of a path are refused when it is read.
_ETCD_LOG = """\
log={log}
if [ -n "$(find "$log" -maxdepth 1 -name '*.wal' 2>/dev/null | head -n 1)" ]; then
  echo "etcd-log old $log"
elif mountpoint -q "$log"; then
  echo "etcd-log mount $log"
else
  find "$log" -mindepth 1 -maxdepth 1 2>/dev/null | sort | head -n 3 | sed 's/^/etcd-log holds /'
  [ "$(stat -c %U "${{log%/*}}" 2>/dev/null)" = etcd ] ||
    find "${{log%/*}}" -mindepth 1 -maxdepth 1 ! -path "$log" ! -name lost+found 2>/dev/null | sort | head -n 4 |
    sed 's/^/etcd-log beside /'
fi
"""
# Both take seconds, so they are asked at the same time: stages of a pipeline, heard one after the other.
_TOGETHER = """\
{links} | {{
  if [ -n "$missing" ] && {asks}; then
    answer=$(timeout -k 5 {seconds} yum -q list available --showduplicates $missing 2>&1)
    echo "yum-status $?"
    printf '%s\\n' "$answer" | sed 's/^/yum /'
  fi
  cat
}}
"""
# By bash, for curl does not tell a refusal, which comes from the host, from a filter's "no route". A process each.
_LINKS = """\
{{
  reach() {{
    said=$(timeout {seconds} bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1)
    echo "reach $1 $2 $? ${{said##*: }}"
  }}
  printf '%s\\n' {pairs} | {{
    asked=0
    while read -r address port; do
      reach $address $port &
      asked=$((asked + 1))
      [ $((asked % {at_once})) != 0 ] || wait
    done
    wait
  }}
}}"""


def script(needs: Needs) -> str:
    """The one script that asks a host for everything that could be in the way of what is wanted of it."""
    data, log = (shlex.quote(folder) for folder in needs.etcd_folders)
    demands = needs.demands
    asked = _DEMANDS.format(
        modules=" ".join([*demands.modules, *IPVS_MODULES]),
        room=" ".join(demands.room),
        overlay=demands.overlay or "/",
        remains=" ".join(demands.remains),
    )
    parts = [
        _SYSTEM,
        asked.replace(paths.ETCD_DATA, data),
        _PORTS.format(ports="|".join(str(port) for port in sorted(needs.ports))),
    ]
    if needs.units:
        parts.append(_UNITS.format(folder=paths.UNITS, units=shlex.join(needs.units)))
    parts.append("missing=\n")
    if needs.packages:
        names = dict.fromkeys([*needs.packages, *demands.conflicts])
        parts.append(_PACKAGES.format(all=shlex.join(names), wanted=shlex.join(needs.packages)))
    if Role.ETCD in needs.host.roles:
        parts.append(_SYNC.replace(paths.ETCD_DATA, log))
        parts.append(_ETCD_LOG.format(log=log) if log != data else "")
    pairs = shlex.join(f"{link.address} {link.port}" for link in needs.links)
    links = _LINKS.format(seconds=LINK_SECONDS, at_once=LINKS_AT_ONCE, pairs=pairs) if pairs else ":"
    parts += [ROOT, *yum_proxy.FAMILY.ask] if needs.yum_proxy else []
    parts.append(_TOGETHER.format(links=links, seconds=YUM_SECONDS, asks=_asks_yum(needs)))
    return "".join(parts) + f"echo {END}\n"


def _asks_yum(needs: Needs) -> str:
    """The condition on which yum is asked: until `apply` has set its repositories and proxy, its answer is no use."""
    conditions = [":" if needs.asks_yum else "false"]
    if needs.repos_sum:
        line = shlex.quote(f"{needs.repos_sum}  {paths.CENTOS_REPOS}")
        conditions.append(f"echo {line} | sha256sum -c --status 2>/dev/null")
    if needs.yum_proxy:
        answer = shlex.quote(f"setting {needs.yum_proxy} {needs.yum_proxy} {yum_proxy.NAME}")
        conditions.append(f'[ "$(ask_yum_proxy)" = {answer} ]')
    return " && ".join(conditions)


def seconds(needs: Needs) -> float:
    """How long `script` may take: everything that waits, to its end."""
    batches = math.ceil(len(needs.links) / LINKS_AT_ONCE)
    return 30.0 + 2 * NAME_SECONDS + SYNC_SECONDS + max(YUM_SECONDS + 5, batches * (LINK_SECONDS + 1))


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
        os=dict(_assignments(replies.get("os", ()))),
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
        networks=tuple(_networks(replies.get("address", ()))),
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
    )


def _number(text: str) -> int:
    found = re.match(r"[0-9]{1,18}", text)
    return int(found[0]) if found else 0


def _assignments(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The lines of /etc/os-release, whose values may be quoted as in a shell."""
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
    """From ss: `LISTEN 0 128 *:6443 *:* users:(("haproxy",pid=812,fd=5))`; the last is not there for everybody."""
    units = {pid: unit.removesuffix(".service") for pid, unit in map(_pair, replies.get("pid", ()))}
    seen: set[tuple[int, int]] = set()
    for line in replies.get("listen", ()):
        words = line.split()
        if len(words) < 5:  # noqa: PLR2004 - an empty line, where nobody listens
            continue
        port = answers.whole(words[3].rpartition(":")[2], "a port")
        who = re.search(r'\(\("([^"]*)",pid=([0-9]{1,18})', line)
        program, pid = (who[1], int(who[2])) if who else ("", 0)
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


def _networks(lines: Sequence[str]) -> Iterator[tuple[str, IPv4Interface]]:
    """From `ip -4 -o addr`: `2: eth0    inet 10.77.0.11/24 brd ...`; of a peer's address, our own end."""
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
    """From `yum list available`: NAME.ARCH, [EPOCH:]VERSION-RELEASE, repository; yum 3.4 breaks long lines in two."""
    offers: dict[str, set[str]] = {}
    words = [word for line in lines for word in line.split()]
    for name, version in pairwise(words):
        found = re.fullmatch(r"(\S+)\.(?:x86_64|noarch|i686|aarch64|ppc64le|s390x)", name)
        if found:
            offers.setdefault(found[1], set()).add(version.partition(":")[2] or version)
    said = [line.strip() for line in lines if line.strip()]
    return Yum(
        answers.whole(status, "yum's status"),
        {name: frozenset(versions) for name, versions in offers.items()},
        "\n".join(said),
    )
