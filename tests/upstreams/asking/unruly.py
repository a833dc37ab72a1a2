"""A legacy server over stdio that leaves behind what is hard to end, or will not start.

`chain N`: processes that each begin a next one in a session of its own and end; `deep N`: a
directory of that depth in its home; `stay`: does not end with its input; `fetch N DIR`: needs N
steps of half a second before it answers, and keeps how far it came in its cache;
`fails`: says why and ends.
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


def chain(links, note):
    """Begin a chain; each link writes its pid, so that a test sees how far it came."""
    if os.fork():
        return
    for _ in range(links):
        os.setsid()
        Path(note).write_text(f"{os.getpid()}")
        if os.fork():
            os._exit(0)
        time.sleep(0.001)
    os._exit(0)


def deep(levels):
    os.chdir(os.environ["HOME"])
    for _ in range(levels):
        Path("d").mkdir()
        os.chdir("d")


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
    if what == "chain":
        chain(int(given[0]), given[1])
    elif what == "deep":
        deep(int(given[0]))
    elif what == "fetch":
        fetch(int(given[0]), given[1])
    elif what == "fails":
        say("not MCP \x1b[31mred\x07 token=" + os.environ["TOKEN"])
        say("npm error 404 Not Found - GET " + os.environ["TOKEN"], sys.stderr)
        say("refused: " + os.environ["TOKEN"].split()[-1], sys.stderr)
        sys.exit(3)
    if what == "child":
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(600)
        Path(given[0]).write_text(str(pid))
    answer()
    if what in ("stay", "child"):
        time.sleep(600)
    if what == "chain":
        time.sleep(600)


main(*sys.argv[1:])
