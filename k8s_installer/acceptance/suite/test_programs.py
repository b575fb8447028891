"""Services run the version of their program that was asked for: the process is asked, not the file."""

import shlex

TABLE = "programs"

VERSIONS = """
for unit in {units}; do
  pid=$(systemctl show -p MainPID "$unit" | sed 's/MainPID=//')
  echo "$unit $(timeout 20 "/proc/$pid/exe" --version 2>/dev/null </dev/null | sed -n 's/^Kubernetes //p')"
done
"""


def ask(rows):
    return VERSIONS.format(units=shlex.join(row["unit"] for row in rows))


def read(output):
    return {unit: version for unit, _, version in (line.partition(" ") for line in output.splitlines())}


def test_version(row, found, same):
    same("version", row["version"], found.get(row["unit"]) or "it does not run")
