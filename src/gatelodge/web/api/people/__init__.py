"""Routes of people, agents and their tokens."""
