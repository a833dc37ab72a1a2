"""The faces: the MCP endpoint and the admin API."""
