"""Servers over stdio: child processes and their pipes."""
