"""Two members of one gate, each with a client of their own, never see anything of the other's."""

import json

import anyio
import pytest
from mcp import MCPError
from mcp.client.subscriptions import ToolsListChanged, listen
from mcp_types import PaginatedRequestParams, ToolListChangedNotification
from tests.gate import WAIT
from tests.integration.clients.agent import Agent
from tests.integration.clients.sdk import LEGACY, MODERN, each_era, names, speaking
from tests.wire import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]  # quick: `attacks/members/test_crossing`
OWN = ["time__get_current_time", "time__convert_time"]
LONG = "all__trigger-long-running-operation"
HELLO = {"clientInfo": {"name": "plain", "version": "1"}}


@each_era
async def test_each_lists_and_calls_their_own_tools_at_the_same_time(house, revision):
    async with (
        speaking(revision, house.url(), house.ada) as ada,
        speaking(revision, house.url(), house.ben) as ben,
        anyio.create_task_group() as both,
    ):

        async def ask(session, count, message):
            for _ in range(3):
                assert len(await names(session)) == count
                told = await session.call_tool("time__get_current_time", {"timezone": message})
                assert told.structured_content["timezone"] == message

        both.start_soon(ask, ada, 38, "Europe/Berlin")
        both.start_soon(ask, ben, 2, "Asia/Tokyo")


@each_era
async def test_a_cursor_of_another_is_no_cursor(house, revision):
    async with (
        speaking(revision, house.url(), house.ada) as ada,
        speaking(revision, house.url(), house.ben) as ben,
    ):
        cursor = (await ada.list_tools()).next_cursor
        assert (await ada.list_tools(params=PaginatedRequestParams(cursor=cursor))).tools
        for stolen in (cursor, cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), ""):
            with pytest.raises(MCPError) as refused:
                await ben.list_tools(params=PaginatedRequestParams(cursor=stolen))
            assert (refused.value.code, str(refused.value)) == (-32602, "invalid cursor")


@each_era
async def test_progress_of_one_call_is_not_heard_in_another_with_the_same_token(house, revision):
    _, token = house.guest("all")
    heard = {"ada": [], "guest": []}

    async def call(session, who, steps):
        async def progress(done, total, _message):
            heard[who].append((done, total))

        arguments = {"duration": 0.2, "steps": steps}
        await session.call_tool(LONG, arguments, progress_callback=progress)

    async with (
        speaking(revision, house.url(), house.ada) as ada,
        speaking(revision, house.url(), token) as guest,
        anyio.create_task_group() as both,
    ):
        both.start_soon(call, ada, "ada", 2)
        both.start_soon(call, guest, "guest", 3)
    assert heard == {"ada": [(1, 2), (2, 2)], "guest": [(1, 3), (2, 3), (3, 3)]}


@pytest.mark.parametrize("revision", [LEGACY[0], pytest.param(LEGACY[-1], marks=pytest.mark.slow)])
async def test_a_change_for_one_is_not_told_to_the_other_on_a_legacy_stream(house, revision):
    before = house.streams_opened()
    (email, first), (_, second) = house.guest(), house.guest()
    heard = {"changed": anyio.Event(), "other": anyio.Event()}

    def hear(who):
        async def on_message(message):
            assert isinstance(message, ToolListChangedNotification)
            heard[who].set()

        return on_message

    async with (
        speaking(revision, house.url(), first, hear("changed")),
        speaking(revision, house.url(), second, hear("other")) as other,
    ):
        await anyio.to_thread.run_sync(until, lambda: house.streams_opened() == before + 2)
        house.grant(member=email, server="git", level="all")
        with anyio.fail_after(WAIT):
            await heard["changed"].wait()
        assert await names(other) == OWN
        assert not heard["other"].is_set()


async def test_a_change_for_one_is_not_told_to_the_other_on_a_listen_stream(house):
    (email, first), (_, second) = house.guest(), house.guest()
    async with (
        speaking(MODERN, house.url(), first) as changed,
        speaking(MODERN, house.url(), second) as other,
        listen(changed, tools_list_changed=True) as news,
        listen(other, tools_list_changed=True) as silence,
    ):
        house.grant(member=email, server="git", level="all")
        with anyio.fail_after(WAIT):
            assert isinstance(await anext(aiter(news)), ToolsListChanged)
        assert await names(other) == OWN
        with anyio.move_on_after(0.2):
            pytest.fail(f"heard {await anext(aiter(silence))}")


def test_a_session_is_its_members_and_its_endpoints_alone(house):
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    with Agent(house, house.ada) as ada, Agent(house, house.ben) as ben:
        ada.initialize("2025-11-25", **HELLO)
        ben.initialize("2025-11-25", **HELLO)
        ben.session, own = ada.session, ben.session
        assert ben.post(ask).status == 404
        assert ben.send("GET", ben.path, {"accept": "text/event-stream"}).status == 404
        assert ben.send("DELETE", ben.path, {}).status == 404
        elsewhere = json.dumps(ask).encode()
        typed = {"content-type": "application/json"}
        assert ada.send("POST", "/k/main/s/time/mcp", typed, elsewhere).status == 404
        assert len(ada.post(ask).json["result"]["tools"]) == 5
        ben.session = own
        assert len(ben.post(ask).json["result"]["tools"]) == 2


def test_nobody_cancels_the_call_of_another(house):
    stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    arguments = {"duration": 0.6, "steps": 3}
    meta = {"progressToken": "same"}
    call = {"name": LONG, "arguments": arguments, "_meta": meta}
    with Agent(house, house.ada) as ada, Agent(house, house.ben) as ben:
        ada.initialize("2025-11-25", **HELLO)
        ben.initialize("2025-11-25", **HELLO)
        with ada.listen({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}) as run:
            assert json.loads(run.event())["method"] == "notifications/progress"
            assert ben.post(stop).status == 202
            ben.session = ada.session
            assert ben.post(stop).status == 404
            told = [json.loads(run.event()) for _ in range(3)][-1]
    assert "completed" in told["result"]["content"][0]["text"]
