"""The kernel's settings are in force now."""

import shlex

TABLE = "sysctls"


def ask(rows):
    names = shlex.join(row["sysctl"] for row in rows)
    return f'for name in {names}; do echo "$name $(sysctl -n "$name" 2>/dev/null)"; done'


def read(output):
    return {name: value for name, _, value in (line.partition(" ") for line in output.splitlines())}


def test_value(row, found, same):
    same("value", row["value"], found.get(row["sysctl"], "no answer"))
