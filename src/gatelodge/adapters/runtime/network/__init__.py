"""The way out of an instance that has no network: sockets of the gate's in its own namespace."""
