"""The index by which searches find records, derived from the logs (decision 0040)."""
