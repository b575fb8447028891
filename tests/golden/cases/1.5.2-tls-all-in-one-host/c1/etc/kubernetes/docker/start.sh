#!/bin/sh
# Rendered by k8s-installer from templates/docker/start.sh.j2 for every host of lab (Kubernetes 1.5.2); change the inventory, not this file.
# Starts docker by the command line of its package's unit without --exec-opt native.cgroupdriver: the one in $OPTIONS holds.
# The line is read at every start, so it is that of the package that is installed.
set -ef                                  # -f: words of $OPTIONS are no patterns of file names
unit=/usr/lib/systemd/system/docker.service
line=$(sed -n '/^ExecStart=/ { :more; /\\$/ { N; s/\\\n/ /; b more; }; s/^ExecStart=//; p; q; }' "$unit" |
  sed 's/ --exec-opt[ =]*native\.cgroupdriver=[a-z]*//')
if [ -z "$line" ]; then
  echo "$unit has no ExecStart=: is the package docker installed?" >&2
  exit 1
fi
eval "exec $line"
