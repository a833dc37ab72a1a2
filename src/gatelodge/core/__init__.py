"""Values, rules and plans: nothing here waits, reads a clock or touches the outside."""
