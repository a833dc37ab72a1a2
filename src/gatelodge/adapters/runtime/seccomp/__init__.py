"""Which system calls an isolated instance may make: one list for every backend."""
