"""Short-lived entries in a running node: they end with their principal's access, and are shown."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gate import WAIT, Gate
from tests.postgres import fresh_database

from gatelodge.app.build import lay
from gatelodge.app.node import Node, NodeComponents, wire
from gatelodge.config.schema import ListenSettings, Settings, StoreSettings
from gatelodge.core.people import Member, Workspace
from gatelodge.flows.admin import members
from gatelodge.ports.ephemeral import EphemeralKind
from gatelodge.web.api.context import LOCAL, AdminCaller, AdminContext

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SESSION = EphemeralKind(
    name="test.session", value_bytes=10, per_principal=9, of_strangers=9, total=99
)
OPERATOR = AdminCaller(by=LOCAL)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return ""
    return fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def rooms(tmp_path: Path, url: str) -> AsyncIterator[NodeComponents]:
    settings = Settings(
        data_dir=str(tmp_path / "data"), listen=ListenSettings(port=0), store=StoreSettings(url=url)
    )
    made = wire(await lay(settings))
    node = Node(made)
    await node.start()
    yield made
    await node.stop()


async def member(gate: AdminContext, email: str) -> Member:
    (place,) = await gate.read(lambda tx: tx.find(Workspace))
    await gate.change(OPERATOR, lambda act: members.add(act, place.id, email))
    (found,) = await gate.read(lambda tx: tx.find(Member, workspace=place.id, email=email))
    return found


async def test_the_entries_of_whoever_is_suspended_go_and_the_others_are_shown_by_kind(
    rooms: NodeComponents, tmp_path: Path
) -> None:
    kept = rooms.ground.ephemeral
    ann, bob = [await member(rooms.admin, f"{each}@example.test") for each in ("ann", "bob")]
    for key, whose in (("a1", ann), ("a2", ann), ("b1", bob)):
        await kept.put(SESSION, key, b"v", seconds=60, principal=whose.id)
    await rooms.admin.change(OPERATOR, lambda act: members.suspend(act, ann))
    async with asyncio.timeout(WAIT):
        while await kept.counts() != {"test.session": 1}:  # noqa: ASYNC110 - a row sets no event
            await asyncio.sleep(0.01)
    assert await kept.get(SESSION, "b1") == b"v"
    async with asyncio.timeout(WAIT):
        while rooms.upkeep.counts != {"test.session": 1}:  # noqa: ASYNC110 - a step sets no event
            await asyncio.sleep(0.01)
    gate = Gate(tmp_path / "data")
    assert (await asyncio.to_thread(gate.cli, "debug"))["entries"] == {"test.session": 1}
    table = (await asyncio.to_thread(gate.command, "debug")).stdout
    assert "test.session  1" in table
    assert ann.id not in table
