"""An MCP server over stdio that opens a connection, keeps it, and ignores that it is to end.

Its one tool connects to the first allowed place, at a port. Standard library only.
"""

import json
import signal
import socket
import sys
import time

SCHEMA = {"type": "object", "properties": {"port": {"type": "integer"}}}
TOOL = {"name": "hold", "description": "Hold a connection.", "inputSchema": SCHEMA}
held = []


def answer(asked):
    if asked["method"] == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    if asked["method"] == "tools/list":
        return {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"}
    port = asked["params"]["arguments"]["port"]
    held.append(socket.create_connection(("198.18.0.1", port), 5))
    held[-1].sendall(b"hello")
    return {"content": [{"type": "text", "text": json.dumps("held")}]}


signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = {"resultType": "complete", **answer(asked)}
        told = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
time.sleep(60)
