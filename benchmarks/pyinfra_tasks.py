"""The same wishes for pyinfra: an inventory, a deploy, and what its words must say for a run to count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cluster import Login
from benchmarks.measure import BenchmarkError, Run
from benchmarks.wanted import HostWants

# The directories are there already and nobody reads the deploy's own files, so pyinfra need not look for either.
_DEPLOY = '''\
"""Ensures what the inventory says of each host."""

from pyinfra import host
from pyinfra.operations import files, systemd, yum

yum.packages(name="packages", packages=host.data.packages, present=True)
for file in host.data.files:
    files.put(
        name=file["dest"], src=file["src"], dest=file["dest"], user=file["owner"], group=file["group"],
        mode=file["mode"], create_remote_dir=False, add_deploy_dir=False,
    )
for service in host.data.services:
    systemd.service(name=service, service=service, running=True, enabled=True)
'''


def write(folder: Path, wants: Mapping[str, HostWants], login: Login) -> None:
    """Write inventory.py and deploy.py."""
    folder.mkdir(parents=True, exist_ok=True)
    hosts = [
        (
            name,
            host.data()
            | {
                # a version is checked by Ansible and by us; pyinfra knows it only with the release of the RPM
                "packages": [package for package, _ in host.packages],
                "ssh_hostname": host.address, "ssh_port": login.port, "ssh_user": "root", "ssh_key": str(login.key),
                "ssh_known_hosts_file": str(login.known_hosts), "ssh_strict_host_key_checking": "yes",
                "ssh_allow_agent": False, "ssh_look_for_keys": False,
            },
        )
        for name, host in wants.items()
    ]  # fmt: skip
    text = json.dumps(hosts, indent=1)
    (folder / "inventory.py").write_text(
        f"import json\n\nhosts = [tuple(host) for host in json.loads(r'''{text}''')]\n"
    )
    (folder / "deploy.py").write_text(_DEPLOY, encoding="utf-8")


def command(program: Path, parallel: int) -> list[str]:
    """The command line; with --no-wait no host waits for the others after each operation."""
    words = ["--yes", "--json", "--no-wait", "--parallel", str(parallel), "inventory.py", "deploy.py"]
    return [str(program), *words]


def require_unchanged(run: Run, wants: Mapping[str, HostWants]) -> None:
    """Raise BenchmarkError unless pyinfra says that it looked at everything on every host and changed nothing."""
    run.require(0)
    operations = sum(1 + len(host.files) + len(host.services) for host in wants.values())
    try:
        results = json.loads(run.stdout)["results"]
        totals, failed = results["totals"], results["failed_hosts"]
    except (ValueError, KeyError) as error:
        raise BenchmarkError(f"pyinfra's words cannot be read ({error}): {run.stdout[-500:]}") from None
    found = (totals["no_change"], totals["success"], totals["error"], failed)
    if found != (operations, 0, 0, []):
        raise BenchmarkError(f"pyinfra: {operations} operations should change nothing: {totals} {failed}")
