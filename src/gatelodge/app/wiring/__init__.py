"""Parts of a node, wired."""
