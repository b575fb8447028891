"""The one script that asks a host for everything at once. Pure; `answer` reads what it prints.

Every question is a command of CentOS 7, and every answer a line with a word in front. The script reads only, but for
yum's own cache, and for a temporary file of 90 KB that it writes where etcd's data will be, and removes; both only
where packages are missing.
"""

from __future__ import annotations

import math
import shlex

from k8s_installer.host import paths
from k8s_installer.host.families import yum_proxy
from k8s_installer.host.observe import ROOT
from k8s_installer.inventory import Role
from k8s_installer.preflight.images import asking
from k8s_installer.preflight.model import Needs
from k8s_installer.preflight.tables import (
    ENGINES,
    FIREWALL,
    IMAGE_SECONDS,
    IMAGE_WAITS,
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
# All three take seconds, so they are asked at the same time: images by jobs in the background, and stages of a
# pipeline, heard one after the other.
_TOGETHER = """\
{{
{images}{links}
wait
}} | {{
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
    images = asking(needs.images)
    parts.append(_TOGETHER.format(images=images, links=links, seconds=YUM_SECONDS, asks=_asks_yum(needs)))
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
    together = max(YUM_SECONDS + 5, batches * (LINK_SECONDS + 1), IMAGE_WAITS * IMAGE_SECONDS)
    return 30.0 + 2 * NAME_SECONDS + SYNC_SECONDS + together
