"""What looks after a running node."""
