"""The control groups that docker and the kubelet use are mounted."""

TABLE = "mounts"


def ask(rows):
    return "cat /proc/mounts"


def read(output):
    """The options of all control group hierarchies: with version 1 their controllers are among them."""
    mounts = [line.split() for line in output.splitlines()]
    return {option for mount in mounts if mount[2] == "cgroup" for option in mount[3].split(",")}


def test_is_mounted(row, found, same):
    same("mounted", True, row["controller"] in found)
