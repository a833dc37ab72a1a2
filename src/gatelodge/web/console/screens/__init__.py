"""One file a screen: each reads what the API reads, and shows it."""
