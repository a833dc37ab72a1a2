"""A legacy server over stdio that takes its time, or will not start.

`fetch N DIR`: needs N steps of half a second before it answers, and keeps how far it came in its
cache; `fails`: says why and ends; `plain`: neither.
"""

import json
import os
import sys
import time
from pathlib import Path


def say(line, where=sys.stdout):
    where.write(line + "\n")
    where.flush()


def answer():
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "unruly", "version": "1"},
            }
        elif message.get("method") == "tools/list":
            result = {"tools": [{"name": "where", "inputSchema": {"type": "object"}}]}
        elif message.get("method") == "tools/call":
            result = {"content": [{"type": "text", "text": json.dumps(os.environ["HOME"])}]}
        else:
            continue
        said = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        say(json.dumps(said))


def fetch(steps, log):
    """One step after the other, each kept in the cache; what is there is not fetched again."""
    cache = Path(os.environ["XDG_CACHE_HOME"])
    cache.mkdir(parents=True, exist_ok=True)
    for step in range(steps):
        kept = cache / str(step)
        if not kept.exists():
            say(f"fetching {step}", sys.stderr)
            time.sleep(0.5)
            kept.write_text("")
            with Path(log).open("a") as told:
                told.write(f"{step}\n")


def main(what, *given):
    if what == "fetch":
        fetch(int(given[0]), given[1])
    elif what == "fails":
        say("not MCP \x1b[31mred\x07 token=" + os.environ["TOKEN"])
        say("npm error 404 Not Found - GET " + os.environ["TOKEN"], sys.stderr)
        say("refused: " + os.environ["TOKEN"].split()[-1], sys.stderr)
        sys.exit(3)
    answer()


main(*sys.argv[1:])
