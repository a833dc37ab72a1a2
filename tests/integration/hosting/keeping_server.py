"""An MCP server over stdio that keeps a canary of its own, in memory, below /tmp and in its log.

Its one tool gives the canary and how often this process was called. Standard library only.
"""

import json
import sys
import uuid
from pathlib import Path

CANARY = f"canary-{uuid.uuid4().hex}"
TOOL = {"name": "keep", "description": "Give the canary.", "inputSchema": {"type": "object"}}
called = []


def answer(asked):
    if asked["method"] == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    if asked["method"] == "tools/list":
        return {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"}
    called.append(asked["id"])
    text = json.dumps({"canary": CANARY, "calls": len(called)})
    return {"content": [{"type": "text", "text": text}]}


Path("/tmp/canary").write_text(CANARY)
sys.stderr.write(CANARY + "\n")
sys.stderr.flush()
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = {"resultType": "complete", **answer(asked)}
        told = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
