"""Upkeep of short-lived entries: nobody whose access ended is forgotten while the store is away."""

import asyncio
from pathlib import Path

import pytest
from tests.gate import WAIT
from tests.ledgers import new_database

from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.store.shared.ephemeral import SqlEphemeral
from gatelodge.core.errors import StoreDown
from gatelodge.core.ids import PrincipalId
from gatelodge.flows import ephemeral
from gatelodge.flows.ephemeral import EphemeralUpkeep
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.ephemeral import EphemeralKind

KIND = EphemeralKind(name="code", value_bytes=10, per_principal=9, of_strangers=9, total=99)
ANN = PrincipalId("mem_ann")


class Wayward(SqlEphemeral):
    """A store that is away while `away` is set."""

    away = False

    async def drop_of(self, principal: str) -> int:
        if self.away:
            raise StoreDown("the store failed")
        return await super().drop_of(principal)


@pytest.fixture
def kept(tmp_path: Path):
    database = new_database(tmp_path)
    yield Wayward(database, SystemClock())
    database.close()


@pytest.mark.anyio
async def test_who_ended_while_the_store_was_away_loses_what_was_kept_when_it_is_back(
    kept: Wayward,
):
    upkeep = EphemeralUpkeep(kept)
    await kept.put(KIND, "one", b"v", seconds=60, principal=ANN)
    await kept.put(KIND, "two", b"v", seconds=60, principal="")
    kept.away = True
    upkeep.leave(ANN)
    with pytest.raises(StoreDown):
        await upkeep.step()
    kept.away = False
    await upkeep.step()
    assert await kept.get(KIND, "one") is None
    assert upkeep.counts == {"code": 1}


@pytest.mark.anyio
async def test_an_end_is_acted_on_at_once_and_a_fault_is_told(
    kept: Wayward, monkeypatch: pytest.MonkeyPatch
):
    clock, looks = SystemClock(), asyncio.Event()
    health, upkeep = NodeHealth(clock.boottime), EphemeralUpkeep(kept)
    dropped = kept.drop_of

    async def told(principal: str) -> int:
        try:
            return await dropped(principal)
        finally:
            looks.set()

    monkeypatch.setattr(kept, "drop_of", told)
    monkeypatch.setattr("gatelodge.flows.health.RED_SECONDS", 0.0)
    await kept.put(KIND, "one", b"v", seconds=60, principal=ANN)
    running = asyncio.get_running_loop().create_task(upkeep.run(health))
    async with asyncio.timeout(WAIT):
        upkeep.leave(ANN)
        await looks.wait()
        assert await kept.get(KIND, "one") is None
        # From here on the pauses are short: what is seen is that it is tried again.
        monkeypatch.setattr(ephemeral, "SWEEP_SECONDS", 0.005)
        kept.away = True
        looks.clear()
        upkeep.leave(ANN)
        await looks.wait()
        assert "removing short-lived entries" in health.lasting()
        kept.away = False
        looks.clear()
        await looks.wait()
    running.cancel()
    assert await kept.counts() == {}
