"""The users of services are system users that nobody can log in as."""

import shlex

import pytest

TABLE = "users"
NO_LOGIN = ("/sbin/nologin", "/usr/sbin/nologin", "/bin/false")
FIRST_PERSON = 1000  # user IDs below it are the system's


def ask(rows):
    return f"getent passwd {shlex.join(row['user'] for row in rows)}"


def read(output):
    """By name: (user ID, shell)."""
    entries = [line.split(":") for line in output.splitlines()]
    return {entry[0]: (int(entry[2]), entry[6]) for entry in entries}


def test_is_a_system_user(row, found, same):
    number, _ = found.get(row["user"], (None, None))
    same("user ID below 1000", True, number is not None and 0 < number < FIRST_PERSON)


def test_cannot_log_in(row, found, same):
    if row["user"] not in found:
        pytest.skip("there is no such user")
    _, shell = found[row["user"]]
    same("login shell", shell if shell in NO_LOGIN else NO_LOGIN[0], shell)
