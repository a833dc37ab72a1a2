"""A workspace with one server that offers everything, its members, and clients that can be asked.

`Modern` and `Old` say what they can; what comes on a stream is read from a `Wire`.
"""

import itertools
import json
from typing import Any

from tests.gate import MODERN, Answer, Client
from tests.stage import Legacy, Place, Stage, mirrored, modern, raw_post
from tests.upstreams.library import TASKS, Library
from tests.wire import Wire, until

META = "io.modelcontextprotocol/"
ASKABLE: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
EVERYTHING: dict[str, Any] = {**ASKABLE, "extensions": {TASKS: {}}}
BOTH = "application/json, text/event-stream"
_NUMBERS = itertools.count()
NAMED = {"resources/read": "uri", "tasks/get": "taskId", "tasks/update": "taskId"}
NAMED |= {"tasks/cancel": "taskId", "tools/call": "name", "prompts/get": "name"}


class Modern(Client):
    """A client of the modern era that can be asked what it says."""

    def __init__(self, place: Place, token: str, alias: str = "", can: Any = ASKABLE) -> None:
        path = f"/k/{place.slug}/s/{alias}/mcp" if alias else place.path
        super().__init__(place.gate.port, token, path)
        self.can = can

    def body(self, method: str, params: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """The body of a request, and the headers that repeat it."""
        self._ids += 1
        meta = {f"{META}clientCapabilities": self.can, **params.get("_meta", {})}
        given = {key: value for key, value in params.items() if key != "_meta"}
        name = str(params.get(NAMED.get(method, ""), ""))
        return modern(method, self._ids, **given, _meta=meta), mirrored(method, name)

    def request(self, method: str, params: dict[str, Any], **headers: str) -> Answer:
        """Send a request."""
        body, mine = self.body(method, params)
        return self.post(body, {**mine, "accept": BOTH, **headers})

    def raw(self, method: str, params: dict[str, Any]) -> bytes:
        """A request down to its bytes."""
        body, mine = self.body(method, params)
        head = {"Authorization": f"Bearer {self.token}", "Accept": BOTH, **mine}
        return raw_post(self.path, body, head)

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that asks back; what it asks, and the state."""
        result = self.call(tool, arguments).json["result"]
        assert result["resultType"] == "input_required", result
        return dict(result)

    def retry(self, tool: str, asked: dict[str, Any], **changed: Any) -> Answer:
        """Come back with an answer to each question."""
        answers = dict.fromkeys(asked.get("inputRequests", {}), YES)
        params = {
            "name": tool,
            "arguments": {},
            "inputResponses": answers,
            "requestState": asked["requestState"],
            **changed,
        }
        return self.request("tools/call", params)


YES = {"action": "accept", "content": {"name": "Ada"}}


class Old(Legacy):
    """A client of a legacy revision that can be asked what it says."""

    def __init__(
        self,
        place: Place,
        token: str,
        alias: str = "",
        can: Any = ASKABLE,
        version: str = "2025-11-25",
    ) -> None:
        self.place = place
        path = f"/k/{place.slug}/s/{alias}/mcp" if alias else place.path
        Client.__init__(self, place.gate.port, token, path)
        hello = {
            "protocolVersion": version,
            "capabilities": can,
            "clientInfo": {"name": "old", "version": "1"},
        }
        self.session = ""
        self.session = self.request("initialize", hello).headers["mcp-session-id"]

    def raw(self, method: str, params: dict[str, Any], number: Any = 1) -> bytes:
        """A request of the session down to its bytes."""
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return raw_post(self.path, json.dumps(message).encode(), self.head)

    @property
    def head(self) -> dict[str, str]:
        """The headers of each of its requests."""
        mine = {"Authorization": f"Bearer {self.token}", "Accept": BOTH}
        return {**mine, "Mcp-Session-Id": self.session}

    def stream(self) -> bytes:
        """The request for its GET stream down to its bytes."""
        lines = [f"GET {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.head.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def reply(self, number: Any, result: Any = YES) -> Answer:
        """Answer a question."""
        return self.say({"jsonrpc": "2.0", "id": number, "result": result})


def told(wire: Wire) -> Any:
    """The next message on a stream."""
    return json.loads(wire.event())


class Scene:
    """The server goes by the alias `lib`."""

    def __init__(self, stage: Stage, slug: str, **given: Any) -> None:
        self.stage = stage
        self.server = stage.servers.open(Library(**given))
        self.place = stage.place(f"{slug}-{next(_NUMBERS)}")
        self.place.serve("lib", self.server.url)

    def admit(self, *names: str) -> list[str]:
        """Members who may use everything, and see it; their tokens."""
        tokens = [self.place.admit(name, lib="all") for name in names]
        for token in tokens:
            client = self.place.client(token)
            until(
                lambda client=client: client.request("prompts/list", {}).json["result"]["prompts"]
            )
        return tokens

    def wire(self) -> Wire:
        """A connection to the gate."""
        return self.stage.wire()

    def records(self, before: int) -> list[tuple[str, str]]:
        """Type, and reason or outcome, of each record from that many on."""
        found = self.place.since(before)
        return [(leaf["t"], leaf.get("reason") or leaf.get("outcome", "")) for leaf in found]

    def outcome(self, before: int) -> str:
        """How the one call since then ended."""
        closing = until(lambda: [o for t, o in self.records(before) if t == "call.outcome"])
        return closing[-1]

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.place.leaves())


__all__ = [
    "ASKABLE",
    "BOTH",
    "EVERYTHING",
    "META",
    "MODERN",
    "YES",
    "Modern",
    "Old",
    "Scene",
    "told",
]
