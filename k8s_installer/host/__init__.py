"""Everything that becomes shell on a host: questions, changes, gates, uploads, and the parsers of what it answers."""
