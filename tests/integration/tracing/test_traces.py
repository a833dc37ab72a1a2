"""A traced request makes a span of the gate and one of its exchange; neither holds a payload."""

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate import Answer
from tests.integration.tracing.collector import CLIENT, FAILED, SERVER, Collector, Seen
from tests.leaves import Calls
from tests.stage import Stage, mirrored, modern
from tests.upstreams.acts import Acting
from tests.upstreams.library import Library
from tests.wire import until

pytestmark = pytest.mark.slow

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALLOWED = {
    "mcp.method.name", "mcp.protocol.version", "gen_ai.operation.name", "gen_ai.tool.name",
    "gen_ai.prompt.name", "rpc.response.status_code", "error.type",
    "gatelodge.call", "gatelodge.decision", "gatelodge.outcome", "gatelodge.upstream.name",
}  # fmt: skip
"""Every attribute that a span may have."""


class Scene:
    """A gate that traces everything, two servers, a member with a canary in all that they say."""

    def __init__(self, directory: Path) -> None:
        self.word = "canary" + secrets.token_hex(8)
        self.collector = Collector()
        self.stage = Stage(
            directory / "gate",
            f"telemetry.traces_endpoint={self.collector.url}",
            "telemetry.traces_ratio=1",
            "telemetry.traces_service=north-gate",
        )
        self.web = self.stage.servers.open(Acting(era="modern"))
        self.books = self.stage.servers.open(Library(mark=self.word))
        self.old = self.stage.servers.open(Library(mark=self.word, era="legacy"))

    def play(self) -> None:
        self.place = self.stage.place("traced")
        self.place.serve("web", self.web.url)
        self.place.serve("books", self.books.url)
        self.place.serve("old", self.old.url)
        self.token = self.place.admit(f"{self.word}-ada", web="all", books="all", old="all")
        self.client = self.place.client(self.token)
        until(lambda: "web__echo" in self.client.tools())

    def asked(self, method: str, params: dict[str, Any], **meta: Any) -> tuple[Answer, list[Seen]]:
        """What a request was answered, and its trace."""
        before = {leaf["call"] for leaf in self.place.leaves() if leaf["t"].startswith("call.")}
        answer = self.client.request(method, {**params, "_meta": meta})
        later = [leaf for leaf in self.place.leaves() if leaf["t"].startswith("call.")]
        (call,) = {leaf["call"] for leaf in later} - before
        return answer, self.collector.trace_of(call)

    def called(self, tool: str, **meta: Any) -> list[Seen]:
        """The trace of a tool's call."""
        given = {"name": tool, "arguments": {self.word: [self.word]}}
        return self.asked("tools/call", given, **meta)[1]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("traced"))
    try:
        with made.stage.gate.running():
            made.play()
            yield made
    finally:
        made.stage.servers.close()
        made.collector.close()


def test_a_call_is_a_span_of_the_gate_and_below_it_one_of_its_exchange(scene: Scene) -> None:
    gate, exchange = scene.called("web__echo")
    assert (gate.name, gate.kind, gate.parent) == ("tools/call web__echo", SERVER, "")
    assert (exchange.name, exchange.kind) == ("tools/call echo", CLIENT)
    assert (exchange.trace, exchange.parent) == (gate.trace, gate.span)
    assert gate.call in Calls(scene.place.leaves()).intents
    assert gate.attributes == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2026-07-28",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "web__echo",
        "gatelodge.call": gate.call,
        "gatelodge.decision": "allow",
        "gatelodge.outcome": "ok",
    }
    assert exchange.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "gatelodge.upstream.name": "web",
    }
    assert gate.status == exchange.status == 0
    assert gate.resource.keys() == {"service.name", "service.version", "service.instance.id"}
    assert gate.resource["service.name"] == "north-gate"
    assert set(scene.collector.paths) == {"/v1/traces"}


