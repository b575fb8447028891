"""Every object of the addons' manifests is in the cluster."""

import shlex

TABLE = "addons"

OBJECTS = """
server='-s http://127.0.0.1:8080'
[ ! -f /root/.kube/config ] || server=--kubeconfig=/root/.kube/config
for file in {files}; do
  if said=$(timeout 20 kubectl $server get -o name -f "$file" 2>&1); then echo "$file all"
  else echo "$file" $(printf '%s\\n' "$said" | grep -i error | head -n 1)
  fi
done
"""


def ask(rows):
    return OBJECTS.format(files=shlex.join(row["manifest"] for row in rows))


def read(output):
    return {path: said for path, _, said in (line.partition(" ") for line in output.splitlines())}


def test_objects_exist(row, found, same):
    same("objects in the cluster", "all", found.get(row["manifest"], "no answer"))
