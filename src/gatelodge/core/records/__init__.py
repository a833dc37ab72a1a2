"""What is kept of a call, and the bytes it is kept in. Never a payload, never a person in clear."""
