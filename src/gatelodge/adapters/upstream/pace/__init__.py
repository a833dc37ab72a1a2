"""How often a server is tried again, who gets how much of it, and what is believed of it."""
