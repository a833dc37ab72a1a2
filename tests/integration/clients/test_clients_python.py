"""The official Python SDK's client (mcp 2.3) in every revision, to real servers."""

import re
from collections import Counter
from pathlib import Path

import anyio
import pytest
from mcp import MCPError
from mcp.client.subscriptions import ToolsListChanged, listen
from mcp_types import ToolListChangedNotification
from tests.gate import WAIT
from tests.integration.clients.sdk import (
    LEGACY,
    MODERN,
    each_era,
    every_revision,
    names,
    pages,
    speaking,
)
from tests.wire import until

pytestmark = [pytest.mark.slow, pytest.mark.anyio]  # quick: `test_clients_typescript`
CLIENTS = Path(__file__).parents[3] / "docs/clients.md"
LONG = "trigger-long-running-operation"


@every_revision
async def test_the_client_and_the_gate_agree_on_the_revision(house, revision):
    async with speaking(revision, house.url(), house.ada) as session:
        assert session.protocol_version == revision
        assert session.server_info.name == "gatelodge"
        assert session.server_capabilities.tools.list_changed is True
        assert "recorded" in session.instructions


@every_revision
async def test_every_page_together_is_each_tool_once(house, revision):
    async with speaking(revision, house.url(), house.ada) as session:
        found = await pages(session)
        assert [len(page) for page in found[:-1]] == [5] * (len(found) - 1)
        flat = [name for page in found for name in page]
        assert len(set(flat)) == len(flat) > 30
        assert Counter(name.split("__")[0] for name in flat) == {
            "all": 12,
            "git": 12,
            "time": 2,
            "web": 12,
        }


@each_era
async def test_a_call_reaches_each_kind_of_server_and_comes_back_whole(house, revision):
    async with speaking(revision, house.url(), house.ada) as session:
        await names(session)
        told = await session.call_tool("time__get_current_time", {"timezone": "Europe/Berlin"})
        assert told.structured_content["timezone"] == "Europe/Berlin"
        told = await session.call_tool("git__git_status", {"repo_path": house.repository})
        assert "On branch main" in told.content[0].text
        for alias in ("all", "web"):
            told = await session.call_tool(f"{alias}__get-sum", {"a": 20, "b": 22})
            assert "42" in told.content[0].text
            told = await session.call_tool(f"{alias}__get-tiny-image", {})
            assert [part.type for part in told.content] == ["text", "image", "text"]
            told = await session.call_tool(
                f"{alias}__get-structured-content", {"location": "Chicago"}
            )
            assert set(told.structured_content) == {"conditions", "humidity", "temperature"}


@every_revision
async def test_what_fails_in_a_tool_is_a_result_and_what_is_unknown_is_an_error(house, revision):
    async with speaking(revision, house.url(), house.ben) as session:
        told = await session.call_tool("time__get_current_time", {"timezone": "Nowhere/At_all"})
        assert told.is_error
        assert "Nowhere/At_all" in told.content[0].text
        for name in ("time__no_such_tool", "all__echo", "all__no_such_tool"):
            with pytest.raises(MCPError) as refused:
                await session.call_tool(name, {"message": "x"})
            assert (refused.value.code, str(refused.value)) == (-32602, f"Unknown tool: {name}")


@every_revision
async def test_a_denied_call_says_the_rule_the_reason_and_what_to_do(house, revision):
    async with speaking(revision, house.url(), house.ada) as session:
        told = await session.call_tool("git__git_reset", {"repo_path": house.repository})
        assert told.is_error
        assert told.content[0].text.startswith("Not allowed (rule grd_")
        assert "history is kept. What to do: Make a new branch." in told.content[0].text


@each_era
@pytest.mark.parametrize("alias", ["all", "web"])
async def test_progress_reaches_the_callback_of_its_own_call(house, revision, alias):
    heard: dict[str, list[tuple[float, float | None]]] = {"one": [], "two": []}

    async def call(session, who, steps):
        async def progress(done, total, _message):
            heard[who].append((done, total))

        told = await session.call_tool(
            f"{alias}__{LONG}", {"duration": 0.2, "steps": steps}, progress_callback=progress
        )
        assert f"Steps: {steps}" in told.content[0].text

    async with (
        speaking(revision, house.url(), house.ada) as session,
        anyio.create_task_group() as both,
    ):
        both.start_soon(call, session, "one", 2)
        both.start_soon(call, session, "two", 4)
    assert heard["one"] == [(1, 2), (2, 2)]
    assert heard["two"] == [(1, 4), (2, 4), (3, 4), (4, 4)]


