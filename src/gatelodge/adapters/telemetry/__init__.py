"""Structured lines on standard error, never a payload."""
