"""Whatever a server answers and a client sends comes through one era's gate with its own bytes.

Random results and arguments go over the wire, at the endpoint of one server; what comes out is
compared byte for byte, but for what the gate owns: ids, `serverInfo` in `_meta`, and of a resource
of the modern era the cache hints.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.attacks.servers.results import members, objects, results, values
from tests.stage import Legacy, Place, Stage, mirrored, raw_post
from tests.upstreams.library import Library
from tests.wire import until

METHODS = sorted(results)
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
OWN_META = (
    '"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientCapabilities":{}'
)
ASKED = {
    "tools/call": ("name", "raw", '"arguments":%s'),
    "prompts/get": ("name", "plan", '"arguments":%s'),
    "resources/read": ("uri", "doc://a", '"vendor":%s'),
    "completion/complete": ("", "", '"ref":{"type":"ref/prompt","name":"plan"},"argument":%s'),
}
"""What is asked for in each method: the member that names it, its name, where the rest goes."""


class Line:
    """One member's connection to a gate, and the server at its other end, in one era.

    The connection is one from the first request to the last: nothing that a server says ends it.
    """

    def __init__(self, stage: Stage, place: Place, token: str, server: Library) -> None:
        self.server = server
        self.path = f"/k/{place.slug}/s/{server.era}/mcp"
        self.wire = stage.wire()
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if server.era == "legacy":
            legacy: Legacy = place.legacy(token, server.era)
            self.headers["Mcp-Session-Id"] = legacy.session
        self.number = 0

    def ask(self, method: str, given: str = "{}", meta: str = "") -> bytes:
        """Send a request with these arguments; the body of its answer."""
        self.number += 1
        member, name, rest = ASKED[method]
        own = OWN_META if self.server.era == "modern" else ""
        meta = ",".join(part for part in (own, meta) if part)
        parts = [rest % given, f'"_meta":{{{meta}}}'] + ([f'"{member}":"{name}"'] if member else [])
        body = f'{{"jsonrpc":"2.0","id":{self.number},"method":"{method}","params":{{'
        sent = (body + ",".join(parts) + "}}").encode()
        head = dict(self.headers)
        if self.server.era == "modern":
            head |= mirrored(method, name)
        answer = self.wire.send(raw_post(self.path, sent, head)).answer()
        assert answer.status == 200, (sent, answer.body)
        return answer.body


@pytest.fixture(scope="module", params=["modern", "legacy"])
def line(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Line]:
    place = stage.place(f"lossless-{request.param}")
    server = stage.servers.open(Library(era=request.param))
    for method in METHODS:
        if method != "tools/call":
            server.methods[method] = server.verbatim
    place.serve(request.param, server.url)
    token = place.admit("ada", **{request.param: "all"})
    client = place.client(token, request.param)
    until(lambda: client.request("prompts/list", {}).json["result"]["prompts"])
    line = Line(stage, place, token, server)
    yield line
    line.wire.socket.close()


@st.composite
def answered(draw):
    """A method and a result of it; a modern one says, nearly always, that it is complete."""
    method = draw(st.sampled_from(METHODS))
    text = draw(results[method])
    named = draw(st.booleans())
    return method, text, named, draw(st.integers(0, 9)) > 0, draw(st.booleans())


def prepared(line: Line, method: str, text: str, named: bool, complete: bool) -> str:
    """The result as this era's server says it."""
    found = members(text)
    if named:
        meta = members(found.get("_meta", "{}")) | {SERVER_INFO: '{"name":"upstream"}'}
        found["_meta"] = joined(meta)
    if line.server.era == "modern" and complete:
        found["resultType"] = '"complete"'
    return joined(found) if named or line.server.era == "modern" else text


def joined(found: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(k)}:{v}" for k, v in found.items()) + "}"


def owned(line: Line, method: str, found: dict[str, str]) -> tuple[dict[str, str], Any]:
    """A result's members as they must be, and those of its `_meta`, each without what is owned."""
    found = dict(found)
    meta = found.pop("_meta", "{}")
    held = {k: v for k, v in members(meta).items() if k != SERVER_INFO}
    if line.server.era == "modern":
        found.setdefault("resultType", '"complete"')
        if method == "resources/read":
            found["cacheScope"] = '"private"'
            if not found.get("ttlMs", "").isdigit():
                found["ttlMs"] = "0"
    return found, held


def check_answer(line: Line, drawn: Any) -> None:
    method, text, named, complete, streamed = drawn
    sent = prepared(line, method, text, named, complete)
    line.server.raw, line.server.streamed = sent.encode(), streamed
    body = line.ask(method)
    got = members(body.decode())
    assert (got["jsonrpc"], got["id"]) == ('"2.0"', str(line.number))
    before, after = members(sent), members(got["result"])
    if SERVER_INFO not in sent and owned(line, method, before)[0].items() <= before.items():
        assert got["result"] == sent
        return
    assert owned(line, method, after) == owned(line, method, before)
    named_by = members(after.get("_meta", "{}")).get(SERVER_INFO)
    if named and line.server.era == "modern":
        assert json.loads(named_by)["name"] == "gatelodge"
    else:
        assert named_by is None


@st.composite
def requested(draw):
    method = draw(st.sampled_from(METHODS))
    meta = draw(st.dictionaries(st.sampled_from(['"com.example/a"', '"b"']), values, max_size=2))
    return method, draw(objects(values)), ",".join(f"{k}:{v}" for k, v in meta.items())


def check_request(line: Line, drawn: Any) -> None:
    method, text, meta = drawn
    line.server.raw, line.server.streamed = b'{"resultType":"complete"}', False
    line.server.requests.clear()
    line.ask(method, text, meta)
    # By its method: sessions of the gate's own come and go beside it, and are heard there too.
    (asked,) = line.server.of(method)
    sent = members(members(asked.body.decode())["params"])
    rest = {"arguments", "argument", "vendor"} & sent.keys()
    assert [sent[name] for name in rest] == [text]
    passed = members(sent.get("_meta", "{}"))
    for name, value in members("{" + meta + "}").items():
        assert passed[name] == value


quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@pytest.mark.guarantee("protocol:lossless")
def test_a_result_comes_out_as_its_server_wrote_it(line: Line):
    quick(given(answered())(lambda drawn: check_answer(line, drawn)))()


@pytest.mark.guarantee("protocol:lossless")
def test_a_request_reaches_its_server_as_its_client_wrote_it(line: Line):
    quick(given(requested())(lambda drawn: check_request(line, drawn)))()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [300, pytest.param(2000, marks=pytest.mark.weekly)])
@pytest.mark.guarantee("protocol:lossless")
def test_no_result_and_no_request_of_thousands_loses_a_byte(line: Line, examples: int):
    long = settings(quick, max_examples=examples)
    long(given(answered())(lambda drawn: check_answer(line, drawn)))()
    long(given(requested())(lambda drawn: check_request(line, drawn)))()
