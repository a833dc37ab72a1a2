"""MCP servers behind the gate, over streamable HTTP and stdio."""
