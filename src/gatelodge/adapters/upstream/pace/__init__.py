"""How often a server is tried again, and who gets how much of it."""
