"""Who could use what: now, and why."""
