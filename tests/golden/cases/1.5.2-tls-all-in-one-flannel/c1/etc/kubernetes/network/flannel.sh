#!/bin/sh
# Rendered by k8s-installer from templates/flannel/network.sh.j2 for every host of lab (Kubernetes 1.5.2); change the inventory, not this file.
# Puts flannel's network into etcd, where every flanneld looks for it; what is already right stays untouched.
# flannel 0.7.1 of CentOS 7 reads etcd's API v2, later ones v3: what etcd knows by one it does not show by the other.
set -eu
key=/atomic.io/network/config
wanted='{"Network": "10.244.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}'
pki=/etc/etcd/pki
v2() { ETCDCTL_API=2 etcdctl --no-sync --endpoints https://127.0.0.1:2389 --ca-file $pki/flannel-ca.crt --cert-file $pki/flannel.crt --key-file $pki/flannel.key "$@"; }
v3() { ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2389 --cacert $pki/flannel-ca.crt --cert $pki/flannel.crt --key $pki/flannel.key "$@"; }
put2() {
  there=$(v2 get "$key" 2>/dev/null) || take2 || return 1
  [ "$there" = "$wanted" ] || v2 set "$key" "$wanted" >/dev/null
}
put3() {
  there=$(v3 get --print-value-only "$key" 2>/dev/null)
  [ -n "$there" ] || take3 || return 1
  [ "$there" = "$wanted" ] || v3 put "$key" "$wanted" >/dev/null
}

# A cluster whose flanneld used the cluster's etcd has its subnets there: hosts keep them. flanneld renews each once a day.
leases=/atomic.io/network/subnets
day=86400
old2() { ETCDCTL_API=2 etcdctl --no-sync --endpoints https://127.0.0.1:2379 --ca-file $pki/ca.crt --cert-file $pki/healthcheck.crt --key-file $pki/healthcheck.key "$@"; }
old3() { ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert $pki/ca.crt --cert $pki/healthcheck.crt --key $pki/healthcheck.key "$@"; }
take2() {
  old3 get "$key" >/dev/null || return 1       # it does not answer
  for lease in $(old2 ls "$leases" 2>/dev/null); do
    value=$(old2 get "$lease") && v2 set --ttl $day "$lease" "$value" >/dev/null || return 1
  done
}
take3() {
  found=$(old3 get --prefix --keys-only "$leases/") || return 1
  for lease in $found; do
    value=$(old3 get --print-value-only "$lease") || return 1
    id=$(v3 lease grant $day) || return 1      # "lease 694d8a4e1d6f7a0b granted with TTL(86400s)"
    id=${id#lease }
    v3 put --lease="${id%% *}" "$lease" "$value" >/dev/null || return 1
  done
}

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
