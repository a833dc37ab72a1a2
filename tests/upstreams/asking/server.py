"""An MCP server over stdio that has everything and asks back: server.py ERA.

ERA is legacy (2025-11-25), modern (2026-07-28) or both. A legacy session asks while a call runs and
waits for the answers; a modern request only tells what came with it. Standard library only.
"""

import json
import os
import sys
import time
from pathlib import Path

ERA = sys.argv[1]
CAN = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
    "completions": {},
}
state = {"capabilities": None, "level": None, "modern": ERA == "modern"}
told, answers, watched, listens, cancelled = [], {}, set(), {}, set()


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def result(number, value):
    send(id=number, result={"resultType": "complete", **value} if state["modern"] else value)


def say(number, value):
    result(number, {"content": [{"type": "text", "text": json.dumps(value)}]})


def fail(number, code=-32601, text="Method not found"):
    send(id=number, error={"code": code, "message": text})


def hear():
    """Take one more message; whoever waits for an answer looks whether it came."""
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    answer(json.loads(line))


def wait_for(path):
    while path and not Path(path).exists():
        time.sleep(0.01)


def ask(number, given, _meta):
    """Ask, one after the other or all at once, and say what was answered.

    With `until` only the first is asked before there is such a file.
    """
    names = [f"q{number}-{n}" for n in range(len(given["questions"]))]
    for name, (method, params) in zip(names, given["questions"], strict=True):
        send(id=name, method=method, params=params)
        wait_for(given.get("until"))
        while not given.get("at_once") and name not in answers:
            hear()
        if number in cancelled:
            return
    if given.get("at_once"):
        send(method="notifications/message", params={"level": "info", "data": "all asked"})
    while given.get("at_once") and not all(name in answers for name in names):
        hear()
    say(number, [answers[name] for name in names])


def ask_and_go(number, given, _meta):
    """Ask, and answer the call without waiting; or die, or take the question back.

    With `until` it reads nothing before there is such a file.
    """
    method, params = given.get("what", ("roots/list", {}))
    send(id="gone", method=method, params=params)
    time.sleep(given.get("pause", 0.1))  # with one it is handed on as a round of its own
    wait_for(given.get("until"))
    if given.get("die"):
        os._exit(7)
    if given.get("withdraw"):
        send(method="notifications/cancelled", params={"requestId": "gone"})
        send(id="kept", method="roots/list", params={})
        while "kept" not in answers:
            hear()
    say(number, sorted(answers))


def stray(number, _given, _meta):
    """Ask and log after the call was answered, when it may belong to another one."""
    say(number, "answered")
    send(id="stray", method="roots/list", params={})
    send(method="notifications/message", params={"level": "info", "data": "stray"})


def log(number, given, _meta):
    send(method="notifications/message", params={"level": "info", "data": given.get("words")})
    say(number, "logged")


def steps(number, _given, meta):
    for step in (1, 2):
        params = {"progressToken": meta.get("progressToken"), "progress": step}
        send(method="notifications/progress", params=params)
    say(number, "done")


def declared(number, _given, meta):
    known = {"capabilities": state["capabilities"], "level": state["level"]}
    known |= {"pid": os.getpid(), "uid": os.getuid()}
    prefix = "io.modelcontextprotocol/"
    if state["modern"]:
        known["capabilities"] = meta.get(f"{prefix}clientCapabilities")
        known["level"] = meta.get(f"{prefix}logLevel")
    say(number, {**known, "modern": state["modern"]})


def touch(number, given, _meta):
    """A resource changed: whoever watches it hears of it."""
    uri = given["uri"]
    if uri in watched:
        send(method="notifications/resources/updated", params={"uri": uri})
    for listen, wanted in listens.items():
        if uri in wanted.get("resourceSubscriptions", ()):
            meta = {"io.modelcontextprotocol/subscriptionId": listen}
            send(method="notifications/resources/updated", params={"uri": uri, "_meta": meta})
    say(number, "touched")


def seen(number, _given, _meta):
    listening = [[listen, wanted] for listen, wanted in listens.items()]
    say(number, {"watched": sorted(watched), "listening": listening, "told": told})


TOOLS = {
    "ask": ask,
    "ask_and_go": ask_and_go,
    "answered": lambda number, _given, _meta: say(number, answers),
    "stray": stray,
    "log": log,
    "steps": steps,
    "declared": declared,
    "touch": touch,
    "seen": seen,
    "hang": lambda number, _given, _meta: None,
    "echo": lambda number, given, _meta: say(number, given),
    "die": lambda _number, _given, _meta: os._exit(7),
    "change": lambda number, given, _meta: (
        send(method=f"notifications/{given['what']}/list_changed"),
        say(number, "changed"),
    ),
}
LISTS = {
    "tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]},
    "prompts/list": {"prompts": [{"name": "greet"}, {"name": "part", "x": 1}, {"title": "none"}]},
    "resources/list": {"resources": [{"uri": "a:1", "name": "one"}, {"name": "no uri"}]},
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "a:{n}", "name": "t"}]},
    "prompts/get": {"messages": []},
    "resources/read": {"contents": [{"uri": "a:1", "text": "one"}]},
    "completion/complete": {"completion": {"values": ["x"]}},
    "tasks/get": {"status": "working"},
}


def begin(method, number, params):
    """The handshake of either era."""
    if method == "server/discover" and ERA != "legacy":
        state["modern"] = True
        versions = ["2026-07-28"]
        result(number, {"supportedVersions": versions, "capabilities": CAN, "instructions": "M"})
    elif method == "initialize" and ERA != "modern":
        state["modern"], state["capabilities"] = False, params["capabilities"]
        result(number, {"protocolVersion": "2025-11-25", "capabilities": CAN, "instructions": "L"})
    else:
        fail(number)


def subscribe(method, number, params):
    if method == "subscriptions/listen" and state["modern"]:
        listens[number] = params["notifications"]
        meta = {"io.modelcontextprotocol/subscriptionId": number}
        send(method="notifications/subscriptions/acknowledged", params={"_meta": meta})
    elif method == "resources/subscribe" and not state["modern"]:
        watched.add(params["uri"])
        result(number, {})
    elif method == "resources/unsubscribe" and not state["modern"]:
        watched.discard(params["uri"])
        result(number, {})
    else:
        fail(number)


def answer(message):
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method is None:
        answers[number] = message.get("result", message.get("error"))
    elif number is None:
        told.append(message)
        cancelled.add(params.get("requestId"))
        listens.pop(params.get("requestId"), None)
    elif method in ("server/discover", "initialize"):
        begin(method, number, params)
    elif method.startswith(("subscriptions/", "resources/subscribe", "resources/unsubscribe")):
        subscribe(method, number, params)
    elif method == "logging/setLevel" and not state["modern"]:
        state["level"] = params["level"]
        result(number, {})
    elif method == "tools/call":
        TOOLS[params["name"]](number, params.get("arguments", {}), params.get("_meta", {}))
    elif method in LISTS:
        result(number, LISTS[method])
    else:
        fail(number)


while True:
    hear()
