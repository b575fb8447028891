#!/bin/sh
# Rendered by k8s-installer from templates/flannel/network.sh.j2 for every host of lab (Kubernetes 1.5.2); change the inventory, not this file.
# Puts flannel's network into etcd, where every flanneld looks for it; what is already right stays untouched.
# flannel 0.7.1 of CentOS 7 reads etcd's API v2, later ones v3: what etcd knows by one it does not show by the other.
set -eu
key=/atomic.io/network/config
wanted='{"Network": "10.244.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}'
v2() { ETCDCTL_API=2 etcdctl --no-sync --endpoints http://127.0.0.1:2379 "$@"; }
v3() { ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 "$@"; }
put2() { [ "$(v2 get "$key" 2>/dev/null)" = "$wanted" ] || v2 set "$key" "$wanted" >/dev/null; }
put3() { [ "$(v3 get --print-value-only "$key" 2>/dev/null)" = "$wanted" ] || v3 put "$key" "$wanted" >/dev/null; }

put() { # by each API that this etcd has, and by one at least
  taken=
  for api in 2; do
    if "put$api"; then taken=$api; else echo "etcd does not take it by its API v$api" >&2; fi
  done
  [ -n "$taken" ]
}

# etcd answers when its members have a quorum: at a boot of all of them that takes its time
tries=0
until put; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || exit 1
  sleep 1
done
