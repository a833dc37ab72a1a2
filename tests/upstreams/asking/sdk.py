"""A server on the Python SDK that asks its client: sdk.py ERA TRANSPORT.

ERA is `legacy` (2025-11-25 and older: it sends a request in the middle of the call and waits) or
`modern` (2026-07-28: it answers `input_required`); over HTTP a client of the other era is refused.
TRANSPORT is `http`, `sse` (legacy only) or `stdio`. Where it listens it prints its URL first.
"""

import asyncio
import functools
import json
import os
import socket
import sys
import time

import uvicorn
from mcp import UrlElicitationRequiredError
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

ERA, TRANSPORT = sys.argv[1:]
MODERN = "2026-07-28"
TYPES = {"elicitation/create": ElicitResult, "sampling/createMessage": CreateMessageResult}
VISITED = set()
GIVEN_UP = []
"""When and by what message each question was given up that nobody waits for any more."""
server = MCPServer("asking", instructions="Ask away.", log_level="CRITICAL")


class Missing(Exception):
    """A modern call that cannot go on without answers."""

    def __init__(self, questions, known):
        super().__init__()
        self.required = InputRequiredResult(
            input_requests=questions, request_state=json.dumps(known)
        )


async def ask(ctx, **questions):
    """The answer to each question, as JSON; those of earlier rounds are known already."""
    if ERA == "legacy":
        pushed = await asyncio.gather(*(_push(ctx, each) for each in questions.values()))
        return dict(zip(questions, pushed, strict=True))
    known = json.loads(ctx.request_state or "{}")
    known |= {key: _plain(answer) for key, answer in (ctx.input_responses or {}).items()}
    missing = {key: question for key, question in questions.items() if key not in known}
    if missing:
        raise Missing(missing, known)
    return known


async def _push(ctx, question):
    if question.method == "roots/list":  # the SDK sends this one on the session's own stream
        return _plain(await ctx.session.list_roots())
    where = ServerMessageMetadata(related_request_id=ctx.request_id)
    kind = TYPES[question.method]
    try:
        return _plain(await ctx.session.send_request(question, kind, metadata=where))
    except asyncio.CancelledError:
        GIVEN_UP.append((time.time(), question.params.message))
        raise


def _plain(answer):
    return answer.model_dump(by_alias=True, mode="json", exclude_none=True)


def form(message, name, kind="string"):
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    params = ElicitRequestFormParams(message=message, requested_schema=schema)
    return ElicitRequest(params=params)


def sample(words):
    said = SamplingMessage(role="user", content=TextContent(type="text", text=words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[said], max_tokens=50))


def visit(url):
    params = ElicitRequestURLParams(message="Sign in first.", url=url, elicitation_id="e-1")
    return ElicitRequest(params=params)


def filled(answer, name):
    """What a form was filled with, or what became of it."""
    return str(answer["content"][name]) if answer["action"] == "accept" else answer["action"]


def asking(function):
    """In the modern era what is missing is the result."""

    @functools.wraps(function)
    async def wrapped(*given, **named):
        try:
            return await function(*given, **named)
        except Missing as missing:
            return missing.required

    return wrapped


def tool(function):
    server.tool(structured_output=False)(asking(function))
    return function


@tool
async def order(dish: str, ctx: Context) -> str:
    """Asks how many."""
    answers = await ask(ctx, count=form(f"How many of {dish}?", "count", "integer"))
    return f"{filled(answers['count'], 'count')} x {dish}"


@tool
async def compose(topic: str, ctx: Context) -> str:
    """Asks the client's model."""
    answers = await ask(ctx, poem=sample(f"A poem on {topic}"))
    return answers["poem"]["content"]["text"]


@tool
async def look_around(ctx: Context) -> str:
    """Asks for the client's roots."""
    answers = await ask(ctx, roots=ListRootsRequest())
    return " ".join(root["uri"] for root in answers["roots"]["roots"])


@tool
async def travel(ctx: Context) -> str:
    """Asks twice, one after the other."""
    begin = await ask(ctx, begin=form("Where from?", "place"))
    end = await ask(ctx, end=form(f"From {filled(begin['begin'], 'place')} to where?", "place"))
    return f"from {filled(begin['begin'], 'place')} to {filled(end['end'], 'place')}"


