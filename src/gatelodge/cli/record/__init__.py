"""Commands about what happened and its proof."""
