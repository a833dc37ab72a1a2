"""The contract of `Upstreams`: the same promises over HTTP and stdio, to real servers of both eras.

The servers are mcp-server-time, mcp-server-git, server-everything (npm) and one on the Python SDK.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Raw, structs
from tests.upstreams import pools
from tests.upstreams.pools import ask, asker, call, http, make_pool, ready, stdio, text, until

from gatelodge.core.errors import UpstreamTimeout, UpstreamUnreachable
from gatelodge.ports.upstream import Reply, Request

pytestmark = pytest.mark.anyio

EVERYTHING = (
    Path(__file__).parent.parent
    / "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
)
BIN = Path(sys.executable).parent


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pool():
    # The end of its input does not end server-everything: each that is a process is waited for.
    made = make_pool(hosting=structs.replace(pools.HOSTING, stop_seconds=0.2))
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served():
    """Start a server that listens on a port of its own; each command once, and all end here.

    A test leaves its session behind at most: to the server the next one is another client.
    """
    started = {}

    def start(*command):
        if command not in started:
            port = free_port()
            given = [str(port) if word == "PORT" else word for word in command]
            env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
            quiet = subprocess.DEVNULL
            process = subprocess.Popen(
                given, env={**env, "PORT": str(port)}, stdout=quiet, stderr=quiet
            )
            started[command] = port, process
        return started[command][0]

    yield start
    for _, process in started.values():
        process.kill()
        process.wait(10)


def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    assert EVERYTHING.exists(), "run `npm ci` in tests/node"
    return found


class Real:
    """One real server: how to reach it, one call, and what the answer holds."""

    def __init__(self, at, era, tools, request, holds):
        self.at, self.era, self.tools, self.request, self.holds = at, era, tools, request, holds


def time_server(era):
    at = stdio(command=(str(BIN / "mcp-server-time"),), era=era)
    asked = call("convert_time", {
        "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo",
    })  # fmt: skip
    return Real(at, era, 2, asked, b"21:00")


def git_server(era, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "leaf.txt").write_text("x")
    at = stdio(command=(str(BIN / "mcp-server-git"), "-r", str(tmp_path)), era=era)
    return Real(at, era, 12, call("git_status", {"repo_path": str(tmp_path)}), b"leaf.txt")


async def sdk_server(era, served):
    port = served(sys.executable, str(pools.HERE / "sdk_server.py"), "PORT")
    await until(lambda: listens(port), "the SDK server listens")
    return Real(
        http(f"http://127.0.0.1:{port}/mcp", era=era), era, 5, call("add", {"a": 2, "b": 3}), b"5"
    )


async def everything_http(served, transport="streamableHttp"):
    port = served(node(), str(EVERYTHING), transport)
    await until(lambda: listens(port), "server-everything listens")
    path = "sse" if transport == "sse" else "mcp"
    at = http(f"http://127.0.0.1:{port}/{path}")
    return Real(at, "legacy", 17, call("echo", {"message": "hi"}), b"hi")


def everything_stdio():
    at = stdio(command=(node(), str(EVERYTHING), "stdio"))
    return Real(at, "legacy", 17, call("echo", {"message": "hi"}), b"hi")


async def everything(way, served):
    if way == "stdio":
        return everything_stdio()
    return await everything_http(served, "sse" if way == "sse" else "streamableHttp")


QUICK = ["time modern", "everything stdio", "everything http"]
WAYS = ["stdio", "http", pytest.param("sse", marks=pytest.mark.slow)]
SLOW = ["time legacy", "git modern", "git legacy", "sdk modern", "sdk legacy", "everything sse"]
KINDS = [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]


@pytest.fixture(params=KINDS)
async def real(request, tmp_path, served):
    what, how = request.param.split()
    if what == "time":
        return time_server(how)
    if what == "git":
        return git_server(how, tmp_path)
    if what == "sdk":
        return await sdk_server(how, served)
    return await everything(how, served)


async def test_tools_are_observed_as_they_are(pool, real):
    await ready(pool, real.at)
    observed = await pool.observe(real.at)
    assert len(observed.tools) == real.tools
    assert observed.dropped == 0
    assert all(json.loads(bytes(tool))["inputSchema"] for tool in observed.tools)
    assert pool.health(real.at.id).era == real.era


async def test_calls_are_answered_each_with_its_own_result(pool, real):
    await ready(pool, real.at)
    replies = await asyncio.gather(*(ask(pool, real.at, real.request) for _ in range(10)))
    assert all(real.holds in bytes(reply.result) for reply in replies)
    assert pool.counts()["calls"] == 0


async def test_an_unknown_method_is_the_servers_own_error(pool, real):
    await ready(pool, real.at)
    reply = await ask(pool, real.at, Request(method="no/such", params={}, seconds=10))
    assert json.loads(bytes(reply.error))["code"] == -32601


async def test_an_unknown_tool_is_told_by_the_server(pool, real):
    await ready(pool, real.at)
    reply = await ask(pool, real.at, call("no_such_tool"))
    told = reply.error or reply.result
    assert b"no_such_tool" in bytes(told) or b"nknown" in bytes(told)


async def test_nothing_is_left_after_the_server_is_taken_away(pool, real):
    await ready(pool, real.at)
    pid = pool.health(real.at.id).pid
    await pool.reconcile(())
    assert pool.health(real.at.id).state == "off"
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, real.at, real.request)
    await until(lambda: pool.counts()["tasks"] == 0, "ended")
    assert pid is None or not pools.alive(pid)


@pytest.mark.parametrize("way", WAYS)
async def test_progress_of_a_long_operation_comes_with_the_callers_token(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    heard = []
    asked = call(
        "trigger-long-running-operation", {"duration": 0.3, "steps": 3},
        meta={"progressToken": Raw(b'"t-1"')},
    )  # fmt: skip
    await ask(pool, real.at, asked, lambda method, params: heard.append((method, params)))
    steps = [json.loads(params) for method, params in heard if method == "notifications/progress"]
    assert [step["progress"] for step in steps] == [1, 2, 3]
    assert {step["progressToken"] for step in steps} == {"t-1"}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_progress_of_the_sdk_comes_in_both_eras(pool, served, era):
    real = await sdk_server(era, served)
    await ready(pool, real.at)
    heard = []
    asked = call("steps", meta={"progressToken": Raw(b"41")})
    reply = await ask(pool, real.at, asked, lambda _, params: heard.append(json.loads(params)))
    assert b"done" in bytes(reply.result)
    assert [step["progress"] for step in heard] == [1, 2]
    assert {step["progressToken"] for step in heard} == {41}


@pytest.mark.parametrize("way", WAYS)
async def test_a_long_operation_ends_at_our_deadline(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    asked = call("trigger-long-running-operation", {"duration": 60, "steps": 2}, seconds=0.3)
    with pytest.raises(UpstreamTimeout):
        await ask(pool, real.at, asked)
    assert pool.counts()["calls"] == 0
    assert b"hi" in bytes((await ask(pool, real.at, real.request)).result)


@pytest.mark.guarantee("secrets:stay-here")
async def test_a_real_server_sees_nothing_of_our_environment(pool, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "of the gate")
    at = everything_stdio().at
    await ready(pool, at)
    seen = text(await ask(pool, at, call("get-env")))
    assert seen.keys() == {"PATH", "HOME", "TMPDIR", "LANG"}


async def test_a_killed_real_server_is_started_again(pool):
    real = time_server("auto")
    await ready(pool, real.at)
    first = pool.health(real.at.id).pid
    os.kill(first, 9)
    await until(lambda: pool.health(real.at.id).restarts == 1, "its death is noticed")
    await until(lambda: pool.health(real.at.id).state == "ready", "started again")
    assert real.holds in bytes((await ask(pool, real.at, real.request)).result)


ANN = asker("ann", elicitation={}, sampling={}, roots={})


@pytest.mark.parametrize("way", WAYS)
async def test_everything_that_a_real_server_offers_is_observed(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    observed = await pool.observe(real.at)
    assert {json.loads(bytes(each))["name"] for each in observed.prompts} >= {"simple-prompt"}
    assert all(json.loads(bytes(each))["uri"] for each in observed.resources)
    assert len(observed.templates) == 2
    said = json.loads(bytes(observed.capabilities))
    assert said["resources"]["subscribe"] is True
    assert observed.instructions
    assert "4 tools are offered only to clients that declare" in pool.health(real.at.id).detail
    forms = {"elicitation.form", "elicitation.url"}
    assert observed.needs == {
        "get-roots-list": {"roots"},
        "trigger-elicitation-request": forms,
        "trigger-url-elicitation": {"elicitation.url"},
        "trigger-sampling-request": {"sampling", "sampling.tools"},
    }
    await until(lambda: pool.counts()["tasks"] <= 2, "but one session that looked is ended")


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_is_not_in_use_is_looked_at_whole_and_left(pool, served, way):
    real = await everything(way, served)
    observed = await pool.observe(real.at)
    assert len(observed.tools) == real.tools
    assert not observed.needs
    assert pool.counts()["tasks"] == 0


async def answered(exchange, answers):
    """The result of a call, each question of which is answered by its method."""
    asked = []
    async with asyncio.timeout(pools.WAIT):
        while questions := (reply := await exchange.reply).questions:
            for question in questions:
                asked.append(question.method)
                said = Raw(json.dumps(answers[question.method]).encode())
                exchange.answer(question.number, Reply(result=said))
    return asked, bytes(reply.result)


ROOTS = {"roots/list": {"roots": [{"uri": "file:///work", "name": "Work"}]}}


ASKS = {
    "elicitation/create": (
        call("trigger-elicitation-request", asker=ANN),
        {"action": "accept", "content": {"name": "Ann of the gate"}},
    ),
    "sampling/createMessage": (
        call("trigger-sampling-request", {"prompt": "Hi"}, asker=ANN),
        {
            "role": "assistant",
            "model": "m",
            "content": {"type": "text", "text": "Ann of the gate"},
        },
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ASKS)
async def test_a_real_server_asks_the_one_who_called(pool, served, way, method):
    real = await everything(way, served)
    await ready(pool, real.at)
    request, answer = ASKS[method]
    exchange = pool.begin(real.at.id, request, None)
    asked, result = await answered(exchange, {method: answer, **ROOTS})
    assert method in asked
    assert b"Ann of the gate" in result


@pytest.mark.parametrize("way", WAYS)
async def test_a_real_server_that_is_told_of_changed_roots_asks_for_them(pool, served, way):
    real, tells = await everything(way, served), asker("ann", roots={"listChanged": True})
    await ready(pool, real.at)
    lists = call("get-roots-list", asker=tells)
    assert b"file:///work" in (await answered(pool.begin(real.at.id, lists, None), ROOTS))[1]
    long = call("trigger-long-running-operation", {"duration": 60, "steps": 2}, asker=tells)
    runs = pool.begin(real.at.id, long, None)
    pool.roots_changed(tells)
    async with asyncio.timeout(pools.WAIT):
        (asked,) = (await runs.reply).questions
        assert asked.method == "roots/list"
        runs.answer(asked.number, Reply(result=Raw(b'{"roots":[{"uri":"file:///moved"}]}')))
        while b"file:///moved" not in bytes((await ask(pool, real.at, lists)).result):
            pass  # the answer goes beside the requests
    runs.abort("cancelled")


@pytest.mark.parametrize("way", WAYS)
async def test_resources_of_a_real_server_are_watched(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    updated = []
    pool.on_updated(lambda server, uri: updated.append((server, uri)))
    uri = "demo://resource/dynamic/text/1"
    pool.subscribe(real.at.id, frozenset({uri}))
    async with asyncio.timeout(pools.WAIT):
        while (real.at.id, uri) not in updated:  # on each turn it tells at once, then in 5 s
            await ask(pool, real.at, call("toggle-subscriber-updates"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await until(lambda: (real.at.id, uri) in updated, "told")


@pytest.mark.parametrize("way", WAYS)
async def test_prompts_and_resources_of_a_real_server_are_read(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    named = {"name": Raw(b'"simple-prompt"')}
    prompt = await ask(pool, real.at, Request(method="prompts/get", params=named))
    assert json.loads(bytes(prompt.result))["messages"]
    uri = {"uri": Raw(b'"demo://resource/dynamic/text/1"')}
    read = await ask(pool, real.at, Request(method="resources/read", params=uri, asker=ANN))
    assert json.loads(bytes(read.result))["contents"]


async def test_a_real_server_of_both_eras_is_spoken_to_in_the_callers(pool, served):
    real = await sdk_server("auto", served)
    await ready(pool, real.at)
    assert pool.health(real.at.id).era == "modern"
    for era in ("modern", "legacy"):
        told = text(await ask(pool, real.at, call("declared", era=era, asker=ANN)))
        assert told.keys() == {"elicitation", "sampling", "roots"}
    exchange = pool.begin(real.at.id, call("greet", era="legacy", asker=ANN), None)
    accept = {"action": "accept", "content": {"name": "Ann"}}
    asked, result = await answered(exchange, {"elicitation/create": accept})
    assert asked == ["elicitation/create"]
    assert b"Hello Ann" in result
    assert pool.counts()["tasks"] == 2


async def test_a_real_modern_server_tells_of_its_lists_and_its_resources(pool, served):
    real = await sdk_server("modern", served)
    await ready(pool, real.at)
    changed, updated = [], []
    pool.on_updated(lambda server, uri: updated.append((server, uri)))
    pool.subscribe(real.at.id, frozenset({"res://counter"}))
    pool.on_list_changed(changed.append)

    async def touched():
        await ask(pool, real.at, call("touch"))
        return updated and changed

    for _ in range(500):  # it listens anew at its own pace
        if await touched():
            break
    assert set(updated) == {(real.at.id, "res://counter")}
    assert set(changed) == {real.at.id}
