"""Durable records before they are sequenced: a zero-filled file, or PostgreSQL."""
