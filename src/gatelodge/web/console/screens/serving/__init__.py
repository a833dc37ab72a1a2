"""Servers: their pages, and the forms by which they are added, changed and ended."""
