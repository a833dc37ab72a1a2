"""A header that disagrees with its body, in any method, is refused before anybody is asked."""

import base64
import json
from typing import Any, NamedTuple

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Scene
from tests.stage import mirrored, modern, raw_post
from tests.upstreams.library import tool

NAMES = {
    "tools/call": ("name", "lib__echo"),
    "prompts/get": ("name", "lib__plan"),
    "resources/read": ("uri", "lib+doc://a"),
    "tasks/get": ("taskId", "t"),
    "tasks/update": ("taskId", "t"),
    "tasks/cancel": ("taskId", "t"),
}


def coded(text: str, times: int = 1) -> str:
    for _ in range(times):
        text = f"=?base64?{base64.b64encode(text.encode()).decode()}?="
    return text


class Lie(NamedTuple):
    """What the header says of a name."""

    says: str
    header: Any


LIES = [
    Lie("nothing", lambda name: None),
    Lie("another", lambda name: name + "x"),
    Lie("nothing but blanks", lambda name: " "),
    Lie("capitals", str.upper),
    Lie("twice in Base64", lambda name: coded(name, 2)),
    Lie("Base64 without its end", lambda name: coded(name)[:-2]),
    Lie("Base64 of another", lambda name: coded(name + "x")),
    Lie("Base64 in capitals", lambda name: coded(name).replace("base64", "BASE64")),
    Lie("two names", lambda name: f"{name}, {name}"),
]


@pytest.fixture(scope="module")
def scene(stage) -> Scene:
    properties = {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "inner": {
            "type": "object",
            "properties": {"n": {"type": "integer", "x-mcp-header": "N"}},
        },
    }
    scene = Scene(stage, "headers")
    schema = {"type": "object", "properties": properties}
    scene.server.definitions.append(tool("where") | {"inputSchema": schema})
    scene.place.approve("lib")
    return scene


@pytest.fixture(scope="module")
def ada(scene: Scene) -> Modern:
    (token,) = scene.admit("ada")
    return Modern(scene.place, token, can=EVERYTHING)


def post(ada: Modern, body: bytes, head: dict[str, str], *more: bytes) -> Any:
    head = {"Authorization": f"Bearer {ada.token}", "Accept": "application/json", **head}
    return raw_post(ada.path, body, head, *more)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.says)
@pytest.mark.parametrize("method", NAMES)
def test_a_name_header_that_lies_is_refused(scene: Scene, ada: Modern, method: str, lie: Lie):
    member, name = NAMES[method]
    before, seen = scene.count, len(scene.server.requests)
    given = lie.header(name)
    head = mirrored(method) | ({} if given is None else {"Mcp-Name": given})
    answer = ada.post(modern(method, **{member: name}), head)
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    assert scene.records(before) == [("request.refused", "header_mismatch")]
    assert len(scene.server.requests) == seen


@pytest.mark.parametrize("method", NAMES)
def test_a_name_header_in_base64_says_the_same(scene: Scene, ada: Modern, method: str):
    member, name = NAMES[method]
    body, head = ada.body(method, {member: name, "arguments": {}})
    answer = ada.post(body, {**head, "Mcp-Name": coded(name)})
    assert answer.status == (400 if method.startswith("tasks") else 200)
    assert answer.json.get("error", {}).get("code") in (None, -32602)


def test_a_name_that_looks_like_base64_is_itself_only_when_it_is_coded(scene: Scene, ada: Modern):
    name = coded("lib__echo")
    plain = ada.request("tools/call", {"name": name, "arguments": {}})
    assert (plain.status, plain.json["error"]["code"]) == (400, -32020)
    twice = ada.request("tools/call", {"name": name, "arguments": {}}, **{"Mcp-Name": coded(name)})
    assert twice.json["error"]["message"].startswith("Unknown tool")


@pytest.mark.parametrize("lie", ["tools/list", "prompts/get ", "", "Prompts/Get", "prompts/get"])
def test_a_method_header_that_lies_is_refused(scene: Scene, ada: Modern, lie: str):
    before = scene.count
    body = modern("resources/read", uri="lib+doc://a")
    answer = ada.post(body, {**mirrored("resources/read", "lib+doc://a"), "Mcp-Method": lie})
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    assert scene.records(before) == [("request.refused", "header_mismatch")]


TWICE = [
    b"MCP-Protocol-Version: 2026-07-28",
    b"mcp-method: prompts/get",
    b"MCP-NAME: lib__plan",
    b"Mcp-Session-Id: a\r\nMcp-Session-Id: a",
    b"Mcp-Param-X: 1\r\nmcp-param-x: 2",
    b"Accept: application/json",
    b"Content-Type: application/json",
    b"Authorization: Bearer x",
]


