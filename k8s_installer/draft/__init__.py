"""The first inventory of a cluster, made from addresses: what `init` writes. Pure.

`targets.py` reads the addresses, `ask.py` has the script that asks a host and what it answers, `choose.py` the defaults
and what may be chosen, `make.py` puts hosts and choices together, and `templates/draft/inventory.yaml.j2` is the text.
"""

from k8s_installer.draft.ask import ASK_SECONDS, SCRIPT, Facts, parse
from k8s_installer.draft.choose import Checks, Choices, Source, suggested_network, suggested_version
from k8s_installer.draft.make import Draft, DraftHost, Machine, made, text
from k8s_installer.draft.targets import Target, distinct, targets, words

__all__ = [
    "ASK_SECONDS", "SCRIPT", "Checks", "Choices", "Draft", "DraftHost", "Facts", "Machine", "Source", "Target",
    "distinct", "made", "parse", "suggested_network", "suggested_version", "targets", "text", "words",
]  # fmt: skip
