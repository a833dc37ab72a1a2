"""A workspace as a file says it should be: the file, the changes, the plan."""
