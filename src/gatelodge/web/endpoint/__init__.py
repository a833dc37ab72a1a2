"""The MCP endpoint: HTTP/1.1 in, one governed request at a time, JSON or a stream out."""
