"""The catalog as an MCP registry: names, entries and pages of its read API."""
