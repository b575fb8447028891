"""Tests of what is installed: everything that the inventory wants as tables, and the files that check them. Pure.

`tables` works the tables out; `folder` puts them beside `suite`, plain pytest files that need testinfra and nothing of
ours. `results` reads what pytest found.
"""

from k8s_installer.acceptance.folder import folder
from k8s_installer.acceptance.model import HostTables, Row
from k8s_installer.acceptance.results import Result, Results, Status, read
from k8s_installer.acceptance.tables import tables

__all__ = ["HostTables", "Result", "Results", "Row", "Status", "folder", "read", "tables"]
