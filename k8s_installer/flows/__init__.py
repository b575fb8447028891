"""What each command does, from the inventory to its result: one module per command.

A flow takes the user's request and a `Reporter`. It knows nothing of terminals, colours, options or exit codes. A flow
that only reads returns what it found; one that changes hosts reports as it goes and returns an `Outcome`.
"""
