#!/bin/sh
# Rendered by k8s-installer from templates/network/routes.sh.j2 for every host of lab (Kubernetes 1.20.2); change the inventory, not this file.
# Makes this host's routes to the pod subnets those of the list. A route is ours if it has protocol 75; what is
# already right stays untouched, so running this again leaves no moment without routes.
set -eu
list=/etc/kubernetes/network/routes

# A node's own subnet is behind its own docker0.
own=" $(ip -4 -o addr show | awk '{ sub("/.*", "", $4); printf "%s ", $4 }')"
wanted=$(awk -v own="$own" '/^[0-9]/ && !index(own, " " $2 " ") { print $1, "via", $2 }' "$list")

# The kernel looks for a route before it asks kube-proxy's rules where a Service is: on a node without a default route
# there must be one, whichever it is.
if [ -z "$(ip -4 route show default)" ]; then
  device=$(ip -4 -o addr show | awk 'NR == FNR { if (/^[0-9]/) nodes[$2]; next }
    { sub("/.*", "", $4) } $4 in nodes { print $2; exit }' "$list" -)
  [ -z "$device" ] || wanted="$wanted
10.254.0.0/16 dev $device"
fi

# Routes of flannel's, where the network was flannel before; its service is off by now.
ip link delete flannel.1 2>/dev/null || :
ip -4 route show root 10.244.0.0/16 | awk '
  / via / && !/ proto 75( |$)/ { print "route del", $1 }' | ip -force -batch -

printf '%s\n' "$wanted" | awk 'NF { print "route replace", $0, "proto 75" }' | ip -force -batch -

{ printf '%s\n' "$wanted" --; ip -4 route show proto 75; } | awk '
  $1 == "--" { listed = 1; next }
  !listed { wanted[$1]; next }
  !($1 in wanted) { print "route del", $1, "proto 75" }' | ip -force -batch -
