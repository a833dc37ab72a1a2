"""Commands about people, agents and their tokens."""
