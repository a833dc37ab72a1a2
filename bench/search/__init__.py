"""How long a search of ten million records takes, and what its index costs."""
