"""Where programs come from besides packages: downloads, checked by their sums."""