def test_the_server_is_handed_the_exchange_as_its_parent(scene: Scene) -> None:
    _, exchange = scene.called("web__echo", **{"vendor/x": 1})
    meta = scene.web.of("tools/call")[-1].message["params"]["_meta"]
    assert meta["traceparent"] == f"00-{exchange.trace}-{exchange.span}-01"
    assert meta["vendor/x"] == 1
    assert "tracestate" not in meta


def test_a_trace_that_its_caller_began_goes_on_through_the_gate(scene: Scene) -> None:
    gate, exchange = scene.called("web__echo", traceparent=CALLER, tracestate="vendor=x")
    assert (gate.trace, gate.parent) == (CALLER[3:35], CALLER[36:52])
    meta = scene.web.of("tools/call")[-1].message["params"]["_meta"]
    assert meta["traceparent"] == f"00-{gate.trace}-{exchange.span}-01"
    assert meta["tracestate"] == "vendor=x"


def test_what_is_no_trace_context_begins_a_trace_of_the_gates_own(scene: Scene) -> None:
    gate, exchange = scene.called("web__echo", traceparent="00-zz-01", tracestate="vendor=x")
    assert gate.parent == ""
    meta = scene.web.of("tools/call")[-1].message["params"]["_meta"]
    assert meta["traceparent"] == f"00-{gate.trace}-{exchange.span}-01"
    assert "tracestate" not in meta


