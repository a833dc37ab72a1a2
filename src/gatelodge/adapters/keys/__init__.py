"""Keys on disk, secret references, sealing and random."""
