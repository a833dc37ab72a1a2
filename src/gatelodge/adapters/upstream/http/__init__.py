"""Servers over HTTP: streamable HTTP in both eras."""
