"""Certificates are for the right names, by the right CA, and stay valid for some days."""

import shlex
import ssl
import time

TABLE = "certificates"

CERTIFICATES = """
for file in {files}; do
  echo "file $file"
  openssl x509 -noout -in "$file" -subject -issuer -enddate -nameopt RFC2253 2>/dev/null
  openssl x509 -noout -in "$file" -text 2>/dev/null | grep -A 1 'Subject Alternative Name' | sed -n 's/^ *\\(DNS\\|IP\\)/names=\\1/p'
done
"""


def ask(rows):
    return CERTIFICATES.format(files=shlex.join(row["certificate"] for row in rows))


def read(output):
    """By path: what openssl says."""
    found = {}
    for line in output.splitlines():
        if line.startswith("file "):
            said = found[line.removeprefix("file ")] = {"names": ""}
        else:
            key, _, value = line.partition("=")
            said[key] = value.strip()
    return found


def test_subject(row, found, same):
    same("subject", row["subject"], found[row["certificate"]].get("subject", "no certificate"))


def test_issuer(row, found, same):
    same("issuer", row["issuer"], found[row["certificate"]].get("issuer", "no certificate"))


def test_names(row, found, same):
    names = found[row["certificate"]]["names"].replace("IP Address:", "IP:")
    same("names", ", ".join(row["names"]), ", ".join(sorted(filter(None, names.split(", ")))))


def test_days_left(row, found, same):
    """By the clock of the machine that runs the tests."""
    ends = found[row["certificate"]].get("notAfter")
    days = (ssl.cert_time_to_seconds(ends) - time.time()) // 86400 if ends else None
    enough = days is not None and days >= row["days"]
    wanted = f"at least {row['days']}"
    same("days left", wanted, wanted if enough else f"{days:.0f} (until {ends})" if ends else "no certificate")
