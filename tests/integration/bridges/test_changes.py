"""What servers tell unasked reaches who waits for it: updates, changed lists, log messages."""

import base64
import gzip
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from mcp.client.subscriptions import listen
from tests.gate import WAIT
from tests.integration.bridges.conftest import every_server
from tests.integration.bridges.pairs.covering import about
from tests.integration.bridges.test_apart import given_up
from tests.integration.bridges.test_methods import TEXT, over_each_way
from tests.integration.bridges.visitors import (
    ELICIT,
    LEGACY,
    ONE_OF_EACH,
    Python,
    clients,
    every_client,
    legacy_client,
    of_clients,
    text,
    visiting,
)
from tests.wire import until

pytestmark = [pytest.mark.slow, *of_clients]
UPDATED = "notifications/resources/updated"


@asynccontextmanager
async def hearing(visitor, kind, *uris, **kinds):
    """Have these resources and lists watched, in the way of the client's era."""
    if not kind.endswith("modern"):
        for uri in uris:
            await visitor.do("resources/subscribe", uri=uri)
        yield
        for uri in uris:
            await visitor.do("resources/unsubscribe", uri=uri)
    elif isinstance(visitor, Python):
        async with (
            listen(visitor.client.session, resource_subscriptions=uris, **kinds) as news,
            anyio.create_task_group() as group,
        ):
            assert list(news.honored.resource_subscriptions or ()) == list(uris)

            async def follow():
                async for _ in news:
                    pass  # the notification itself is kept by the visitor

            group.start_soon(follow)
            yield
            group.cancel_scope.cancel()
    else:
        wanted = {_camel(name): True for name in kinds} | {"resourceSubscriptions": list(uris)}
        told = await visitor.do("listen", **wanted)
        assert told["honoured"].get("resourceSubscriptions", []) == list(uris)
        yield


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.title() for each in rest)


@about("resources/subscribe")
@over_each_way
@pytest.mark.parametrize("bare", [False, True])
async def test_a_resource_that_is_waited_for_is_told_to_be_another(fair, kind, alias, bare):
    scheme, name = ("", "") if bare else (f"{alias}+", f"{alias}__")
    uri = f"{scheme}{TEXT}{'1' if bare else '2'}"
    async with (
        visiting(kind, fair.url(alias if bare else ""), fair.ada) as visitor,
        hearing(visitor, kind, uri),
    ):
        with anyio.fail_after(WAIT):
            while not visitor.heard:
                await visitor.call(f"{name}toggle-subscriber-updates")
                with anyio.move_on_after(0.2):
                    await visitor.hears(UPDATED)
        assert {x["params"]["uri"] for x in visitor.heard if x["method"] == UPDATED} == {uri}


@about("tools/call", "resources/list")
@over_each_way
async def test_a_link_to_a_new_resource_is_readable_and_its_list_is_told_to_be_another(
    fair, kind, alias
):
    streams = fair.streams()
    async with (
        visiting(kind, fair.url(), fair.ada) as visitor,
        hearing(visitor, kind, resources_list_changed=True),
    ):
        await anyio.to_thread.run_sync(until, lambda: fair.streams() > streams)
        name = f"{kind}.{alias}.gz"
        told = await visitor.do(
            "tools/call",
            name=f"{alias}__gzip-file-as-resource",
            arguments={"name": name, "data": "data:text/plain,hello"},
        )
        [link] = told["content"]
        assert link["uri"] == f"{alias}+demo://resource/session/{name}"
        [read] = (await visitor.do("resources/read", uri=link["uri"]))["contents"]
        assert gzip.decompress(base64.b64decode(read["blob"])) == b"hello"
        await visitor.hears("notifications/resources/list_changed")
        listed = await visitor.all_of("resources/list", "resources")
        assert link["uri"] in [each["uri"] for each in listed]


@every_client
async def test_a_changed_prompt_is_told_and_listed(town, kind):
    streams = town.streams()
    async with (
        visiting(kind, town.url(), town.ada) as visitor,
        hearing(visitor, kind, prompts_list_changed=True),
    ):
        await anyio.to_thread.run_sync(until, lambda: town.streams() > streams)

        async def described():
            listed = await visitor.all_of("prompts/list", "prompts")
            return {x["name"]: x.get("description") for x in listed}["both__test_changing_prompt"]

        before = await described()
        await visitor.call("both__test_trigger_prompt_change")
        await visitor.hears("notifications/prompts/list_changed")
        assert await described() != before


@clients(*ONE_OF_EACH)  # more changes than that, and the server is looked at more rarely
async def test_a_tool_that_became_another_is_told_and_of_no_use_until_it_is_as_it_was(town, kind):
    streams = town.streams()
    async with (
        visiting(kind, town.url(), town.ada) as visitor,
        hearing(visitor, kind, tools_list_changed=True),
    ):
        await anyio.to_thread.run_sync(until, lambda: town.streams() > streams)

        async def described():
            listed = await visitor.all_of("tools/list", "tools")
            return {x["name"]: x["description"] for x in listed}["both__test_changing_tool"]

        changed = "notifications/tools/list_changed"
        approved = await described()
        await visitor.call("both__test_trigger_tool_change")
        await visitor.hears(changed)
        assert (await described()).startswith("This tool changed since it was approved")
        told = await visitor.do("tools/call", name="both__test_changing_tool", arguments={})
        assert told["isError"]
        assert text(told).startswith("Not allowed")
        visitor.heard.clear()
        await visitor.call("both__test_trigger_tool_change")
        await visitor.hears(changed)
        assert await described() == approved
        assert await visitor.call("both__test_changing_tool")


@legacy_client
async def test_a_legacy_client_hears_log_messages_of_its_level(town, kind):
    async with visiting(kind, town.url(), town.ada) as visitor:
        for level, wanted in (
            ("", ["an event", "a fault"]),
            ("error", ["a fault"]),
            ("debug", ["a detail", "an event", "a fault"]),
        ):
            visitor.heard.clear()
            if level:
                await visitor.do("logging/setLevel", level=level)
            await visitor.call("both__test_logging_tool")
            assert [each["params"]["data"] for each in visitor.heard] == wanted, level


@pytest.mark.parametrize(
    ("level", "wanted"), [(None, []), ("error", ["a fault"]), ("info", ["an event", "a fault"])]
)
async def test_a_modern_client_hears_log_messages_of_its_level(town, level, wanted):
    options = {"log_level": level} if level else {}
    async with visiting("python-modern", town.url(), town.ada, **options) as visitor:
        await visitor.call("both__test_logging_tool")
        assert [each["params"]["data"] for each in visitor.heard] == wanted


@about("notifications/cancelled")
@clients(*LEGACY)
@every_server
async def test_a_call_that_is_given_up_while_it_asks_is_cancelled(town, kind, alias):
    dish = f"a dish for {kind} at {alias}"
    before = len(town.leaves())
    async with visiting(kind, town.url(), town.ada, {ELICIT: ["never"]}) as visitor:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(visitor.call, f"{alias}__order", dish=dish))
            await anyio.to_thread.run_sync(until, lambda: visitor.asked)
            group.cancel_scope.cancel()
        await anyio.to_thread.run_sync(until, lambda: town.closed(before))
        if alias in ("push", "sse"):
            await given_up(visitor, alias, dish)
    assert town.outcomes(before)[0] == "cancelled"
