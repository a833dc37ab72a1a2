"""Clients of the official SDKs behind one face, so that one test speaks for all of them.

async with visiting("node2-modern", url, token, {ELICIT: [accept(count=3)]}) as visitor:
    await visitor.call("asking__order", dish="soup")
    visitor.asked          # what it was asked, as its SDK handed it on
"""

import contextlib
import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import anyio
import httpx2
import mcp.client.session
import mcp_types as types
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from tests.gate import WAIT, environment
from tests.integration.clients.conftest import NODE

Json = dict[str, Any]
Answers = dict[str, list[Any]]
"""For each method that a client can be asked, its answers in order, the last one again and again.

None is an error, "never" no answer at all; the Python client also takes an async function that
makes one.
"""

ELICIT, SAMPLE, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
MODERN = ("python-modern", "node2-modern")
LEGACY = ("python-2025-11-25", "node2-legacy", "node1")
OLDER = ("python-2025-06-18", "python-2025-03-26")
OLDEST = "python-2025-03-26"
"""A revision that has no elicitation."""
FORM_CLIENTS = (*MODERN, *LEGACY, OLDER[0])
"""Clients of revisions in which a person can be asked to fill a form."""


ONE_OF_EACH = ("python-modern", "python-2025-11-25")
"""One client of each era."""


def clients(*kinds: str) -> Any:
    """The test is run with each of these clients."""
    return pytest.mark.parametrize("kind", kinds)


every_client = clients(*MODERN, *LEGACY, *OLDER)
modern_client = clients(*MODERN)
legacy_client = clients(*LEGACY, *OLDER)
form_client = clients(*FORM_CLIENTS)


of_clients = [
    pytest.mark.anyio,
    # The SDK says of what is left out of the newest revision that it is: older ones have it.
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]
"""The marks of every test that drives a client, beside `slow`."""


def accept(**content: Any) -> Json:
    """A form that was filled."""
    return {"action": "accept", "content": content}


def said(words: str) -> Json:
    """What a client's model says."""
    return {"role": "assistant", "model": "m", "content": {"type": "text", "text": words}}


def roots(*uris: str) -> Json:
    """A client's roots."""
    return {"roots": [{"uri": uri} for uri in uris]}


def text(result: Json) -> str:
    """The first text of a result."""
    return str(next(each["text"] for each in result["content"] if each["type"] == "text"))


