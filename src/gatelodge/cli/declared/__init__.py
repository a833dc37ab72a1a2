"""A workspace as a file: applied and exported by commands."""
