"""The server that is hosted: MCP over stdio (2026-07-28), one tool, standard library only."""

import json
import sys
from typing import Any

TOOL = {"name": "echo", "description": "Give back.", "inputSchema": {"type": "object"}}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["method"] == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    if asked["method"] == "tools/list":
        return {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"}
    text = json.dumps(asked["params"].get("arguments", {}))
    return {"content": [{"type": "text", "text": text}]}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = {"resultType": "complete", **answer(asked)}
        told = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        sys.stdout.write(json.dumps(told, separators=(",", ":")) + "\n")
        sys.stdout.flush()
