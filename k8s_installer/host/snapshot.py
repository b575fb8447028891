"""etcd's data given out by a member: what it has, a snapshot of API v3, and the keys of API v2. Pure.

Each is a script for one host; a snapshot and keys are on its stdout as they are. What a member is asked first is a read
that the quorum confirms: from then on its own data has all that was committed before.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from k8s_installer.host import curl
from k8s_installer.host.statedir import FOLDERS
from k8s_installer.model.resources import Gate
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed

# Of all keys, from the one of a single zero byte on, the number.
_COUNT = '{"key":"AA==","range_end":"AA==","count_only":true}'
_SPARE = 100  # MiB that stay free beside a snapshot: a full disk would stop etcd
_SECONDS = 30
RUNS = 10  # exit status where a member's file is asked for, and it is not stopped

# etcd's gateway is under v3 from 3.4 on, under v3beta in 3.3 and under v3alpha before.
_HOLDS = """\
# ask etcd what it has
for api in v3 v3beta v3alpha; do
  said=$({ask}"/$api/kv/range" 2>&1)
  case $said in '{{'*) break ;; esac
done
printf '%s\\n' "$said" | tr -d '\\n'
echo
{version} 2>/dev/null | tr -d '\\n'
echo
"""
# A folder for what is given out, which goes when the script ends, also because nobody listens any more.
_FOLDER = f"""\
{FOLDERS}\
umask 077
mkdir -p "$state" && folder=$(mktemp -d "$state/snapshot.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM PIPE
find "$state" -maxdepth 1 -name 'snapshot.??????' -mmin +120 -exec rm -rf {{}} +
"""
# A snapshot is a file first: etcdctl writes its hash there, at the end.
_SAVE = """\
size=$(du -sm {data}/member/snap 2>/dev/null | cut -f 1)
needs=$((${{size:-0}} + {spare}))
free=$(df -Pm "$folder" | {{ read -r head; read -r name all used free rest; echo "$free"; }})
[ "$free" -ge "$needs" ] || {{
  echo "no room for a snapshot in $state: $free MB are free, $needs are needed" >&2
  exit 1
}}
out=$(ETCDCTL_API=3 NO_PROXY='*' no_proxy='*' {save} snapshot save "$folder/db" 2>&1) || {{
  printf '%s\\n' "$out" >&2
  exit 1
}}
cat "$folder/db"
"""
# One without this API (3.4 has it only where `enable-v2` is set) answers 404.
_KEYS = """\
code=$({ask} -o "$folder/keys") || exit 1
case $code in
  200) cat "$folder/keys" ;;
  404) ;;
  *) echo "etcd answers its API v2 with status $code" >&2; exit 1 ;;
esac
"""
# The database of a member that does not run. The last moments may be in its log alone; so is all of API v2, whose paths
# begin with /1.
_COPY = """\
# copy etcd's database
case $(systemctl show -p ActiveState {unit}) in
  ActiveState=inactive | ActiveState=failed) ;;
  *)
    echo "{unit} runs, or is about to, but does not answer: its file may change while it is copied" >&2
    exit {runs}
    ;;
esac
if grep -qs /1/registry {data}/member/snap/*.snap {log}/*.wal; then
  echo "Kubernetes' objects are in etcd's API v2, which is not in this file" >&2
  exit 1
fi
exec cat {data}/member/snap/db
"""


@dataclass(frozen=True, slots=True)
class Holds:
    """What etcd has: its revision, how many keys of API v3, and its own version."""

    revision: int
    keys: int
    version: str


def holds_script(gate: Gate) -> str:
    """Ask a member, by the gate of its health, what the quorum has; reads only."""
    base = _base(gate)
    ask = curl.command("", "-d", _COUNT, ca=gate.ca, cert=gate.cert, key=gate.key, seconds=_SECONDS)[:-1]
    version = curl.command(f"{base}/version", ca=gate.ca, cert=gate.cert, key=gate.key)
    return _HOLDS.format(ask=f"{shlex.join(ask)} {shlex.quote(base)}", version=shlex.join(version))


def holds(output: str) -> Holds:
    """Read what `holds_script` printed.

    Raises:
        Malformed: etcd did not say what it has; the text is what it said instead.
    """
    said, version, *_ = [*answers.lines(output), "", ""]
    found = answers.json_object(said)
    revision = answers.text(answers.at(found, "header").get("revision"))
    if not revision:
        raise Malformed("etcd does not answer a read that needs its quorum", said)
    count = answers.whole(answers.text(found.get("count")) or "0", "etcd's number of keys")
    server = answers.text(answers.json_object(version).get("etcdserver"))
    return Holds(answers.whole(revision, "etcd's revision"), count, server[:50])


def save_script(gate: Gate, data: str) -> str:
    """Give out a snapshot of a member's API v3, with its hash; `data` is the member's folder."""
    files = [("--cacert", gate.ca), ("--cert", gate.cert), ("--key", gate.key)]
    options = [f"{option}={path}" for option, path in files if path]
    save = shlex.join(["etcdctl", f"--endpoints={_base(gate)}", *options])
    body = _SAVE.format(data=shlex.quote(data), spare=_SPARE, save=save)
    return f"# take a snapshot of etcd\n{_FOLDER}{body}"


def keys_script(gate: Gate, *, quorum: bool = True) -> str:
    """Give out all keys of a member's API v2 as JSON, by the quorum or its own; nothing where it has no such API."""
    url = f"{_base(gate)}/v2/keys/?recursive=true{'&quorum=true' if quorum else ''}"
    ask = curl.command(url, "-w", "%{http_code}", ca=gate.ca, cert=gate.cert, key=gate.key, seconds=10 * _SECONDS)
    return f"# read the keys of etcd's API v2\n{_FOLDER}{_KEYS.format(ask=shlex.join(ask))}"


def copy_script(unit: str, data: str, log: str) -> str:
    """Give out the database of a member that does not run; `data` is its folder, and `log` that of its log.

    One that runs, or may start while the file is copied, is refused with status `RUNS`.
    """
    return _COPY.format(unit=shlex.quote(unit), data=shlex.quote(data), log=shlex.quote(log), runs=RUNS)


def _base(gate: Gate) -> str:
    return gate.url.removesuffix("/health")
