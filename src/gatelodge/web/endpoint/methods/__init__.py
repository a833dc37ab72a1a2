"""What each method of MCP is answered with: by the gate itself, or by a server behind it."""
