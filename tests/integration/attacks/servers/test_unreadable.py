"""What no reader of this gate takes as JSON is told and recorded at once, on every way it comes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.stage import Place, Stage, mirrored, modern
from tests.upstreams.library import Library
from tests.wire import until

STDIO = Path(__file__).parents[3] / "upstreams" / "stdio_server.py"

UNREADABLE = {
    "half a surrogate pair": b'{"content":[{"type":"text","text":"cut \\ud83d"}]}',
    "the other half": b'{"content":[],"structuredContent":"\\ude00"}',
    "half a pair in a name": b'{"content":[],"_meta":{"\\ud83d":1}}',
    "bytes that are no UTF-8": b'{"content":[{"type":"text","text":"\xff\xfe"}]}',
    "not a number": b'{"content":[],"structuredContent":NaN}',
    "a control character": b'{"content":[],"structuredContent":"\x01"}',
    "nesting without end": b'{"content":[],"structuredContent":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "an open brace": b'{"content":[]',
}
WAYS = ("body", "stream", "open-stream", "pipe")


@pytest.fixture(scope="module", params=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(stage: Stage, place: Place, era: str) -> Library:
    server = stage.servers.open(Library(era=era))
    place.serve(era, server.url)
    transport = {"type": "stdio", "command": [sys.executable, "-S", str(STDIO), era]}
    place.api("POST", "/servers", {"alias": f"pipe-{era}", "transport": transport})
    place.approve(f"pipe-{era}")
    return server


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    return stage.place("unreadable")


@pytest.fixture(scope="module")
def ada(place: Place, server: Library, era: str) -> str:
    for alias in (era, f"pipe-{era}"):
        place.grant(everyone=True, server=alias, level="all")
    token = place.token_for(member="owner@unreadable.example.test")
    client = place.client(token)
    until(lambda: {f"{era}__raw", f"pipe-{era}__spell"} <= set(client.tools()))
    return token


def answered(place: Place, server: Library, ada: str, way: str, raw: bytes) -> Any:
    """Have the server answer so, on that way; the answer."""
    server.raw, server.streamed = raw, way == "stream"
    client = place.client(ada)
    if way == "pipe":
        return client.call(f"pipe-{server.era}__spell", {"hex": raw.hex()})
    return client.call(f"{server.era}__{'raw' if way != 'open-stream' else 'raw_stream'}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("says", UNREADABLE)
def test_a_result_that_cannot_be_read_is_an_error_of_its_server(
    place: Place, server: Library, ada: str, way: str, says: str
):
    before = len(place.leaves())
    answer = answered(place, server, ada, way, UNREADABLE[says])
    assert answer.status == 200
    result = answer.json["result"]
    assert result["_meta"]["dev.gatelodge/decision"]["error"] == "error.upstream.protocol"
    assert "cannot be read" in result["content"][0]["text"]
    intent, outcome = place.since(before)
    told = (intent["t"], outcome["call"], outcome["outcome"])
    assert told == ("call.intent", intent["call"], "upstream_protocol")


@pytest.mark.parametrize("says", [each for each in UNREADABLE if "pair" in each or "half" in each])
def test_a_request_with_half_a_character_is_refused_and_recorded(
    place: Place, ada: str, era: str, says: str
):
    before = len(place.leaves())
    body = modern("tools/call", name=f"{era}__echo", arguments={"x": 1})
    sent = body.replace(b'{"x":1}', UNREADABLE[says])
    answer = place.client(ada).post(sent, mirrored("tools/call", f"{era}__echo"))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32700)
    (leaf,) = place.since(before)
    assert (leaf["t"], leaf["reason"]) == ("request.refused", "malformed_json")


ODD = {
    "a _meta that is a text": (
        '{"content":[],"_meta":"io.modelcontextprotocol/serverInfo"}',
        '{"content":[]}',
    ),
    "a _meta that is a list": (
        '{"content":[],"_meta":["io.modelcontextprotocol/serverInfo"]}',
        '{"content":[]}',
    ),
    "a _meta that is null": ('{"content":[],"_meta":null}', '{"content":[]}'),
    "nothing at all": ("{}", '{"content":[]}'),
    "a type twice": (
        '{"content":[{"type":"resource_link","type":"text","uri":"x:y"}]}',
        '{"content":[{"type":"text","uri":"x:y"}]}',
    ),
    "a failure that is none": ('{"content":[],"isError":"true"}', '{"content":[]}'),
    "content that is a number": ('{"content":7}', ""),
    "content that is no list": (
        '{"content":{"type":"resource","resource":[{"uri":7}]},"_meta":{}}',
        "",
    ),
}
"""What a server says, and what its client is given; nothing where no client could read it."""


@pytest.mark.parametrize("alias", ["", "bare"])
@pytest.mark.parametrize("says", ODD)
def test_a_result_of_odd_shape_passes_as_clients_can_read_it(
    place: Place, server: Library, ada: str, says: str, alias: str
):
    text, shown = ODD[says]
    if server.era == "modern":
        text = ('{"resultType":"complete",' + text[1:]).replace(",}", "}")
    server.raw, server.streamed = text.encode(), False
    client = place.client(ada, server.era if alias else "")
    before = len(place.leaves())
    answer = client.call("raw" if alias else f"{server.era}__raw")
    assert answer.status == 200
    got = {k: v for k, v in answer.json["result"].items() if k != "resultType"}
    if shown:
        assert got == json.loads(shown)
    else:
        assert got["_meta"]["dev.gatelodge/decision"]["error"] == "error.upstream.protocol"
    assert [leaf["t"] for leaf in place.since(before)] == ["call.intent", "call.outcome"]


CODES = {
    "-32602": "rpc_error",
    "12345678901234567890123": "rpc_error",
    "-99999999999999999999": "rpc_error",
    "1.5": "upstream_protocol",
    '"x"': "upstream_protocol",
    "null": "upstream_protocol",
    "1E400": "upstream_protocol",
}


@pytest.mark.parametrize("code", CODES)
def test_an_error_passes_with_any_whole_code_and_is_recorded(
    place: Place, server: Library, ada: str, code: str
):
    def refuse(talk: Any) -> None:
        number = talk.seen.message["id"]
        error = b'{"code":%b,"message":"no"}' % code.encode()
        talk.answer("200 OK", b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (number, error))

    server.methods["prompts/get"] = refuse
    client = place.client(ada)
    until(lambda: client.request("prompts/list", {}).json["result"]["prompts"])
    before = len(place.leaves())
    answer = client.request("prompts/get", {"name": f"{server.era}__plan"})
    del server.methods["prompts/get"]
    if CODES[code] == "rpc_error":
        assert b'"error":{"code":%b,"message":"no"}' % code.encode() in answer.body
    else:
        assert answer.json["error"]["data"]["error"] == "error.upstream.protocol"
    intent, outcome = place.since(before)
    assert (intent["t"], outcome["outcome"]) == ("call.intent", CODES[code])
