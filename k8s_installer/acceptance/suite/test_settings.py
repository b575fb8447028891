"""Properties of the host itself: SELinux, swap, the firewall, the journal, yum's proxy, names in /etc/hosts."""

import pytest

TABLE = "settings"

# A host that has no such thing prints nothing of it, and is as wanted.
PROPERTIES = """
if [ ! -e /sys/fs/selinux/enforce ]; then echo "selinux disabled"
elif [ "$(cat /sys/fs/selinux/enforce)" = 1 ]; then echo "selinux enforcing"
else echo "selinux permissive"
fi
if [ -e /run/systemd/container ]; then : # a container's swap is its machine's
elif [ "$(wc -l </proc/swaps)" -gt 1 ]; then echo "swap on"
else echo "swap off"
fi
if ls /var/log/journal/*/system.journal >/dev/null 2>&1; then echo "journal persistent"; else echo "journal volatile"; fi
proxy=$(sed -n 's/^proxy *= *//p' /etc/yum.conf 2>/dev/null)
echo "yum-proxy ${proxy:-none}"
if firewall-cmd --state >/dev/null 2>&1; then
  echo "firewalld running"
  for port in $(firewall-cmd --list-ports); do echo "firewalld-port $port open"; done
  for source in $(firewall-cmd --zone=trusted --list-sources); do echo "firewalld-source $source trusted"; done
fi
while read -r address names; do
  for name in $names; do echo "hosts-file $name $address"; done
done </etc/hosts
"""


def ask(rows):
    return PROPERTIES


def read(output):
    """By setting: its values, of which one name in /etc/hosts may have several."""
    found = {}
    for line in output.splitlines():
        setting, _, value = line.rpartition(" ")
        found.setdefault(setting, []).append(value)
    return found


def test_value(row, found, same):
    setting, wanted = row["setting"], row["value"]
    values = found.get(setting, [])
    if setting == "swap" and not values:
        pytest.skip("a container's swap is its machine's")
    if setting.startswith("firewalld-") and "firewalld" not in found:
        pytest.skip("firewalld does not run")
    good = [wanted, "disabled"] if (setting, wanted) == ("selinux", "permissive") else [wanted]
    same("value", wanted, wanted if set(good) & set(values) else ", ".join(values) or "none")