@pytest.mark.parametrize(
    ("tool", "gate_ends", "exchange_ends"),
    [
        ("fail", ("tool_error", "tool_error", None, FAILED), ("tool_error", None, FAILED)),
        ("refuse", ("rpc_error", "CODE", "CODE", None), ("CODE", "CODE", FAILED)),
        ("garbage", ("upstream_protocol", "tool_error", None, FAILED),
         ("upstream_protocol", None, FAILED)),
        ("hang", ("timeout", "tool_error", None, FAILED), ("timeout", None, FAILED)),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said_by_its_kind(
    scene: Scene, tool: str, gate_ends: Any, exchange_ends: Any
) -> None:
    answer, (gate, exchange) = scene.asked("tools/call", {"name": f"web__{tool}", "arguments": {}})
    code = str(answer.json.get("error", {}).get("code"))

    def ends(span: Seen, *told: str) -> tuple[Any, ...]:
        found = [span.attributes.get(key) for key in told]
        return tuple("CODE" if each == code else each for each in found)

    told = ("error.type", "rpc.response.status_code")
    assert ends(gate, "gatelodge.outcome", *told) == gate_ends[:3]
    assert gate_ends[3] in {gate.status, None}
    assert (*ends(exchange, *told), exchange.status) == exchange_ends


def test_a_call_that_nobody_may_make_or_that_names_nothing_reaches_no_server(scene: Scene) -> None:
    (gate,) = scene.called(f"web__{scene.word}")
    assert gate.name == "tools/call"
    assert gate.attributes["gatelodge.decision"] == "deny"
    assert gate.attributes["error.type"] == "-32602"
    assert "gen_ai.tool.name" not in gate.attributes


def test_a_prompt_is_named_and_a_resource_is_not(scene: Scene) -> None:
    prompt, asked = scene.asked("prompts/get", {"name": "books__plan"})[1]
    assert (prompt.name, asked.name) == ("prompts/get books__plan", "prompts/get plan")
    assert prompt.attributes["gen_ai.prompt.name"] == "books__plan"
    uri = f"books+doc://{scene.word}"
    params = {"uri": uri}
    answer = scene.client.request("resources/read", params, **{"Mcp-Name": uri})
    assert answer.status == 200
    read = until(lambda: [s for s in scene.collector.spans if s.name == "resources/read"])
    assert not {key for span in read for key in span.attributes if key not in ALLOWED}


def test_a_legacy_client_is_traced_like_any_other(scene: Scene) -> None:
    legacy = scene.place.legacy(scene.token)
    traced = {"traceparent": "00-" + "1f" * 16 + "-" + "2e" * 8 + "-00"}
    legacy.request("tools/call", {"name": "books__echo", "arguments": {}, "_meta": traced})
    gate, exchange = until(
        lambda: sorted(
            (s for s in scene.collector.spans if s.trace == "1f" * 16), key=lambda s: s.kind
        )
    )
    assert (gate.name, gate.parent) == ("tools/call books__echo", "2e" * 8)
    assert gate.attributes["mcp.protocol.version"] == "2025-11-25"
    assert exchange.parent == gate.span


def test_a_question_ends_the_exchange_and_the_answer_to_it_is_a_request_of_its_own(
    scene: Scene,
) -> None:
    able = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
    given = {"name": "old__ask", "arguments": {}}
    answer, (first, exchange) = scene.asked("tools/call", given, **able)
    asked = answer.json["result"]
    assert asked["resultType"] == "input_required"
    assert first.attributes["gatelodge.outcome"] == "input_required"
    assert (exchange.parent, exchange.status) == (first.span, 0)
    replies = {
        key: {"action": "accept", "content": {"name": scene.word}} for key in asked["inputRequests"]
    }
    given |= {"inputResponses": replies, "requestState": asked["requestState"]}
    answer, (second,) = scene.asked("tools/call", given, **able)
    assert answer.json["result"]["resultType"] == "complete"
    assert second.attributes["gatelodge.outcome"] == "ok"
    assert second.trace != first.trace


@pytest.mark.guarantee("audit:no-payload")
def test_no_span_holds_what_a_client_or_a_server_said_nor_who_it_was(scene: Scene) -> None:
    word, path = scene.word, scene.place.path
    meta = {
        "progressToken": word,
        f"{word}/key": word,
        "traceparent": word,
        "tracestate": f"{word}=1",
        "baggage": f"{word}=1",
        "io.modelcontextprotocol/clientInfo": {"name": word, "version": word},
    }
    asked: list[tuple[str, dict[str, Any]]] = [
        ("tools/call", {"name": f"web__{tool}", "arguments": {word: word}})
        for tool in ("echo", "fail", "refuse", "garbage", "five_hundred", word)
    ]
    asked += [("resources/read", {"uri": uri}) for uri in (f"books+doc://{word}", word)]
    for name in ("books__plan", word):
        asked.append(("prompts/get", {"name": name, "arguments": {word: word}}))
    valid = {**meta, "traceparent": CALLER}
    for method, params in asked:
        for given in (meta, valid):
            headers = mirrored(method, params.get("name") or params["uri"])
            scene.client.post(modern(method, word, **params, _meta=given), headers)
    legacy = scene.place.legacy(scene.token)
    legacy.say({
        "jsonrpc": "2.0", "id": word, "method": "tools/call",
        "params": {"name": "books__echo", "arguments": {word: word}, "_meta": valid},
    })  # fmt: skip
    last = scene.called("web__echo")
    spans = scene.collector.spans
    assert {key for span in spans for key in span.attributes} <= ALLOWED
    assert last[0].trace in {span.trace for span in spans}
    sent = b"".join(scene.collector.bodies)
    members = scene.place.api("GET", "/members")
    people = [row[key] for row in members["items"] for key in ("id", "email")]
    for forbidden in (word, scene.token, legacy.session, path, *people):
        assert forbidden.encode() not in sent
    assert b"arguments" not in sent


def test_a_stop_sends_what_waits(tmp_path: Path) -> None:
    collector = Collector()
    stage = Stage(
        tmp_path / "gate", f"telemetry.traces_endpoint={collector.url}", "telemetry.traces_ratio=1"
    )
    web = stage.servers.open(Acting())
    try:
        with stage.gate.running():
            place = stage.place("traced")
            place.serve("web", web.url)
            client = place.client(place.admit("ada", web="all"))
            until(lambda: client.call("web__echo").json.get("result", {}).get("content"))
            client.call("web__echo")
            assert stage.gate.stop(signal.SIGTERM) == 0
        assert {"tools/call web__echo", "tools/call echo"} <= {s.name for s in collector.spans}
    finally:
        stage.servers.close()
        collector.close()