@each_era
async def test_a_call_that_its_client_gives_up_ends_at_the_gate_too(house, revision):
    before = house.outcomes(LONG)
    begun = anyio.Event()

    async def progress(_done, _total, _message):
        begun.set()

    async with speaking(revision, house.url(), house.ada) as session:
        async with anyio.create_task_group() as group:

            async def call():
                arguments = {"duration": 600, "steps": 6000}
                await session.call_tool(f"all__{LONG}", arguments, progress_callback=progress)

            group.start_soon(call)
            with anyio.fail_after(WAIT):
                await begun.wait()
            group.cancel_scope.cancel()
        await anyio.to_thread.run_sync(until, lambda: len(house.outcomes(LONG)) > len(before))
        told = await session.call_tool("time__get_current_time", {"timezone": "UTC"})
        assert not told.is_error
    wanted = "client_gone" if revision == MODERN else "cancelled"
    assert house.outcomes(LONG)[len(before) :] == [wanted]


@pytest.mark.parametrize("revision", LEGACY)
async def test_a_legacy_ping_is_answered(house, revision):
    async with speaking(revision, house.url(), house.ben) as session:
        await session.send_ping()


async def test_a_modern_ping_is_an_unknown_method(house):
    async with speaking(MODERN, house.url(), house.ben) as session:
        with pytest.raises(MCPError) as refused:
            await session.send_ping()
        assert refused.value.code == -32601


@each_era
async def test_a_grant_given_and_taken_back_is_told_to_who_listens(house, revision):
    email, token = house.guest()
    before = house.streams_opened()
    heard = anyio.Semaphore(0)

    async def on_message(message):
        assert isinstance(message, ToolListChangedNotification)
        heard.release()

    async def follow(subscription):
        async for event in subscription:
            assert isinstance(event, ToolsListChanged)
            heard.release()

    async def change_and_hear(session):
        given = await anyio.to_thread.run_sync(give)
        with anyio.fail_after(WAIT):
            await heard.acquire()
        assert "git__git_log" in await names(session)
        await anyio.to_thread.run_sync(house.api, "DELETE", f"/grants/{given}")
        with anyio.fail_after(WAIT):
            await heard.acquire()
        assert await names(session) == ["time__get_current_time", "time__convert_time"]

    def give():
        return house.grant(member=email, server="git", tool="git_log", level="all")

    on_stream = None if revision == MODERN else on_message
    async with speaking(revision, house.url(), token, on_stream) as session:
        assert len(await names(session)) == 2
        if revision == MODERN:
            async with (
                anyio.create_task_group() as group,
                listen(session, tools_list_changed=True) as subscription,
            ):
                group.start_soon(follow, subscription)
                await change_and_hear(session)
                group.cancel_scope.cancel()
        else:
            await anyio.to_thread.run_sync(until, lambda: house.streams_opened() > before)
            await change_and_hear(session)


@each_era
async def test_the_endpoint_of_one_server_has_its_tools_by_their_own_names(house, revision):
    async with speaking(revision, house.url("time"), house.ada) as session:
        assert await names(session) == ["get_current_time", "convert_time"]
        told = await session.call_tool("get_current_time", {"timezone": "UTC"})
        assert told.structured_content["timezone"] == "UTC"
        with pytest.raises(MCPError, match="Unknown tool: time__get_current_time"):
            await session.call_tool("time__get_current_time", {"timezone": "UTC"})


@each_era
async def test_after_a_revocation_the_client_is_turned_away(house, revision):
    email, token = house.guest()
    async with speaking(revision, house.url(), token) as session:
        assert len(await names(session)) == 2
        await anyio.to_thread.run_sync(house.api, "POST", f"/members/{email}/revoke", {})
        with pytest.raises(MCPError):
            await session.call_tool("time__get_current_time", {"timezone": "UTC"})
    opened = []
    with pytest.raises((MCPError, ExceptionGroup)):
        async with speaking(revision, house.url(), token) as session:
            opened.append(session)
    assert not opened


async def test_the_example_of_the_manual_lists_the_tools(house, monkeypatch):
    monkeypatch.setenv("GATE_TOKEN", house.ben)
    (example,) = re.findall("```python\n(.*?)```", CLIENTS.read_text(), re.DOTALL)
    written = {}
    exec(example.replace("http://127.0.0.1:8720/k/main/mcp", house.url()), written)
    assert await written["tools"]() == ["time__get_current_time", "time__convert_time"]
