"""What each command does, from the inventory to its result, in one module a verb.

A flow takes what the user asked for and a `Reporter`, and knows of no terminal, colour, option or exit code. One that
only looks returns what it found; one that changes hosts says what happens as it goes and returns an `Outcome`.
"""
