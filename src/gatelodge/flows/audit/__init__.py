"""Records into the journal, the journal into the logs, the logs proven."""
