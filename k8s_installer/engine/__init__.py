"""Carries plans out on many hosts: connections, scheduling, waiting for gates, the cluster's lock."""
