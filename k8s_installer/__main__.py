"""`python -m k8s_installer` is `k8s-installer`."""

from k8s_installer.cli import main

main()
