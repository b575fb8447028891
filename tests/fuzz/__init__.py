"""Nasty input for everything that reads what others wrote: hosts, bundles, inventories.

`python -m tests.fuzz --seconds 600` runs it for as long; the unit tests run it for a moment, and every case that was
ever found (`found/`) for good.
"""
