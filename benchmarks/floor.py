"""The floor: what bare SSH to every host costs. `python floor.py HOSTS.json`.

One connection and one `true` on each host, ten at once, by plain Paramiko: the key of the host known, one private key,
no agent. Whatever asks every host something over SSH from Python does at least this.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

WORKERS = 10


def main() -> None:
    """Ask every host of the file; a host that does not answer ends it all."""
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    port = given["port"]
    key = paramiko.PKey.from_path(given["key"])
    known = paramiko.HostKeys(given["known_hosts"])

    def ask(address: str) -> int:
        name = address if port == paramiko.config.SSH_PORT else f"[{address}]:{port}"
        with paramiko.SSHClient() as client:
            for kind, host_key in (known.lookup(name) or {}).items():
                client.get_host_keys().add(name, kind, host_key)
            client.connect(
                address, port, "root", pkey=key, allow_agent=False, look_for_keys=False, disabled_algorithms=None
            )
            _, out, _ = client.exec_command("true")
            return out.channel.recv_exit_status()

    with ThreadPoolExecutor(WORKERS) as pool:
        sys.exit(max(pool.map(ask, given["addresses"])))


if __name__ == "__main__":
    main()
