"""Work that is longer than a request: what can be asked for, and the node that does it."""