@tool
async def survey(ctx: Context) -> str:
    """Asks two things at once."""
    answers = await ask(ctx, name=form("Who are you?", "name"), poem=sample("A greeting"))
    return f"{answers['poem']['content']['text']} {filled(answers['name'], 'name')}"


@tool
async def sign_in(url: str, ctx: Context) -> str:
    """Asks the person to visit a page."""
    answers = await ask(ctx, page=visit(url))
    if ERA == "legacy":
        await ctx.session.send_elicit_complete("e-1", related_request_id=ctx.request_id)
    return f"signed in: {answers['page']['action']}"


@tool
async def insist(url: str, ctx: Context) -> str:
    """Refuses the first time that it hears of a page; a legacy server's way to ask for a visit."""
    if url in VISITED:
        return f"visited: {url}"
    VISITED.add(url)
    raise UrlElicitationRequiredError([visit(url).params])


@tool
async def narrate(ctx: Context) -> str:
    """Reports progress and logs before it asks, and after."""
    await ctx.report_progress(1, 4)
    await ctx.log("info", "before")
    answers = await ask(ctx, go=form("Go on?", "word"))
    await ctx.report_progress(2, 4)
    await ctx.log("info", "after")
    await ctx.report_progress(3, 4)
    return f"the end: {filled(answers['go'], 'word')}"


@tool
async def patience(rounds: int, ctx: Context) -> str:
    """Asks nothing; a modern server wants to be called again so many times."""
    done = int(ctx.request_state or 0)
    if ERA == "modern" and done < rounds:
        return InputRequiredResult(request_state=str(done + 1))
    return f"after {rounds}"


@tool
async def declared(ctx: Context) -> str:
    """What the client declared that it can do."""
    return json.dumps(_plain(ctx.client_capabilities) if ctx.client_capabilities else {})


@tool
async def place(ctx: Context) -> str:
    """The process and the session that this call came to."""
    request = ctx.request_context.request
    query = {} if request is None else dict(request.query_params)
    return json.dumps([os.getpid(), (ctx.headers or {}).get("mcp-session-id"), query])


@tool
async def given_up() -> str:
    """The questions that were given up."""
    return json.dumps(GIVEN_UP)


@server.prompt()
@asking
async def menu(ctx: Context) -> str:
    """A prompt that asks for the guest."""
    answers = await ask(ctx, guest=form("Who is the guest?", "name"))
    return f"A menu for {filled(answers['guest'], 'name')}"


@server.resource("dish://{name}/recipe")
@asking
async def recipe(name: str, ctx: Context) -> str:
    """A resource that asks how many eat."""
    answers = await ask(ctx, eaters=form("How many eat?", "count", "integer"))
    return f"{name} for {filled(answers['eaters'], 'count')}"


class OneEra:
    """The server, deaf to clients of the other era."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            is_modern = headers.get("mcp-protocol-version") == MODERN
            if is_modern != (ERA == "modern"):
                await _refuse(send)
                return
        await self._app(scope, receive, send)


async def _refuse(send):
    error = {"code": -32022, "message": "No.", "data": {"supported": [MODERN], "requested": ""}}
    told = {"jsonrpc": "2.0", "id": None, "error": error}
    body = json.dumps(told).encode() if ERA == "modern" else b"what is this?"
    kind = [(b"content-type", b"application/json" if ERA == "modern" else b"text/plain")]
    await send({"type": "http.response.start", "status": 400, "headers": kind})
    await send({"type": "http.response.body", "body": body})


def main():
    if TRANSPORT == "stdio":
        server.run(transport="stdio")
        return
    listening = socket.create_server(("127.0.0.1", 0))
    path = "sse" if TRANSPORT == "sse" else "mcp"
    app = server.sse_app() if TRANSPORT == "sse" else server.streamable_http_app()
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/{path}\n")
    sys.stdout.flush()
    config = uvicorn.Config(OneEra(app), log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


main()
