"""Pure functions from values to values: the plan, its order and turns, what restarts, what a rollback undoes."""
