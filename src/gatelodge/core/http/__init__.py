"""HTTP as both sides of the gate see it: heads, and the addresses that may be called."""
