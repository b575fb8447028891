"""Components answer that they work, and etcd has the right members. Each is asked by curl on its own host."""

import json
import shlex
from datetime import datetime

TABLE = "health"
LEASE_SECONDS = 60  # a leader renews its lease every few seconds


def ask(rows):
    requests = [f"echo {shlex.quote(row['health'])}\n{request(row)} 2>&1 | sed 's/^/  /'" for row in rows]
    return "date +%s\n" + "\n".join(requests)


def request(row):
    if row["check"] != "etcd-members":
        return curl(row, row["url"])
    # where etcd lists its members depends on its version: 3.4, 3.3, earlier
    first, *others = (curl(row, "-d", "{}", f"{row['url']}/{api}/cluster/member/list") for api in MEMBER_APIS)
    tries = "".join(f"case $answer in *'status 404'*) answer=$({other}) ;; esac; " for other in others)
    return f"{{ answer=$({first}); {tries}printf '%s\\n' \"$answer\"; }}"


MEMBER_APIS = ("v3", "v3beta", "v3alpha")


def curl(row, *words):
    """A request, with the status on a line of its own after the body."""
    files = [("--cacert", row["ca"]), ("--cert", row["cert"]), ("--key", row["key"])]
    options = [word for option, path in files if path for word in (option, path)]
    return shlex.join(["curl", "-sS", "--noproxy", "*", "-m", "5", "-w", "\\nstatus %{http_code}\\n", *options, *words])


def read(output):
    """By name: the body; of an answer that is no success, curl's words or the status. Under "now" the host's clock."""
    now, *lines = output.splitlines()
    found = {"now": float(now)}
    for line in lines:
        if not line.startswith("  "):
            found[line] = ""
            name = line
        elif line != "  status 200":
            found[name] += line.strip() + "\n"
    return found


def test_works(row, found, same):
    said = found[row["health"]].strip()
    same(row["url"], *CHECKS[row["check"]](row, said, found["now"]))


def says_ok(row, said, now):
    return "ok", said


def answers(row, said, now):
    return "an answer", said if "status" in said or "curl:" in said else "an answer"


def etcd_is_healthy(row, said, now):
    health = parsed(said).get("health")
    return "healthy", "healthy" if health in ("true", True) else said


def etcd_has_members(row, said, now):
    """NAME=URL of each member; the URL of a single member is that of its first start."""
    members = parsed(said).get("members", [])
    listed = sorted(f"{one.get('name', 'not started')}={url}" for one in members for url in one["peerURLs"])
    wanted = sorted(row["expects"])
    if len(wanted) == len(listed) == 1:
        wanted, listed = ([member.partition("=")[0] for member in those] for those in (wanted, listed))
    return ", ".join(wanted), ", ".join(listed) or said


def pod_is_ready(row, said, now):
    pods = parsed(said).get("items", [])
    ready = [pod for pod in pods if {"type": "Ready", "status": "True"}.items() <= condition(pod, "Ready").items()]
    return "a ready pod", "a ready pod" if ready else f"{len(pods)} pods, none of them ready" if pods else said


def condition(item, kind):
    return next((one for one in item.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def leader_is_alive(row, said, now):
    """The lease is an object of its own, or an annotation before Kubernetes 1.14."""
    found = parsed(said)
    notes = found.get("metadata", {}).get("annotations", {})
    lease = parsed(notes.get("control-plane.alpha.kubernetes.io/leader", "")) or found.get("spec", {})
    renewed = lease.get("renewTime") if lease.get("holderIdentity") else None
    age = now - datetime.fromisoformat(renewed).timestamp() if renewed else None
    alive = age is not None and age < LEASE_SECONDS
    late = f"{lease.get('holderIdentity')}, {age:.0f} s ago" if renewed else "no leader"
    return "a leader", "a leader" if alive else late


def parsed(said):
    try:
        return json.loads(said)
    except ValueError:
        return {}


CHECKS = {
    "ok": says_ok,
    "answers": answers,
    "etcd-health": etcd_is_healthy,
    "etcd-members": etcd_has_members,
    "pod-ready": pod_is_ready,
    "lease-held": leader_is_alive,
}
