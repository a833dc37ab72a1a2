"""What the logs tell of earlier times: who could use what, and who used it when."""
