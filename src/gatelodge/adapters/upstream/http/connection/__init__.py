"""One connection to an HTTP upstream, and what its answers are packed in."""
