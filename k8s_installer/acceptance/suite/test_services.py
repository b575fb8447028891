"""The addresses of Services lead somewhere: kube-proxy has rules for them, and a master answers."""

import shlex

TABLE = "services"


def ask(rows):
    return "\n".join(f"echo {row['service']} $({curl(row['url'])} 2>&1 | tail -n 1)" for row in rows)


def curl(url):
    """Any answer will do, also that somebody without a certificate may not ask."""
    return shlex.join(["curl", "-ksS", "--noproxy", "*", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url])


def read(output):
    return {name: status for name, _, status in (line.partition(" ") for line in output.splitlines())}


def test_answers(row, found, same):
    status = found.get(row["service"], "nothing was asked")
    same(row["url"], "an answer", "an answer" if status.isdecimal() and status != "000" else f"no answer ({status})")
