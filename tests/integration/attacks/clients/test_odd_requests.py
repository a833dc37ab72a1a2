"""Whatever a client sends or a server says, in any method: an answer and a record, no incident."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.attacks.scene import EVERYTHING, META, Modern, Old, Scene
from tests.integration.attacks.servers.results import numbers, results, strings, values, written
from tests.stage import Stage, raw_post
from tests.wire import Wire

pytestmark = pytest.mark.slow

ASKED = ("tools/call", "prompts/get", "resources/read", "completion/complete")
METHODS = (
    *ASKED, "tasks/get", "tasks/update", "tasks/cancel", "tools/list", "prompts/list",
    "resources/list", "resources/templates/list", "server/discover", "initialize", "ping",
    "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "notifications/cancelled",
    "notifications/initialized", "notifications/progress", "x",
)  # fmt: skip
ROOTS = '{"q":{"method":"roots/list"}}'
FINE = {200, 202, 400, 404}

names = st.sampled_from(
    ["lib__echo", "lib__plan", "lib__raw", "lib+doc://a", "lib+ui://x", "ui://lib/x", "lib__", "+",
     "none__x", "", "https://example.test/", "lib+:", "debug", "2025-03-26"]
).map(json.dumps)  # fmt: skip
members = st.sampled_from(
    ["name", "uri", "arguments", "cursor", "taskId", "ref", "argument", "type", "level", "context",
     "inputResponses", "requestState", "protocolVersion", "capabilities", "clientInfo", "task",
     "requestId", "progressToken", "elicitation", "extensions"]
).map(json.dumps)  # fmt: skip
odd = st.recursive(
    names | numbers | strings | st.sampled_from(["null", "true", "{}", "[]", '"ref/prompt"']),
    lambda inner: (
        st.dictionaries(members | strings, inner, max_size=4).flatmap(written)
        | st.lists(inner, max_size=3).map(lambda each: "[" + ",".join(each) + "]")
    ),
    max_leaves=8,
)
given_meta = st.dictionaries(
    st.sampled_from(
        ["progressToken", f"{META}logLevel", f"{META}clientInfo", f"{META}clientCapabilities",
         f"{META}protocolVersion", f"{META}subscriptionId", "traceparent", "vendor/x"]
    ).map(json.dumps),
    odd,
    max_size=3,
)  # fmt: skip


class Line:
    """One connection of one era; asks, and reads whatever comes back."""

    def __init__(self, scene: Scene, token: str, era: str) -> None:
        self.scene, self.era = scene, era
        self.modern = Modern(scene.place, token, can=EVERYTHING)
        self.old = Old(scene.place, token, can={})  # whom nobody waits for
        self.wire = scene.wire()

    def send(self, method: str, params: str, name: str = "") -> Any:
        note = method.startswith("notifications/")
        number = "" if note else '"id":1,'
        body = f'{{"jsonrpc":"2.0",{number}"method":{json.dumps(method)},"params":{params}}}'
        if self.era == "legacy":
            head = self.old.head
        else:
            head = {"Authorization": f"Bearer {self.modern.token}", "Mcp-Method": method}
            head |= {"MCP-Protocol-Version": "2026-07-28", "Accept": "*/*"}
            head |= {"Mcp-Name": name} if name else {}
        self.wire.send(raw_post(self.modern.path, body.encode(), head))
        answer = self.wire.answer()
        if answer.headers.get("connection") == "close":
            self.wire.socket.close()
            self.wire = self.scene.wire()
        return answer


@pytest.fixture(scope="module", params=["modern", "legacy"])
def scene(stage: Stage, request: pytest.FixtureRequest) -> Scene:
    scene = Scene(stage, f"odd-{request.param}", era=request.param)
    for method in ASKED[1:]:
        scene.server.methods[method] = scene.server.verbatim
    return scene


@pytest.fixture(scope="module")
def token(scene: Scene) -> str:
    (token,) = scene.admit("ada")
    return token


@pytest.fixture(params=["modern", "legacy"])
def line(scene: Scene, token: str, request: pytest.FixtureRequest) -> Iterator[Line]:
    line = Line(scene, token, request.param)
    before = scene.count
    yield line
    line.wire.socket.close()
    ended = [pair for pair in scene.records(before) if pair[1] == "internal"]
    assert ended == []


def named(text: str, method: str) -> str:
    """What the body says that it is about, as its header has to repeat it."""
    member = {"resources/read": "uri"}.get(method, "taskId" if "tasks" in method else "name")
    try:
        value = json.loads(text).get(member)
    except (ValueError, RecursionError):
        return ""
    plain = isinstance(value, str) and value.isprintable() and value.isascii()
    return value if plain and value == value.strip() else ""


@st.composite
def asked(draw):
    method = draw(st.sampled_from(METHODS))
    made = draw(st.dictionaries(members, odd, max_size=4))
    meta = draw(given_meta)
    return method, made, meta


def check_request(line: Line, drawn: Any) -> None:
    method, made, meta = drawn
    if line.era == "modern":
        meta = {
            f'"{META}protocolVersion"': '"2026-07-28"',
            f'"{META}clientCapabilities"': "{}",
        } | meta
    line.scene.server.raw = b'{"resultType":"complete"}'
    inner = ",".join(f"{k}:{v}" for k, v in meta.items())
    params = ",".join([*(f"{k}:{v}" for k, v in made.items()), f'"_meta":{{{inner}}}'])
    answer = line.send(method, f"{{{params}}}", named(f"{{{params}}}", method))
    assert answer.status in FINE, answer.body
    if answer.status != 202:
        told = answer.json
        assert ("result" in told) != ("error" in told)


@st.composite
def answered(draw):
    method = draw(st.sampled_from(ASKED))
    text = draw(results[method] | values)
    kind = draw(
        st.sampled_from(["", '"resultType":"complete",', '"resultType":"input_required",',
                         '"resultType":"task","taskId":7,', '"resultType":"task","taskId":"t",',
                         f'"inputRequests":{ROOTS},"resultType":"input_required",',
                         '"_meta":{"io.modelcontextprotocol/serverInfo":1},'])
    )  # fmt: skip
    error = draw(st.integers(0, 5)) == 0
    return method, text, kind, error, draw(st.booleans())


def check_answer(line: Line, drawn: Any) -> None:
    method, text, kind, error, streamed = drawn
    server = line.scene.server
    if text.startswith("{") and '"_meta"' not in text:
        text = "{" + kind + text[1:] if text.strip("{} \n\t") else "{" + kind.rstrip(",") + "}"
    server.raw, server.streamed = text.encode(), streamed and not error
    if error:
        body = b'{"jsonrpc":"2.0","id":%d,"error":%b}'
        for one in ("tools/call", *ASKED[1:]):
            server.methods[one] = lambda talk: talk.answer(
                "200 OK", body % (talk.seen.message["id"], text.encode())
            )
    params = {
        "tools/call": {"name": "lib__raw", "arguments": {}},
        "prompts/get": {"name": "lib__plan"},
        "resources/read": {"uri": "lib+doc://a"},
        "completion/complete": {"ref": {"type": "ref/prompt", "name": "lib__plan"}},
    }[method]
    client = line.modern if line.era == "modern" else line.old
    with Wire(line.modern.port) as wire:
        answer = wire.send(client.raw(method, params)).answer() if line.era == "modern" else None
    if answer is None:
        answer = line.send(method, json.dumps(params))
    server.methods.pop("tools/call", None)
    server.methods |= dict.fromkeys(ASKED[1:], server.verbatim)
    assert answer.status in FINE, answer.body
    told = answer.json
    assert ("result" in told) != ("error" in told)


quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def test_an_odd_request_is_answered(line: Line):
    quick(given(asked())(lambda drawn: check_request(line, drawn)))()


def test_an_odd_answer_is_handed_on_or_told(line: Line):
    quick(given(answered())(lambda drawn: check_answer(line, drawn)))()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [300, pytest.param(2000, marks=pytest.mark.weekly)])
def test_nothing_of_thousands_is_an_incident(line: Line, examples: int):
    long = settings(quick, max_examples=examples)
    long(given(asked())(lambda drawn: check_request(line, drawn)))()
    long(given(answered())(lambda drawn: check_answer(line, drawn)))()
