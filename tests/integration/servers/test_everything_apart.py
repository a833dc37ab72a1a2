"""One server behind the gate three times over: nothing of one reaches another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp import ClientSession, MCPError
from mcp.client.subscriptions import ResourceUpdated, listen
from mcp_types import ResourceUpdatedNotification
from tests.gate import WAIT
from tests.integration.clients.sdk import MODERN, NEWEST_LEGACY, speaking
from tests.integration.servers.fleet import Fleet
from tests.wire import until

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
THREE = ("all", "web", "sse")
DOCUMENT = "demo://resource/static/document/architecture.md"


@pytest.mark.parametrize("alias", THREE)
async def test_a_resource_that_one_server_makes_is_no_other_servers(fleet: Fleet, alias: str):
    name = f"made-by-{alias}.gz"
    async with speaking(MODERN, fleet.url(), fleet.ada) as session:

        async def listed() -> list[str]:
            found = [each.uri for each in (await session.list_resources()).resources]
            return [uri for uri in found if uri.endswith(name)]

        assert await listed() == []
        told = await session.call_tool(
            f"{alias}__gzip-file-as-resource", {"name": name, "data": "data:text/plain,leaf"}
        )
        link = told.content[0].uri
        assert link == f"{alias}+demo://resource/session/{name}"
        with anyio.fail_after(WAIT):
            while await listed() != [link]:
                await anyio.lowlevel.checkpoint()
        assert (await session.read_resource(link)).contents[0].uri == link
        for other in {"all", "web", "sse"} - {alias}:
            with pytest.raises(MCPError):
                await session.read_resource(link.replace(f"{alias}+", f"{other}+"))


class Ear:
    """Who hears of resources that changed: their URIs."""

    def __init__(self, fleet: Fleet, revision: str, token: str) -> None:
        self.fleet = fleet
        self.revision = revision
        self.token = token
        self.heard: set[str] = set()

    @asynccontextmanager
    async def hearing(self, *uris: str) -> AsyncIterator[ClientSession]:
        """Wait for these resources."""
        streams = self.fleet.streams_opened()
        url = self.fleet.url()
        async with speaking(self.revision, url, self.token, self._told) as session:
            if self.revision == MODERN:
                async with (
                    anyio.create_task_group() as group,
                    listen(session, resource_subscriptions=uris) as subscription,
                ):
                    group.start_soon(self._follow, subscription)
                    yield session
                    group.cancel_scope.cancel()
            else:
                for uri in uris:
                    await session.subscribe_resource(uri)
                await anyio.to_thread.run_sync(until, lambda: self.fleet.streams_opened() > streams)
                yield session

    async def _follow(self, subscription) -> None:
        async for event in subscription:
            assert isinstance(event, ResourceUpdated)
            self.heard.add(event.uri)

    async def _told(self, message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.heard.add(str(message.params.uri))


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("revision", [MODERN, NEWEST_LEGACY], ids=["modern", "legacy"])
async def test_an_update_of_one_server_is_heard_as_its_own_and_by_nobody_else(
    fleet: Fleet, revision: str
):
    ada, ben = Ear(fleet, revision, fleet.ada), Ear(fleet, revision, fleet.ben)
    shown = {alias: f"{alias}+{DOCUMENT}" for alias in THREE}
    async with ada.hearing(*shown.values()) as session, ben.hearing(shown["web"]):
        for count, alias in enumerate(("all", "sse", "web"), 1):
            assert ben.heard == set()
            await update(session, alias, [ada, ben] if alias == "web" else [ada], shown[alias])
            assert ada.heard == {shown[each] for each in ("all", "sse", "web")[:count]}
        assert ben.heard == {shown["web"]}


async def update(session: ClientSession, alias: str, ears: list[Ear], uri: str) -> None:
    """Have a server say that what is watched changed, until all these heard; then it is still.

    It says so as soon as its updates are switched on, to whoever is subscribed by then.
    """

    async def switched() -> str:
        told = await session.call_tool(f"{alias}__toggle-subscriber-updates", {})
        return told.content[0].text.split()[0]

    def heard() -> bool:
        return all(uri in ear.heard for ear in ears)

    with anyio.fail_after(WAIT):
        while not heard():
            while await switched() != "Started":
                pass
            with anyio.move_on_after(0.2):
                while not heard():
                    await anyio.lowlevel.checkpoint()
            assert await switched() == "Stopped"
