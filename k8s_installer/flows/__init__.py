"""What each command does, from the inventory to the last word; nothing here knows of terminals."""
