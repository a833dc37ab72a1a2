"""How fast questions about access are answered: of the past, and on the console's pages."""
