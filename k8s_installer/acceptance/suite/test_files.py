"""Files have the bytes (by their SHA-256), the owner and the mode that the installer gave them."""

import shlex

import pytest

TABLE = "files"


def ask(rows):
    paths = shlex.join(row["file"] for row in rows)
    return f"stat -c '%04a %U:%G %n' {paths}\nsha256sum {paths}"


def read(output):
    """By path: (mode, owner, sum)."""
    lines = [line.split(maxsplit=2) for line in output.splitlines()]
    sums = {words[1]: words[0] for words in lines if len(words) == 2}
    return {words[2]: (words[0], words[1], sums.get(words[2])) for words in lines if len(words) == 3}


def test_content(row, found, same):
    if not row["sha256"]:
        pytest.skip("it will have a key that is not made yet")
    _, _, content = found.get(row["file"], (None, None, "no such file"))
    same("content (SHA-256)", row["sha256"], content)


def test_owner_and_mode(row, found, same):
    mode, owner, _ = found.get(row["file"], ("no such file", "", None))
    same("owner and mode", f"{row['owner']} {row['mode']}", f"{owner} {mode}".strip())
