"""What this machine's kernel says of a process: how it is kept apart, and what it takes."""
