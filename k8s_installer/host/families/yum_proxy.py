"""yum's proxy: an address such as http://10.0.0.9:3128, or none. A host without yum.conf has no such setting."""

from __future__ import annotations

from k8s_installer.host import paths
from k8s_installer.host.family import ABSENT, NONE, REPLACE, Family

NAME = "yum-proxy"

_ASK = f"""\
ask_yum_proxy() {{
  now={ABSENT}
  if [ -f "$root{paths.YUM_CONF}" ]; then
    now={NONE}
    while IFS='= ' read -r key value rest || [ -n "$key" ]; do
      [ "$key" != proxy ] || now=${{value:-{NONE}}}
    done <"$root{paths.YUM_CONF}"
  fi
  echo "setting $now $now {NAME}"
}}
"""
_SET = f"""\
set_yum_proxy() {{ # address
  file=$root{paths.YUM_CONF}
  text=$(awk -v proxy="$1" '/^proxy[ =]/ {{ next }} {{ print }}
    /^\\[main\\]/ && proxy != "{NONE}" {{ print "proxy=" proxy }}' "$file") && printf '%s\\n' "$text" | replace "$file"
}}
"""

FAMILY = Family(NAME, ask=(_ASK,), set=(REPLACE, _SET))
