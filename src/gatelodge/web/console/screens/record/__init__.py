"""Pages of the record: calls, changes and the logs that hold them."""
