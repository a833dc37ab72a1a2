"""Offers outside the schema of MCP, each beside good ones: a table, and a server that serves it.

`python bad_offers.py stdio [NAME...]` speaks over standard input and output, `python
bad_offers.py http [NAME...]` over streamable HTTP at a port of its own, whose URL it prints. With
names it offers only those bad shapes. It speaks the revisions of both eras, and stands by itself:
standard library only, so that the client of any other maker can be pointed at a gate before it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
GOOD_TOOLS = [
    {"name": "first", "description": "The first good tool.", "inputSchema": SCHEMA},
    {"name": "last", "title": "Last", "inputSchema": {"type": "object"}},
]
ABSENT = object()
BOTH, LEGACY, MODERN = ("legacy", "modern"), ("legacy",), ("modern",)


def _tool(**members: Any) -> dict[str, Any]:
    whole = {"description": "A tool of an odd shape.", "inputSchema": SCHEMA, **members}
    return {name: value for name, value in whole.items() if value is not ABSENT}


BAD_TOOLS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "input_null": (_tool(inputSchema=None), BOTH),
    "input_missing": (_tool(inputSchema=ABSENT), BOTH),
    "input_empty": (_tool(inputSchema={}), BOTH),
    "input_text": (_tool(inputSchema="object"), BOTH),
    "input_list": (_tool(inputSchema=[SCHEMA]), BOTH),
    "input_anyof": (_tool(inputSchema={"anyOf": [SCHEMA]}), BOTH),
    "input_ref": (_tool(inputSchema={"$ref": "#/$defs/a", "$defs": {"a": SCHEMA}}), BOTH),
    "input_type_list": (_tool(inputSchema={"type": ["object", "null"]}), BOTH),
    "input_type_array": (_tool(inputSchema={"type": "array"}), BOTH),
    "input_dialect_null": (_tool(inputSchema={"type": "object", "$schema": None}), BOTH),
    "properties_null": (_tool(inputSchema={"type": "object", "properties": None}), LEGACY),
    "properties_list": (_tool(inputSchema={"type": "object", "properties": []}), BOTH),
    "property_true": (_tool(inputSchema={"type": "object", "properties": {"a": True}}), LEGACY),
    "required_null": (_tool(inputSchema={"type": "object", "required": None}), LEGACY),
    "required_text": (_tool(inputSchema={"type": "object", "required": "a"}), BOTH),
    "required_numbers": (_tool(inputSchema={"type": "object", "required": [1]}), BOTH),
    "description_null": (_tool(description=None), BOTH),
    "description_list": (_tool(description=["a"]), BOTH),
    "title_null": (_tool(title=None), BOTH),
    "annotations_null": (_tool(annotations=None), BOTH),
    "annotations_list": (_tool(annotations=[]), BOTH),
    "hint_text": (_tool(annotations={"readOnlyHint": "yes"}), BOTH),
    "hint_null": (_tool(annotations={"destructiveHint": None}), BOTH),
    "hint_title_null": (_tool(annotations={"title": None}), BOTH),
    "meta_null": (_tool(_meta=None), BOTH),
    "meta_list": (_tool(_meta=[]), BOTH),
    "icons_null": (_tool(icons=None), BOTH),
    "icons_object": (_tool(icons={"src": "https://x.example/i.png"}), BOTH),
    "icon_without_source": (_tool(icons=[{"mimeType": "image/png"}]), BOTH),
    "icon_sizes_text": (_tool(icons=[{"src": "https://x.example/i", "sizes": "48x48"}]), BOTH),
    "icon_theme": (_tool(icons=[{"src": "https://x.example/i", "theme": "blue"}]), BOTH),
    "output_null": (_tool(outputSchema=None), MODERN),
    "output_text": (_tool(outputSchema="object"), MODERN),
    "execution_null": (_tool(execution=None), BOTH),
    "execution_other": (_tool(execution={"taskSupport": "maybe"}), BOTH),
}
"""Each bad tool by its name, and the eras whose clients refuse a list that holds it."""

ODD_TOOLS: dict[str, dict[str, Any]] = {
    "output_array": _tool(outputSchema={"type": "array", "items": {}}),
    "output_anyof": _tool(outputSchema={"anyOf": [{"type": "object"}, {"type": "null"}]}),
    "output_properties_null": _tool(outputSchema={"type": "object", "properties": None}),
    "unknown_members": _tool(**{"x-vendor": None, "version": 7, "tags": [None]}),
    "unknown_hint": _tool(annotations={"readOnlyHint": True, "x-cost": None}),
    "input_more": _tool(inputSchema={**SCHEMA, "additionalProperties": {}, "allOf": [{}]}),
}
"""Tools that look odd and that every client takes, once legacy ones are spared output schemas."""

NAMELESS: dict[str, Any] = {
    "tool_null": None,
    "tool_text": "first",
    "tool_list": [],
    "name_missing": _tool(),
    "name_null": _tool(name=None),
    "name_empty": _tool(name=""),
    "name_number": _tool(name=7),
    "name_long": _tool(name="n" * 129),
    "name_line": _tool(name="two\nlines"),
    "name_again": _tool(name="again"),
    "name_once_more": _tool(name="again", description="Another one of that name."),
}
"""Items of a list of tools that cannot be called by any name; `again` stands there twice."""

BAD_PROMPTS: dict[str, Any] = {
    "prompt_null": None,
    "prompt_without_name": {"description": "x"},
    "description_null": {"name": "description_null", "description": None},
    "title_number": {"name": "title_number", "title": 1},
    "arguments_null": {"name": "arguments_null", "arguments": None},
    "arguments_object": {"name": "arguments_object", "arguments": {"a": {}}},
    "argument_without_name": {"name": "argument_without_name", "arguments": [{"required": True}]},
    "argument_required_null": {
        "name": "argument_required_null",
        "arguments": [{"name": "a", "required": None}],
    },
    "icons_null": {"name": "icons_null", "icons": None},
    "meta_null": {"name": "meta_null", "_meta": None},
}
GOOD_PROMPTS = [{"name": "greet", "arguments": [{"name": "who", "required": True}]}]


def _resource(**members: Any) -> dict[str, Any]:
    whole = {"uri": "memo://odd", "name": "odd", **members}
    return {name: value for name, value in whole.items() if value is not ABSENT}


BAD_RESOURCES: dict[str, Any] = {
    "resource_null": None,
    "uri_null": _resource(uri=None),
    "uri_missing": _resource(uri=ABSENT),
    "uri_relative": _resource(uri="notes.txt"),
    "uri_without_host": _resource(uri="https://"),
    "uri_bad_host": _resource(uri="memo://[odd"),
    "name_missing": _resource(name=ABSENT),
    "name_null": _resource(name=None),
    "mime_null": _resource(mimeType=None),
    "size_text": _resource(size="12"),
    "size_null": _resource(size=None),
    "size_half": _resource(size=1.5),
    "annotations_null": _resource(annotations=None),
    "audience_other": _resource(annotations={"audience": ["everyone"]}),
    "priority_two": _resource(annotations={"priority": 2}),
    "modified_day": _resource(annotations={"lastModified": "2025-01-12"}),
    "meta_null": _resource(_meta=None),
}
GOOD_RESOURCES = [{"uri": "memo://good", "name": "good", "size": 3, "mimeType": "text/plain"}]
BAD_TEMPLATES: dict[str, Any] = {
    "template_null": None,
    "pattern_null": {"uriTemplate": None, "name": "odd"},
    "name_missing": {"uriTemplate": "memo://a/{b}"},
    "mime_null": {"uriTemplate": "memo://b/{c}", "name": "odd", "mimeType": None},
    "annotations_list": {"uriTemplate": "memo://c/{d}", "name": "odd", "annotations": []},
}
GOOD_TEMPLATES = [{"uriTemplate": "memo://good/{id}", "name": "good"}]


def _chosen(shapes: dict[str, Any], wanted: list[str]) -> list[Any]:
    return [shape for name, shape in shapes.items() if not wanted or name in wanted]


def tools(*wanted: str) -> list[Any]:
    """A whole list of tools: a good one, the bad and odd ones of these names (or all), another."""
    named = {name: {"name": name, **shape} for name, (shape, _) in BAD_TOOLS.items()}
    odd = {name: {"name": name, **shape} for name, shape in ODD_TOOLS.items()}
    shapes = {**named, **odd, **NAMELESS}
    return [GOOD_TOOLS[0], *_chosen(shapes, list(wanted)), GOOD_TOOLS[1]]


def lists(*wanted: str) -> dict[str, tuple[str, list[Any]]]:
    """The member and the whole list by method."""
    chosen = list(wanted)
    return {
        "tools/list": ("tools", tools(*wanted)),
        "prompts/list": ("prompts", [*_chosen(BAD_PROMPTS, chosen), *GOOD_PROMPTS]),
        "resources/list": ("resources", [*_chosen(BAD_RESOURCES, chosen), *GOOD_RESOURCES]),
        "resources/templates/list": (
            "resourceTemplates",
            [*_chosen(BAD_TEMPLATES, chosen), *GOOD_TEMPLATES],
        ),
    }


def answer(message: dict[str, Any], *wanted: str) -> dict[str, Any] | None:
    """The response to one message, None to a notification."""
    method, number = message.get("method"), message.get("id")
    if number is None or method is None:
        return None
    params = message.get("params") or {}
    modern = "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {})
    capabilities = {"tools": {}, "prompts": {}, "resources": {}}
    info = {"name": "bad-offers", "version": "1"}
    result: dict[str, Any]
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "serverInfo": info, "capabilities": capabilities}
    elif method == "server/discover":
        result = {
            "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities,
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
        }
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": f"called {params.get('name')}"}]}
    elif method in (offered := lists(*wanted)):
        member, items = offered[method]
        result = {member: items} | ({"ttlMs": 0, "cacheScope": "private"} if modern else {})
    elif method == "ping":
        result = {}
    else:
        fault = {"code": -32601, "message": "no such method"}
        return {"jsonrpc": "2.0", "id": number, "error": fault}
    return {
        "jsonrpc": "2.0",
        "id": number,
        "result": {"resultType": "complete", **result} if modern else result,
    }


def _over_stdio(*wanted: str) -> None:
    for line in sys.stdin:
        told = answer(json.loads(line), *wanted)
        if told is not None:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


def _over_http(*wanted: str) -> None:
    class Desk(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            told = answer(json.loads(sent), *wanted)
            body = b"" if told is None else json.dumps(told).encode()
            self.send_response(202 if told is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_response(405)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    desk = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    sys.stdout.write(f"http://127.0.0.1:{desk.server_address[1]}/mcp\n")
    sys.stdout.flush()
    desk.serve_forever()


if __name__ == "__main__":
    {"stdio": _over_stdio, "http": _over_http}[sys.argv[1]](*sys.argv[2:])
