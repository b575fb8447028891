"""Backups of a cluster: one file with etcd's data, the keys, the inventory and what is allocated.

`archive` writes and reads the file, `manifest` is what it says of itself, `sealed` is its encryption, and `etcd` checks
what etcd gave. docs/backup.md has the format.
"""

from k8s_installer.backup.archive import ALLOCATIONS, INVENTORY, KEYS, V2, V3, Backup, Part, read, write
from k8s_installer.backup.manifest import Manifest

__all__ = ["ALLOCATIONS", "INVENTORY", "KEYS", "V2", "V3", "Backup", "Manifest", "Part", "read", "write"]
