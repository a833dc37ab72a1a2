"""What the flows need of the world: small protocols, each with one contract suite."""
