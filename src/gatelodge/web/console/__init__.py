"""The console: pages about who has access to what, and what happened, for people with a browser."""
