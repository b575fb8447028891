"""Pods are reached: those of this node over docker's bridge, those of every other one over a route to it."""

from ipaddress import ip_interface, ip_network

TABLE = "routes"


def ask(rows):
    return "ip -4 -o addr show; ip -4 route show"


def read(output):
    """The networks of docker's bridge, and by network what it is reached by."""
    lines = [line.split() for line in output.splitlines()]
    bridge = {ip_interface(words[3]).network for words in lines if words[1] == "docker0"}
    routes = {words[0]: words[2] for words in lines if words[1] == "via"}
    return bridge, routes


def test_pods_are_reached(row, found, same):
    bridge, routes = found
    if row["via"]:
        same(f"route to pods of {row['node']}", row["via"], routes.get(row["pods"], "no route"))
    else:
        same("docker's bridge is in this network", True, ip_network(row["pods"]) in bridge)
