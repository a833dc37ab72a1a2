"""What clients see of several servers behind one endpoint: URIs and names that do not meet."""
