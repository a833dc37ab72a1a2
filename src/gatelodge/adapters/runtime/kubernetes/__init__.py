"""Servers as pods: a Deployment each, with our bridge as PID 1 before the server."""
