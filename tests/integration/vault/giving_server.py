"""An MCP server over stdio with one tool, `tell`: it says what its environment holds of a name.

It answers with a digest only, so that a test can compare and a log can hold no value.
"""

import json
import os
import sys
from hashlib import sha256

TOOL = {"name": "tell", "description": "tell", "inputSchema": {"type": "object"}}


def result(line):
    method = line["method"]
    if method == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "giving", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        told = os.environ.get("TOKEN", "")
        return {"content": [{"type": "text", "text": sha256(told.encode()).hexdigest()}]}
    return {}


if os.environ.get("DIE"):
    sys.exit("cannot use the token " + os.environ["TOKEN"])
for text in sys.stdin:
    line = json.loads(text)
    if "id" in line:
        answer = {"jsonrpc": "2.0", "id": line["id"], "result": result(line)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
