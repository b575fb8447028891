"""The kernel has the modules that services need, loaded or built in."""

import shlex

TABLE = "modules"

# A module that is built in may have no folder: then what it brings says that it is there.
PRESENT = """
for name in {names}; do
  case $name in
    br_netfilter) also=/proc/sys/net/bridge ;;
    nf_conntrack*) also=/proc/sys/net/netfilter ;;
    ip_vs) also=/proc/net/ip_vs ;;
    overlay) also=$(grep -qw overlay /proc/filesystems && echo /proc/filesystems) ;;
    *) also=/sys/module/$name ;;
  esac
  if [ -e "/sys/module/$name" ] || [ -e "$also" ]; then echo "$name present"; else echo "$name missing"; fi
done
"""


def ask(rows):
    return PRESENT.format(names=shlex.join(row["module"] for row in rows))


def read(output):
    return dict(line.split() for line in output.splitlines())


def test_is_present(row, found, same):
    same("in the kernel", "present", found.get(row["module"], "no answer"))
