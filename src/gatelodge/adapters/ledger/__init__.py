"""The Merkle logs in the same database: bundles, tiles, checkpoints."""
