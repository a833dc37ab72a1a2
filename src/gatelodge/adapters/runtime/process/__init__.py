"""Plain child processes: the weakest runtime, which isolates nothing and says so."""
