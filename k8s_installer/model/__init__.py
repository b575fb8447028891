"""The values everything speaks in: resources, what is desired, plans, runs. Imports nothing of ours but errors."""
