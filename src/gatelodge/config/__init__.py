"""What can be set: one page, loaded once, each value with where it came from."""
