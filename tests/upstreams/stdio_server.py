"""An MCP server over stdio that behaves, or misbehaves on demand: one tool for each fault.

stdio_server.py ERA   with ERA one of
  modern     2026-07-28 only
  legacy     2025-11-25; an unknown method is an error
  strict     2025-11-25; exits when the first message is not initialize
  silent     2025-11-25; says nothing to an unknown method
  old        2024-11-05
  strange    2026-07-28 shape, but only a revision from the future
  deaf       never answers anything
  dead       exits at once with status 3
Standard library only, so that any Python can run it under any uid.
"""

import json
import os
import sys
import time
from pathlib import Path

ERA = sys.argv[1]
LEGACY = {"legacy": "2025-11-25", "strict": "2025-11-25", "silent": "2025-11-25"}
VERSION = {**LEGACY, "old": "2024-11-05"}.get(ERA, "")
told = []


def send(message):
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def result(number, value):
    if not VERSION:
        value = {"resultType": "complete", **value}
    send({"jsonrpc": "2.0", "id": number, "result": value})


def say(number, value):
    result(number, {"content": [{"type": "text", "text": json.dumps(value)}]})


def tell(method, params):
    send({"jsonrpc": "2.0", "method": method, "params": params})


def descendant():
    """Start a process that outlives a careless parent, and say who it is."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return pid


def die(_number, _given, _meta):
    sys.stderr.write("secret words of a dying server\n")
    sys.stderr.flush()
    os._exit(7)


def close(_number, _given, _meta):
    os.close(1)
    time.sleep(600)


def garbage(number, _given, _meta):
    sys.stdout.write('Starting...\n\n[1,2]\n{"jsonrpc":\n\x00\xff\n')
    say(number, "after garbage")


def endless(number, _given, _meta):
    sys.stdout.write(f'{{"jsonrpc":"2.0","id":{number},"result":{{"content":"')
    while True:
        sys.stdout.write("x" * 65536)
        sys.stdout.flush()


def progress(number, _given, meta):
    for step in (1, 2):
        params = {"progressToken": meta.get("progressToken"), "progress": step}
        tell("notifications/progress", params)
    tell("notifications/progress", {"progressToken": 999_999, "progress": 9})
    say(number, meta)


def ask(number, _given, _meta):
    send({"jsonrpc": "2.0", "id": "q1", "method": "ping"})
    send({"jsonrpc": "2.0", "id": "q2", "method": "elicitation/create", "params": {"message": "?"}})
    say(number, "asked")


def change(number, _given, _meta):
    tell("notifications/tools/list_changed", {})
    say(number, "changed")


def whoami(number, _given, _meta):
    who = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "pid": os.getpid()}
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    say(number, {**who, "sid": os.getsid(0), "cwd": str(Path.cwd()), "fds": descriptors})


def error(number, _given, _meta):
    fault = {"code": -32602, "message": "no", "data": [1]}
    send({"jsonrpc": "2.0", "id": number, "error": fault})


def slow(number, given, _meta):
    time.sleep(given["seconds"])
    say(number, "slow")


def big(number, given, _meta):
    result(number, {"content": [{"type": "text", "text": "x" * given["bytes"]}]})


def spell(number, given, _meta):
    """Answer with these bytes, given in hex, as the result."""
    raw = b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (number, bytes.fromhex(given["hex"]))
    sys.stdout.buffer.write(raw + b"\n")
    sys.stdout.flush()


TOOLS = {
    "echo": lambda number, given, _meta: say(number, given),
    "hang": lambda _number, _given, _meta: None,
    "die": die,
    "close": close,
    "garbage": garbage,
    "big": big,
    "endless": endless,
    "progress": progress,
    "ask": ask,
    "change": change,
    "told": lambda number, _given, _meta: say(number, told),
    "environment": lambda number, _given, _meta: say(number, dict(os.environ)),
    "whoami": whoami,
    "fork": lambda number, _given, _meta: say(number, descendant()),
    "error": error,
    "slow": slow,
    "spell": spell,
}


def page(number, params):
    cursor = params.get("cursor")
    tools = [
        {"name": name, "inputSchema": {"type": "object"}, "x-vendor": 12345678901234567890123}
        for name in TOOLS
    ]
    if cursor is None:
        result(
            number, {"tools": tools[:5], "nextCursor": "more", "ttlMs": 0, "cacheScope": "public"}
        )
    else:
        result(number, {"tools": tools[5:], "ttlMs": 0, "cacheScope": "public"})


def unknown(number):
    if ERA == "strict":
        sys.exit(4)
    if ERA != "silent":
        send(
            {
                "jsonrpc": "2.0",
                "id": number,
                "error": {"code": -32601, "message": "Method not found"},
            }
        )


def answer(message):
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method is None or number is None:
        told.append(message)
        return
    modern = not VERSION
    if method == "server/discover" and modern:
        versions = ["2099-01-01"] if ERA == "strange" else ["2026-07-28"]
        result(
            number,
            {
                "supportedVersions": versions,
                "capabilities": {"tools": {"listChanged": True}},
                "instructions": "Be kind.",
            },
        )
    elif method == "initialize" and not modern:
        result(
            number,
            {
                "protocolVersion": VERSION,
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "stdio", "version": "1"},
                "instructions": "Be kind.",
            },
        )
    elif method == "subscriptions/listen" and modern:
        told.append(message)
        tell("notifications/subscriptions/acknowledged", {})
    elif method == "tools/list":
        page(number, params)
    elif method == "tools/call":
        meta = params.get("_meta", {})
        TOOLS[params["name"]](number, params.get("arguments", {}), meta)
    else:
        unknown(number)


def main():
    if ERA == "dead":
        sys.stderr.write("cannot open the database\n")
        sys.exit(3)
    for line in sys.stdin:
        if ERA != "deaf":
            answer(json.loads(line))


main()
