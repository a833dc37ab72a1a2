"""What it means to host a server: limits, tiers, and what has to be found after a start."""
