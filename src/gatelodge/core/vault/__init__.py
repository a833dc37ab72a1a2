"""Secrets of a workspace: what is kept of them, and where they are read."""
