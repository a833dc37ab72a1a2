"""Images of hosted servers: OCI layout on disk, deterministic layers, roots that are verified."""
