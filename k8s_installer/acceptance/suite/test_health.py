"""Components answer that they work, and etcd has the right members. Each is asked by curl on its own host."""

import json
import shlex
from datetime import datetime

TABLE = "health"
LEASE_SECONDS = 60  # a leader renews its lease every few seconds
MEMBER_APIS = ("v3", "v3beta", "v3alpha")  # where etcd lists its members: from 3.4 on, in 3.3, before


def ask(rows):
    requests = [f"echo {shlex.quote(row['health'])}\n{request(row)} 2>&1 | sed 's/^/  /'" for row in rows]
    return "date +%s\n" + "\n".join(requests)


def request(row):
    if row["check"] != "etcd-members":
        return curl(row, row["url"])
    first, *others = (curl(row, "-d", "{}", f"{row['url']}/{api}/cluster/member/list") for api in MEMBER_APIS)
    tries = "".join(f"case $answer in *'status 404'*) answer=$({other}) ;; esac; " for other in others)
    return f"{{ answer=$({first}); {tries}printf '%s\\n' \"$answer\"; }}"


def curl(row, *words):
    """A request, with the status on a line of its own after the body."""
    files = [("--cacert", row["ca"]), ("--cert", row["cert"]), ("--key", row["key"])]
    options = [word for option, path in files if path for word in (option, path)]
    return shlex.join(["curl", "-sS", "--noproxy", "*", "-m", "5", "-w", "\\nstatus %{http_code}\\n", *options, *words])


def read(output):
    """By name: the status, and the body (or what curl said). Under "now" the host's clock."""
    now, *lines = output.splitlines()
    found = {"now": float(now)}
    for line in lines:
        if not line.startswith("  "):
            name = line
            found[name] = ("none", "")
        elif line.startswith("  status "):
            found[name] = (line.split()[1], found[name][1])
        else:
            found[name] = (found[name][0], f"{found[name][1]}{line[2:]}\n")
    return found


def test_works(row, found, same):
    status, body = found.get(row["health"], ("none", "no answer"))
    if status == "200":
        same(row["url"], *CHECKS[row["check"]](row, body.strip(), found["now"]))
    else:
        same(row["url"], "status 200", f"status {status}: {body}")


def says_ok(row, body, now):
    return "ok", body


def answers(row, body, now):
    return "an answer", "an answer"


def etcd_is_healthy(row, body, now):
    health = parsed(body).get("health")
    return "healthy", "healthy" if health in ("true", True) else body


def etcd_has_members(row, body, now):
    """NAME=URL of each member; the URL of a single member is that of its first start."""
    members = parsed(body).get("members", [])
    listed = sorted(f"{one.get('name', 'not started')}={url}" for one in members for url in one["peerURLs"])
    wanted = sorted(row["expects"])
    if len(wanted) == len(listed) == 1:
        wanted, listed = ([member.partition("=")[0] for member in those] for those in (wanted, listed))
    return ", ".join(wanted), ", ".join(listed) or body


def pod_is_ready(row, body, now):
    pods = parsed(body).get("items", [])
    ready = [pod for pod in pods if {"type": "Ready", "status": "True"}.items() <= condition(pod, "Ready").items()]
    return "a ready pod", "a ready pod" if ready else f"{len(pods)} pods, none of them ready" if pods else body


def condition(item, kind):
    return next((one for one in item.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def leader_is_alive(row, body, now):
    """The lease is an object of its own, or an annotation before Kubernetes 1.14."""
    lease_object = parsed(body)
    notes = lease_object.get("metadata", {}).get("annotations", {})
    lease = parsed(notes.get("control-plane.alpha.kubernetes.io/leader", "")) or lease_object.get("spec", {})
    renewed = lease.get("renewTime") if lease.get("holderIdentity") else None
    age = now - datetime.fromisoformat(renewed).timestamp() if renewed else None
    alive = age is not None and age < LEASE_SECONDS
    late = f"{lease.get('holderIdentity')}, {age:.0f} s ago" if renewed else "no leader"
    return "a leader", "a leader" if alive else late


def parsed(body):
    try:
        return json.loads(body)
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
