"""What is kept of each run on this machine: its journal, its trace, and what hosts answered the last time."""
