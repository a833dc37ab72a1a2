"""An MCP server over stdio that says whatever it is told wherever it can: one tool, `leak`.

It writes its arguments to standard error, as noise to standard output, into progress, and answers
with them: as a result, with `{"as": "error"}` as an error. `{"as": "death"}` ends it in the middle.
Standard library only.
"""

import json
import os
import sys


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def leak(number, params):
    given = params.get("arguments", {})
    words = json.dumps(given)
    sys.stderr.write(f"leaked: {words}\n")
    sys.stderr.flush()
    sys.stdout.write(f"noise {words}\n")
    token = params.get("_meta", {}).get("progressToken")
    told = {"progressToken": token, "progress": 1, "message": words}
    send({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
    if given.get("as") == "death":
        os._exit(3)
    if given.get("as") == "error":
        error = {"code": -32000, "message": words, "data": given}
        send({"jsonrpc": "2.0", "id": number, "error": error})
        return
    content = [{"type": "text", "text": words}, {"type": "text", "text": json.dumps(params)}]
    send(result(number, {"content": content, "structuredContent": dict(os.environ)}))


def result(number, value):
    return {"jsonrpc": "2.0", "id": number, "result": {"resultType": "complete", **value}}


for line in sys.stdin:
    message = json.loads(line)
    match message.get("method"):
        case "server/discover":
            can = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            send(result(message["id"], can))
        case "tools/list":
            tool = {"name": "leak", "inputSchema": {"type": "object"}}
            send(result(message["id"], {"tools": [tool]}))
        case "tools/call":
            leak(message["id"], message["params"])
        case _ if "id" in message:
            error = {"code": -32601, "message": "Method not found"}
            send({"jsonrpc": "2.0", "id": message["id"], "error": error})
