"""An MCP server over stdio that shows each client the tools that fit what it declared.

choosy_server.py ERA FOLDER [alone]   with ERA one of modern, legacy
It leaves a file in FOLDER for each start, asks a legacy client that has roots for them at once, and
writes each answer there too. A tool that it did not offer it refuses, in words of its own. `alone`
lets only one copy of it run at a time. Standard library only.
"""

import fcntl
import json
import os
import sys
from pathlib import Path

MODERN, FOLDER = sys.argv[1] == "modern", Path(sys.argv[2])
SHOWN = {
    "open": [],
    "form": ["elicitation"],
    "picture": ["io.modelcontextprotocol/ui"],
    "both": ["elicitation", "sampling"],
}
"""Each tool, with all that a client has to declare."""


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def offered(declared):
    return [
        {"name": name, "inputSchema": {"type": "object"}}
        for name, needs in SHOWN.items()
        if set(needs) <= {*declared, *declared.get("extensions", {})}
    ]


def answer(message, declared):
    """The result of a request; None for what this server does not know."""
    server = {"capabilities": {"tools": {}}, "serverInfo": {"name": "choosy", "version": "1"}}
    match message["method"]:
        case "server/discover" if MODERN:
            return {"supportedVersions": ["2026-07-28"], **server}
        case "initialize" if not MODERN:
            return {"protocolVersion": "2025-11-25", **server}
        case "tools/list":
            return {"tools": offered(declared)}
        case "tools/call" if message["params"]["name"] in {t["name"] for t in offered(declared)}:
            return {"content": [{"type": "text", "text": message["params"]["name"]}]}
    return None


def refused(message):
    """Why there is no result: of a tool, that this client lacks what it wants."""
    name = message.get("params", {}).get("name")
    if message["method"] != "tools/call" or name not in SHOWN:
        return {"code": -32601, "message": "unknown"}
    if not MODERN:
        return {"code": -32602, "message": f"{name} is not for you"}
    wanted = {each: {} for each in SHOWN[name] if "/" not in each}
    data = {"requiredCapabilities": wanted or {"extensions": {each: {} for each in SHOWN[name]}}}
    return {"code": -32021, "message": f"{name} is not for you", "data": data}


(FOLDER / f"start-{os.getpid()}").touch()
if "alone" in sys.argv:
    lock = os.open(FOLDER / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("it runs already")

declared = {}
for line in sys.stdin:
    message = json.loads(line)
    if "method" not in message:
        part = FOLDER / f"part-{os.getpid()}"  # it may be ended while it writes
        part.write_text(json.dumps(message))
        part.rename(FOLDER / f"answer-{os.getpid()}")
    elif message["method"] == "notifications/initialized":
        if "roots" in declared:
            send({"id": "roots", "method": "roots/list"})
    elif "id" in message:
        params = message.get("params", {})
        if MODERN:
            declared = params["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        elif message["method"] == "initialize":
            declared = params["capabilities"]
        result = answer(message, declared)
        if result is None:
            send({"id": message["id"], "error": refused(message)})
        else:
            send({"id": message["id"], "result": {"resultType": "complete", **result}})
