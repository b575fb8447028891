"""Nodes are ready and take pods, with the labels, taints and annotations of the inventory; others may be there, too."""

import json
import shlex

TABLE = "nodes"
OLD_TAINTS = "scheduler.alpha.kubernetes.io/taints"  # the annotation that had them before Kubernetes 1.6


def ask(rows):
    return "\n".join(f"echo {row['node']}\n{curl(row)} 2>&1 | tr -d '\\n'\necho" for row in rows)


def curl(row):
    files = [("--cacert", row["ca"]), ("--cert", row["cert"]), ("--key", row["key"])]
    options = [word for option, path in files if path for word in (option, path)]
    return shlex.join(["curl", "-sS", "--noproxy", "*", "-m", "5", *options, row["url"]])


def read(output):
    """By name: the Node object, or what was said instead of it."""
    lines = output.splitlines()
    return {name: parsed(said) for name, said in zip(lines[::2], lines[1::2], strict=True)}


def parsed(said):
    try:
        return json.loads(said)
    except ValueError:
        return {"message": said or "no answer"}


def node(row, found):
    """The parts of a Node that are compared; a message where there is none."""
    one = found.get(row["node"], {"message": "no answer"})
    if one.get("kind") != "Node":
        return None, one.get("message")
    return one, ""


def test_is_ready(row, found, same):
    one, trouble = node(row, found)
    conditions = one["status"]["conditions"] if one else []
    ready = next((item for item in conditions if item["type"] == "Ready"), {})
    said = "ready" if ready.get("status") == "True" else ready.get("message", "it has not reported")
    same("state", "ready", trouble or said)


def test_takes_pods(row, found, same):
    one, trouble = node(row, found)
    cordoned = bool(one) and one["spec"].get("unschedulable", False)
    same("scheduling", "enabled", trouble or ("disabled (cordoned)" if cordoned else "enabled"))


def test_labels(row, found, same):
    one, trouble = node(row, found)
    there = one["metadata"].get("labels", {}) if one else {}
    same("labels", row["labels"], trouble or {key: there.get(key) for key in row["labels"]})


def test_annotations(row, found, same):
    one, trouble = node(row, found)
    there = one["metadata"].get("annotations", {}) if one else {}
    same("annotations", row["annotations"], trouble or {key: there.get(key) for key in row["annotations"]})


def test_taints(row, found, same):
    one, trouble = node(row, found)
    there = taints(one) if one else []
    same("taints", row["taints"], trouble or [taint for taint in row["taints"] if taint in there])


def taints(one):
    """KEY=VALUE:EFFECT of each."""
    old = json.loads(one["metadata"].get("annotations", {}).get(OLD_TAINTS, "[]"))
    items = [*one["spec"].get("taints", []), *old]
    return [f"{item['key']}{'=' * bool(item.get('value'))}{item.get('value', '')}:{item['effect']}" for item in items]
