"""What `explain` knows: the project's own texts, joined with what is wanted of a cluster, as plain values. Pure.

`texts.py` reads the texts, `known.py` has the cluster, `topics.py` finds what a word means, and there is one module for
each kind of topic. `report/explain.py` shows what they find.
"""
