"""What may be installed, and why: evidence about a server, and the score that follows from it."""
