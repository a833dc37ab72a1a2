"""The demo sets up its servers together, and ends together."""

import asyncio
from types import SimpleNamespace

import pytest

from gatelodge.app import demo
from gatelodge.core.errors import StoreDown


class Store:
    """A store in which no server stands yet."""

    async def read(self, _work):
        return ()


async def nothing(*_given):
    return None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_cannot_be_set_up_ends_the_others_before_the_fault_is_told(monkeypatch):
    under_way, ended = asyncio.Event(), []

    async def set_up(_rooms, _workspace, offer):
        if offer == "fails":
            await under_way.wait()
            raise StoreDown("the store is gone")
        try:
            under_way.set()
            await asyncio.Event().wait()
        finally:
            ended.append(offer)

    offers = {
        name: SimpleNamespace(alias=name, installed=True) for name in ("one", "fails", "other")
    }
    monkeypatch.setattr(demo, "offered", lambda: tuple(offers.values()))
    monkeypatch.setattr(demo, "_change_store_as_system", nothing)
    monkeypatch.setattr(
        demo, "_set_up_demo_server", lambda rooms, place, offer: set_up(rooms, place, offer.alias)
    )
    rooms = SimpleNamespace(ground=SimpleNamespace(store=Store()))
    announce = SimpleNamespace(step=lambda _text: None, demonstrated=lambda: None)
    with pytest.raises(StoreDown):
        await demo.demonstrate(rooms, announce)
    assert sorted(ended) == ["one", "other"]
