"""What happens now and what happened lately: fan-out to those who watch, and counts of hours."""
