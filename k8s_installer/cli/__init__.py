"""The command line: parses, calls the functions that a test calls, prints, and gives the only exit codes."""

from k8s_installer.cli.app import main

__all__ = ["main"]