@pytest.mark.parametrize("line", TWICE, ids=lambda line: line.partition(b":")[0].decode().lower())
def test_a_header_that_stands_twice_is_refused(scene: Scene, ada: Modern, line: bytes):
    before = scene.count
    body = modern("prompts/get", name="lib__plan")
    with scene.wire() as wire:
        wire.send(post(ada, body, mirrored("prompts/get", "lib__plan"), line))
        answer = wire.answer()
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    assert scene.records(before) == [("request.refused", "duplicate_header")]


KEYS = [
    ("tools/call", '"name":"lib__echo","name":"lib__raw"'),
    ("tools/call", '"name":"lib__echo","n\\u0061me":"lib__raw"'),
    ("tools/call", '"name":"lib__echo","arguments":{},"arguments":{"x":1}'),
    ("prompts/get", '"name":"lib__plan","name":"lib__plan"'),
    ("resources/read", '"uri":"lib+doc://a","uri":"lib+doc://b"'),
    ("tasks/get", '"taskId":"t","taskId":"u"'),
    ("tools/call", '"name":"lib__echo","requestState":"a","requestState":"b"'),
    ("subscriptions/listen", '"notifications":{},"notifications":{"toolsListChanged":true}'),
]


@pytest.mark.parametrize(("method", "params"), KEYS, ids=[f"{m} {p[:40]}" for m, p in KEYS])
def test_a_member_that_stands_twice_is_refused(scene: Scene, ada: Modern, method: str, params: str):
    before, seen = scene.count, len(scene.server.requests)
    member, name = NAMES.get(method, ("", ""))
    body = modern(method).replace(b'"params":{', b'"params":{' + params.encode() + b",")
    answer = ada.post(body, mirrored(method, name if member else ""))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
    assert scene.records(before) == [("request.refused", "duplicate_key")]
    assert len(scene.server.requests) == seen


MIRRORED = [
    ('{"region":"eu"}', {"Region": "eu"}, 200),
    ('{"region":"eu","x":1E400}', {"Region": "eu"}, 200),
    ('{"region":"eu","x":1E400}', {}, 400),
    ('{"x":-1e999,"inner":{"y":1E400,"n":7}}', {"N": "7"}, 200),
    ('{"x":-1e999,"inner":{"y":1E400,"n":7}}', {"N": "8"}, 400),
    ('{"inner":{"n":9007199254740993}}', {}, 200),
    ('{"inner":{"n":1E400}}', {}, 200),
    ('{"inner":7}', {"N": "7"}, 400),
    ('{"region":["eu"]}', {"Region": "eu"}, 400),
    ('{"region":"%s"}' % ("x" * 5000), {"Region": "x" * 5000}, 200),
    ('{"region":"=?base64?ZXU=?="}', {"Region": "=?base64?ZXU=?="}, 400),
    ('{"region":"=?base64?ZXU=?="}', {"Region": coded("=?base64?ZXU=?=")}, 200),
    ('{"region":"=?base64?ZXU=?="}', {"Region": coded("=?base64?ZXU=?=", 2)}, 400),
    ('{"region":"\\u00e9"}', {"Region": coded("\u00e9")}, 200),
]


@pytest.mark.parametrize(
    "row", MIRRORED, ids=[f"{r[0][:30]} {list(r[1])} {r[2]}" for r in MIRRORED]
)
def test_a_mirrored_argument_is_said_again_by_its_header_whatever_stands_beside_it(
    scene: Scene, ada: Modern, row: tuple[str, dict[str, str], int]
):
    arguments, headers, status = row
    body, head = ada.body("tools/call", {"name": "lib__where", "arguments": "HERE"})
    sent = body.replace(b'"HERE"', arguments.encode())
    before = scene.count
    answer = ada.post(sent, {**head, **{f"Mcp-Param-{k}": v for k, v in headers.items()}})
    assert answer.status == status
    if status == 400:
        assert answer.json["error"]["code"] == -32020
        assert scene.records(before) == [("call.denied", "header_mismatch")]
        return
    seen = scene.server.requests[-1]
    for name, value in headers.items():
        assert seen.header(f"Mcp-Param-{name}") == value
    assert arguments.encode() in seen.body


def test_a_mirrored_argument_of_64_kilobytes_is_more_than_a_head_may_hold(
    scene: Scene, ada: Modern
):
    before = scene.count
    with scene.wire() as wire:
        body, head = ada.body("tools/call", {"name": "lib__where", "arguments": {}})
        wire.send(post(ada, body, {**head, "Mcp-Param-Region": "x" * 65536}))
        answer = wire.answer()
    assert answer.status == 431
    assert scene.records(before) == [("request.refused", "too_large")]
    assert json.loads(answer.body)["error"]["code"] == -32600
