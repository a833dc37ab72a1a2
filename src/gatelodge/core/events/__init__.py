"""What is told of what happens: each change of a state once, and not without end."""
