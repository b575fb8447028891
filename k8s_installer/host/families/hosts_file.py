"""Names of hosts in a block of our own in /etc/hosts: `10.77.0.11=m1,10.77.0.21=n1`, or none.

A host without the file has no names, and gets one.
"""

from __future__ import annotations

from k8s_installer.errors import listed
from k8s_installer.host import paths
from k8s_installer.host.family import NONE, REPLACE, Family

NAME = "hosts-file"

# Around our lines. A first line without its last one is no block: what follows it is somebody's own.
_BEGIN, _END = "# BEGIN k8s-installer: the hosts of its inventory", "# END k8s-installer"
_NAMED = 3  # hosts that are named in a reason; the rest is counted

_ASK = f"""\
ask_hosts_file() {{
  now={NONE}
  [ ! -f "$root{paths.HOSTS}" ] || now=$(awk -v begin='{_BEGIN}' -v end='{_END}' '
    $0 == begin {{ names = ""; inside = 1; next }}
    $0 == end {{ if (inside) found = names; inside = 0; next }}
    inside && NF {{ $1 = $1; gsub(/,/, ""); gsub(/ /, "="); names = names (names == "" ? "" : ",") $0 }}
    END {{ print found == "" ? "{NONE}" : found }}' "$root{paths.HOSTS}")
  [ -z "$now" ] || echo "setting $now $now {NAME}"
}}
"""
_SET = f"""\
set_hosts_file() {{ # names
  file=$root{paths.HOSTS}
  [ -f "$file" ] || (umask 022; : >"$file") || return 1
  text=$(awk -v names="$1" -v begin='{_BEGIN}' -v end='{_END}' '
    $0 == begin {{ printf "%s", held; held = $0 "\\n"; inside = 1; next }}
    inside {{ held = held $0 "\\n"; if ($0 == end) {{ inside = 0; held = "" }} next }}
    {{ print }}
    END {{
      printf "%s", held
      if (names == "{NONE}") exit
      print begin
      count = split(names, lines, ",")
      for (i = 1; i <= count; i++) {{ gsub(/=/, " ", lines[i]); print lines[i] }}
      print end
    }}' "$file") && printf '%s\\n' "$text" | replace "$file"
}}
"""


def _differs(_subject: str, seen: str | None, wanted: str) -> str:
    if seen is None or seen == wanted:
        return ""
    old, new = dict.fromkeys(_entries(seen)), dict.fromkeys(_entries(wanted))
    differences = (
        ("without", [entry for entry in new if entry not in old]),
        ("with", [entry for entry in old if entry not in new]),
    )
    parts = [
        f"{word} {listed([entry.replace('=', ' ') for entry in entries], _NAMED)}"
        for word, entries in differences
        if entries
    ]
    return f"it is {', '.join(parts)}" if parts else "its names are in a different order"


def _words(_subject: str, wanted: str) -> str:
    count = len(_entries(wanted))
    names = f"{count} name{'s' * (count != 1)}" if count else NONE
    return f"set {NAME} to {names}"


def _lines(value: str) -> tuple[str, bytes]:
    return paths.HOSTS, "".join(f"{entry.replace('=', ' ')}\n" for entry in _entries(value)).encode()


def _entries(value: str) -> list[str]:
    return [] if value == NONE else value.split(",")


def _original(_before: str | None) -> str:
    return NONE  # the block is ours, whoever made it


FAMILY = Family(
    NAME, ask=(_ASK,), set=(REPLACE, _SET), differs=_differs, original=_original, words=_words, lines=_lines
)
