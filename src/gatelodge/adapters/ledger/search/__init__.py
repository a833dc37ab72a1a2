"""The index of the logs in the database."""
