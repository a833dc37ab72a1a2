"""Arithmetic of the index that searches use: which places of a log a term stands at."""
