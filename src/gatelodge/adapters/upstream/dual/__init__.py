"""Servers that speak both eras."""
