"""Definitions of servers: what may be said in one, and how one is changed in place."""
