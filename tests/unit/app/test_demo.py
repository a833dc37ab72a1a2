"""The demo sets up its servers together, and ends together."""

import asyncio
from types import SimpleNamespace

import pytest

from gatelodge.app.demonstration import setup
from gatelodge.core.errors import StoreDown


class Nothing(tuple):
    __slots__ = ()
    demo = False


class Store:
    """A store in which no server stands yet."""

    async def read(self, _work):
        return Nothing()


async def nothing(*_given):
    return None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_cannot_be_set_up_ends_the_others_before_the_fault_is_told(monkeypatch):
    under_way, ended = asyncio.Event(), []

    async def build(_rooms, offer):
        if offer.alias == "fails":
            await under_way.wait()
            raise StoreDown("the store is gone")
        try:
            under_way.set()
            await asyncio.Event().wait()
        finally:
            ended.append(offer.alias)

    offers = {name: SimpleNamespace(alias=name) for name in ("one", "fails", "other")}
    monkeypatch.setattr(setup, "SERVERS", tuple(offers.values()))
    monkeypatch.setattr(setup, "_change_store_as_system", nothing)
    monkeypatch.setattr(setup, "_build_demo_server", build)
    rooms = SimpleNamespace(ground=SimpleNamespace(store=Store()))
    announce = SimpleNamespace(step=lambda _text: None, demonstrated=lambda: None)
    with pytest.raises(StoreDown):
        await setup.demonstrate(rooms, announce)
    assert sorted(ended) == ["one", "other"]
