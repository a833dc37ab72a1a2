"""The model of each agent, as far as an agent can tell: three APIs on one loopback port.

with Model("lamp__read") as model:
    ...                 # run an agent whose model is at model.url
    model.heard         # what the tool's result said, as the agent sent it back

It asks for one call of the tool whose name ends like that, and then says `told: ` and what came
back. An agent that shows no such tool is told that there is none. The streams are as short as the
agents' own readers allow: Anthropic's Messages, OpenAI's Responses, Gemini's streamGenerateContent.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.gate import WAIT

Event = dict[str, Any]


class Model(ThreadingHTTPServer):
    """The server, and what agents told it."""

    daemon_threads = True

    def __init__(self, tool: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.tool = tool
        self.offered: set[str] = set()
        """The names of all tools that an agent showed."""
        self.heard: list[str] = []
        self.strays: list[str] = []
        """What was asked for that is no model: this server is also the agents' proxy."""
        self._serving = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where the APIs are."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._serving.join(WAIT)
        self.server_close()

    def answer(self, offered: set[str], heard: list[str]) -> tuple[str, str]:
        """The tool to be called now, or the last words."""
        self.offered |= offered
        self.heard += heard
        if heard:
            return "", f"told: {' '.join(heard)}"
        found = [name for name in offered if name.endswith(self.tool)]
        return (found[0], "") if found else ("", "there is no such tool")


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        events = APIS.get(self.path.partition("?")[0].rpartition("/")[2].rpartition(":")[2])
        if events is None:
            self._stray()
        else:
            told = [_event(event) for event in events(self.server, json.loads(asked))]
            self._send(200, "text/event-stream", "".join(told).encode())

    def _stray(self) -> None:
        self.server.strays.append(f"{self.command} {self.path}")
        self._send(404, "application/json", b"{}")

    do_GET = do_HEAD = do_CONNECT = _stray  # noqa: N815 - http.server's names

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _event(event: Event) -> str:
    named = f"event: {event['type']}\n" if "type" in event else ""
    return f"{named}data: {json.dumps(event)}\n\n"


def _anthropic(model: Model, asked: Any) -> Iterator[Event]:
    heard = [
        _text(part["content"])
        for message in asked["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "tool_result"
    ]
    tool, words = model.answer({tool["name"] for tool in asked.get("tools", ())}, heard)
    block: Event = {"type": "text", "text": ""}
    delta: Event = {"type": "text_delta", "text": words}
    if tool:
        block = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": "{}"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    opened = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    opened |= {"content": [], "stop_reason": None, "usage": usage}
    ended = {"stop_reason": "tool_use" if tool else "end_turn"}
    yield {"type": "message_start", "message": opened}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": ended, "usage": usage}
    yield {"type": "message_stop"}


def _openai(model: Model, asked: Any) -> Iterator[Event]:
    heard = [_text(x["output"]) for x in asked["input"] if x["type"] == "function_call_output"]
    spaces = [tool for tool in asked["tools"] if tool["type"] == "namespace"]
    offered = {f"{space['name']}/{tool['name']}" for space in spaces for tool in space["tools"]}
    tool, words = model.answer(offered, heard)
    said = {"type": "output_text", "text": words}
    item: Event = {"type": "message", "id": "msg_1", "role": "assistant", "content": [said]}
    if tool:
        space, _, name = tool.partition("/")
        item = {"type": "function_call", "namespace": space, "name": name}
        item |= {"call_id": "call_1", "arguments": "{}"}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield {"type": "response.created", "response": {"id": "resp_1"}}
    yield {"type": "response.output_item.done", "item": item}
    yield {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}


def _gemini(model: Model, asked: Any) -> Iterator[Event]:
    heard = [
        json.dumps(part["functionResponse"]["response"])
        for content in asked["contents"]
        for part in content["parts"]
        if "functionResponse" in part
    ]
    declared = [one.get("functionDeclarations", []) for one in asked.get("tools", ())]
    tool, words = model.answer({one["name"] for each in declared for one in each}, heard)
    part: Event = {"functionCall": {"name": tool, "args": {}}} if tool else {"text": words}
    answer = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    yield {"candidates": [answer], "usageMetadata": usage}


def _text(content: Any) -> str:
    """A tool's result, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


APIS: dict[str, Callable[[Model, Any], Iterator[Event]]] = {
    "messages": _anthropic,
    "responses": _openai,
    "streamGenerateContent": _gemini,
}
"""By how the path of a request ends."""
