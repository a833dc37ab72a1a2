"""An MCP server over stdio that says what it is told to: `hostile_server.py FOLDER`.

The argument `kind` of a call names a file in FOLDER: what is written before the answer, which may
itself stand in a file named `KIND.answer` with `ID` in the place of the request's id. Standard
library only.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
ANSWER = b'{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}'
INFO = {"name": "hostile", "version": "1"}


def told(message: dict) -> bytes:
    """The line, or the lines, that answer a message."""
    method, number = message["method"], message["id"]
    result = None
    if method == "initialize":
        version = "2025-11-25"
        result = {"protocolVersion": version, "serverInfo": INFO, "capabilities": {"tools": {}}}
    elif method == "tools/list":
        result = {"tools": [{"name": "say", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        kind = message["params"]["arguments"]["kind"]
        answer = FOLDER / f"{kind}.answer"
        whole = answer.read_bytes() if answer.exists() else ANSWER
        return (FOLDER / kind).read_bytes() + whole.replace(b"ID", b"%d" % number, 1)
    body = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    return json.dumps({"jsonrpc": "2.0", "id": number, **body}).encode()


for line in sys.stdin:
    heard = json.loads(line)
    if "id" in heard and "method" in heard:
        sys.stdout.buffer.write(told(heard) + b"\n")
        sys.stdout.buffer.flush()
