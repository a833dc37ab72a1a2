"""Changes of governance state, one file a noun."""
