"""Measures k8s-installer beside bare SSH, pyinfra and Ansible, which do the same work on the same hosts in one run."""
