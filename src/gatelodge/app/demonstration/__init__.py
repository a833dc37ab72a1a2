"""`--demo`: MCP servers, people and grants that show the product."""
