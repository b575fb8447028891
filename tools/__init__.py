"""Programs that make the data which the profiles are checked against; not part of the package."""
