"""The gate and the visitors' book for MCP: who may call, what was called, and proof of both."""

__version__ = "0.1.0"
