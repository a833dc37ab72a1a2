"""JSON that others wrote, judged before it is parsed and beside what a parser tells."""
