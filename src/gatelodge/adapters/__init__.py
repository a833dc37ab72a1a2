"""What we touch: each room one outside thing, behind a port."""
