"""A well-behaved MCP server over stdio (2026-07-28) with two tools; standard library only."""

import json
import sys

TOOLS = [
    {"name": "echo", "description": "Give back.", "inputSchema": {"type": "object"}},
    {"name": "count", "description": "Count.\nMore.", "inputSchema": {"type": "object"}},
]


def answer(request):
    """The result of a request."""
    if request["method"] == "server/discover":
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
            "ttlMs": 0,
            "cacheScope": "private",
        }
    if request["method"] == "tools/list":
        return {"tools": TOOLS, "ttlMs": 0, "cacheScope": "private"}
    text = json.dumps(request["params"].get("arguments", {}))
    return {"content": [{"type": "text", "text": text}]}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = {"resultType": "complete", **answer(asked)}
        told = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
