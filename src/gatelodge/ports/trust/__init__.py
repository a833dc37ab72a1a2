"""What the trust score needs of the world."""
