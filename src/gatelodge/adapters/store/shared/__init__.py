"""What nodes share that is no governance state and leaves no leaf: who lives, entries, jobs."""
