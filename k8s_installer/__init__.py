"""Installs Kubernetes component by component, from packages, on CentOS 7 hosts over SSH."""

__version__ = "0.1.0"
