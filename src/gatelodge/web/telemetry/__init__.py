"""What a running node shows to whoever watches it: numbers, never a person or a payload."""
