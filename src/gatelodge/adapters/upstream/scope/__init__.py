"""Servers of which each principal, or each session, has an instance of its own."""
