"""Routes of what happened and its proof."""
