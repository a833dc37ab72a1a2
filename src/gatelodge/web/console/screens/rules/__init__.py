"""Pages of rules: who may use what, now and then, and what is served."""
