"""Configurations of many clients: found, read, and made into a proposal; nothing is started."""
