"""Routes of this installation itself."""
