"""Whatever fails while a gate is closed, each part of it is closed, and the first error is told."""

import sqlite3
from contextlib import closing

import pytest

from gatelodge.app.build import lay
from gatelodge.app.keeping.closing import each_in_turn
from gatelodge.app.offline import opened
from gatelodge.config.schema import Settings
from gatelodge.core.errors import HouseError, StoreDown
from gatelodge.ports.store import NodeSeen

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=str(tmp_path / "data"))


def spoil(settings, *refused):
    """Have the database refuse these changes from now on; without any, it takes all again."""
    with closing(sqlite3.connect(f"{settings.data_dir}/gatelodge.db")) as database:
        for number in range(2):
            database.execute(f"DROP TRIGGER IF EXISTS refused_{number}")
        for number, change in enumerate(refused):
            database.execute(
                f"CREATE TRIGGER refused_{number} BEFORE {change} "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )


@pytest.mark.parametrize(
    "refused",
    [
        ("DELETE ON nodes",),
        ("INSERT ON checkpoint",),
        ("DELETE ON nodes", "INSERT ON checkpoint"),
    ],
    ids=" and ".join,
)
async def test_a_gate_whose_last_changes_are_refused_leaves_its_directory_to_the_next(
    settings, refused
):
    ground = await lay(settings)
    await ground.recover()
    await ground.nodes.acknowledge(
        NodeSeen(node=ground.node, boot=ground.node, applied=0, seen_at=0, lease_ms=1000)
    )
    spoil(settings, *refused)
    with pytest.raises(StoreDown):
        await ground.close()
    spoil(settings)
    again = await lay(settings)
    await again.recover()
    await again.close()


@pytest.mark.slow
async def test_a_command_whose_last_changes_are_refused_leaves_its_directory_to_the_next(settings):
    await (await lay(settings)).close()
    with pytest.raises(StoreDown):
        async with opened(settings):
            spoil(settings, "DELETE ON nodes")
    spoil(settings)
    async with opened(settings):
        pass


async def test_every_step_is_taken_and_the_first_error_is_raised():
    taken = []

    def step(name):
        taken.append(name)
        if name != "good":
            raise StoreDown(name)

    async def later(name):
        step(name)

    with pytest.raises(HouseError, match="first"):
        await each_in_turn(
            lambda: step("good"),
            lambda: later("first"),
            lambda: step("second"),
            lambda: later("good"),
        )
    assert taken == ["good", "first", "second", "good"]
