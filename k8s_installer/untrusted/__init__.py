"""What others wrote, taken with care: hosts' answers, users' files and templates, text for a terminal."""