class Refused(Exception):
    """A JSON-RPC error, as the SDK tells it."""

    def __init__(self, code: int, message: str, details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class Visitor(ABC):
    """A client that is connected: what it was asked, and heard, is kept in order."""

    def __init__(self) -> None:
        self.asked: list[Json] = []
        self.heard: list[Json] = []
        self.capabilities: Json = {}
        self.instructions: str | None = None

    @abstractmethod
    async def do(self, verb: str, progress: list[Json] | None = None, **params: Any) -> Json:
        """The result of a request; `progress` is filled while it runs."""

    async def call(self, name: str, **arguments: Any) -> str:
        """The first text in the result of a tool that must not fail."""
        result = await self.do("tools/call", name=name, arguments=arguments)
        assert not result.get("isError"), result
        return text(result)

    async def hears(self, *methods: str) -> Json:
        """Wait until the last of these notifications was heard; it."""
        with anyio.fail_after(WAIT):
            while not (found := [x for x in self.heard if x["method"] in methods]):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        return found[-1]

    async def all_of(self, verb: str, member: str) -> list[Json]:
        """The items of each page of a list."""
        found: list[Json] = []
        params: Json = {}
        while True:
            page = await self.do(verb, **params)
            found += page[member]
            if "nextCursor" not in page:
                return found
            params = {"cursor": page["nextCursor"]}


def _dump(model: Any) -> Json:
    return dict(model.model_dump(by_alias=True, mode="json", exclude_none=True))


class Python(Visitor):
    """The Python SDK's client, which is in this process."""

    def __init__(self, answers: Answers, options: Json) -> None:
        super().__init__()
        self._answers = {method: list(given) for method, given in answers.items()}
        self._options = options
        self.client: Client

    def enter(self, transport: Any, mode: str) -> Client:
        """The client, with the callbacks for what it can be asked."""
        callbacks: Json = {}
        if ELICIT in self._answers:
            callbacks["elicitation_callback"] = self._callback(ELICIT, types.ElicitResult)
        if SAMPLE in self._answers:
            callbacks["sampling_callback"] = self._callback(SAMPLE, types.CreateMessageResult)
        if ROOTS in self._answers:
            callbacks["list_roots_callback"] = self._callback(ROOTS, types.ListRootsResult)
        info = types.Implementation(name="visitor", version="0")
        self.client = Client(
            transport,
            mode=mode,
            message_handler=self._hear,
            client_info=info,
            **callbacks,
            **self._options,
        )
        return self.client

    async def do(self, verb: str, progress: list[Json] | None = None, **params: Any) -> Json:
        if progress is not None:
            params["progress_callback"] = _keeping(progress)
        try:
            return _dump(await self._verbs(verb, params))
        except MCPError as error:
            raise Refused(error.code, str(error), error.error.data) from error

    async def _verbs(self, verb: str, params: Json) -> Any:
        client = self.client
        match verb:
            case "tools/call":
                return await client.call_tool(**params)
            case "prompts/get":
                return await client.get_prompt(**params)
            case "completion/complete":
                kind = params.pop("ref")
                prompt = kind["type"] == "ref/prompt"
                ref = types.PromptReference if prompt else types.ResourceTemplateReference
                context = params.pop("context", {})
                arguments = context.get("arguments")
                return await client.complete(ref=ref(**kind), context_arguments=arguments, **params)
            case "logging/setLevel":
                return await client.session.set_logging_level(**params)
            case "ping":
                return await client.session.send_ping()
        plain = {
            "tools/list": client.list_tools,
            "prompts/list": client.list_prompts,
            "resources/list": client.list_resources,
            "resources/templates/list": client.list_resource_templates,
            "resources/read": client.read_resource,
            "resources/subscribe": client.session.subscribe_resource,
            "resources/unsubscribe": client.session.unsubscribe_resource,
        }
        return await plain[verb](**params)

    def _callback(self, method: str, kind: type[Any]) -> Callable[..., Any]:
        async def callback(_context: Any, params: Any = None) -> Any:
            asked = {} if params is None else _dump(params)
            self.asked.append({"method": method, "params": asked})
            given = self._answers[method]
            answer = given.pop(0) if len(given) > 1 else given[0]
            if answer == "never":
                await anyio.sleep_forever()
            if callable(answer):
                answer = await answer()
            if answer is None:
                return types.ErrorData(code=-32603, message="this client fails")
            return kind(**answer)

        return callback

    async def _hear(self, message: Any) -> None:
        if not isinstance(message, Exception):
            self.heard.append(_dump(message))


def _keeping(progress: list[Json]) -> Any:
    async def keep(done: float, total: float | None, message: str | None) -> None:
        told = {"progress": done, "total": total, "message": message}
        progress.append({name: value for name, value in told.items() if value is not None})

    return keep


class Node(Visitor):
    """A TypeScript SDK's client in a process of its own (`tests/node/visitor.mjs`)."""

    def __init__(self, process: anyio.abc.Process) -> None:
        super().__init__()
        self._process = process
        self._number = 0
        self._waiting: dict[int, tuple[anyio.Event, list[Json], list[Json]]] = {}
        self._greeted = self._wait(0, [])

    async def connected(self) -> None:
        """Wait for its handshake."""
        hello = await self._result(0)
        self.capabilities, self.instructions = hello["capabilities"], hello["instructions"]

    def vanish(self) -> None:
        """End without a word. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def read(self) -> None:
        """Take what it says, until it ends."""
        assert self._process.stdout is not None
        lines = BufferedByteReceiveStream(self._process.stdout)
        try:
            while True:
                self._take(json.loads(await lines.receive_until(b"\n", 1 << 24)))
        except (anyio.EndOfStream, anyio.IncompleteRead):
            for number in list(self._waiting):
                self._take({"id": number, "error": {"code": 0, "message": "it ended"}})

    async def do(self, verb: str, progress: list[Json] | None = None, **params: Any) -> Json:
        self._number += 1
        number = self._number
        self._wait(number, [] if progress is None else progress)
        options = {"progress": progress is not None}
        await self._tell({"id": number, "do": verb, "params": params, "options": options})
        try:
            return await self._result(number)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._tell({"stop": number})
            raise

    async def _tell(self, told: Json) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send(json.dumps(told).encode() + b"\n")

    def _wait(self, number: int, progress: list[Json]) -> None:
        self._waiting[number] = (anyio.Event(), [], progress)

    async def _result(self, number: int) -> Json:
        done, came, _ = self._waiting[number]
        with anyio.fail_after(WAIT):
            await done.wait()
        del self._waiting[number]
        if "error" in came[0]:
            error = came[0]["error"]
            code = error["code"] if isinstance(error["code"], int) else 0
            raise Refused(code, error["message"], error.get("data"))
        return dict(came[0]["result"])

    def _take(self, told: Json) -> None:
        if "asked" in told:
            self.asked.append(told["asked"])
        elif "heard" in told:
            self.heard.append(told["heard"])
        elif told["id"] in self._waiting:
            done, came, progress = self._waiting[told["id"]]
            if "progress" in told:
                progress.append(told["progress"])
            else:
                came.append(told)
                done.set()


@asynccontextmanager
async def visiting(
    kind: str, url: str, token: str, answers: Answers | None = None, **options: Any
) -> AsyncIterator[Visitor]:
    """A client of that kind; without `answers` it can be asked nothing."""
    sdk, _, mode = kind.partition("-")
    if sdk == "python":
        async with _python(mode, url, token, answers or {}, options) as visitor:
            yield visitor
    else:
        async with _node(sdk, mode, url, token, answers or {}) as visitor:
            yield visitor


@asynccontextmanager
async def _python(
    mode: str, url: str, token: str, answers: Answers, options: Json
) -> AsyncIterator[Visitor]:
    visitor = Python(answers, options)
    headers = {"Authorization": f"Bearer {token}"}
    newest = "2025-11-25" if mode == "modern" else mode
    async with httpx2.AsyncClient(headers=headers, timeout=WAIT) as http:
        client = visitor.enter(
            streamable_http_client(url, http_client=http), "auto" if mode == "modern" else "legacy"
        )
        # An older revision is agreed on by what the SDK takes for its newest legacy one.
        with mock.patch.object(mcp.client.session, "LATEST_HANDSHAKE_VERSION", newest):
            await client.__aenter__()
        try:
            assert client.protocol_version == ("2026-07-28" if mode == "modern" else mode)
            visitor.capabilities = _dump(client.server_capabilities)
            visitor.instructions = client.session.instructions
            yield visitor
        finally:
            await client.__aexit__(None, None, None)


@asynccontextmanager
async def _node(
    sdk: str, mode: str, url: str, token: str, answers: Answers
) -> AsyncIterator[Visitor]:
    package = "client" if sdk == "node2" else "sdk"
    chosen = "auto" if mode == "modern" else "legacy"
    command = ["node", str(NODE / "visitor.mjs"), package, url, token, chosen, json.dumps(answers)]
    process = await anyio.open_process(command, env=environment(), stderr=subprocess.DEVNULL)
    async with process, anyio.create_task_group() as group:
        visitor = Node(process)
        group.start_soon(visitor.read)
        try:
            await visitor.connected()
            yield visitor
        finally:
            visitor.vanish()
            group.cancel_scope.cancel()


def methods(asked: Iterable[Json]) -> list[str]:
    """The methods of what was asked or heard."""
    return [each["method"] for each in asked]
