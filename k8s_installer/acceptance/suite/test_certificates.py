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
            lines = found[line.removeprefix("file ")] = {}
        else:
            key, _, value = line.partition("=")
            lines[key] = value.strip()
    return found


def said(row, found, key):
    return found.get(row["certificate"], {}).get(key)


def test_subject(row, found, same):
    same("subject", row["subject"], said(row, found, "subject") or "no certificate")


def test_issuer(row, found, same):
    same("issuer", row["issuer"], said(row, found, "issuer") or "no certificate")


def test_names(row, found, same):
    names = (said(row, found, "names") or "").replace("IP Address:", "IP:")
    same("names", ", ".join(row["names"]), ", ".join(sorted(filter(None, names.split(", ")))))


def test_days_left(row, found, same):
    """By the clock of the machine that runs the tests."""
    ends = said(row, found, "notAfter")
    days = (ssl.cert_time_to_seconds(ends) - time.time()) // 86400 if ends else None
    wanted = f"at least {row['days']}"
    if days is None:
        same("days left", wanted, "no certificate")
    elif days < row["days"]:
        same("days left", wanted, f"{days:.0f} (until {ends})")
