"""Between eras: questions, sealed states, errors, batches, tasks and log levels."""
