"""Secrets of a workspace: declared, set, used, rotated, removed."""
