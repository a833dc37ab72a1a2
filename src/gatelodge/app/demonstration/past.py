"""The demo's fortnight of history: lived in a house of its own, which then becomes the gate's.

It is made where no gate was yet, below the data directory (`moving`), by a whole node under a clock
that is set from act to act; so its log is one that this gate could have written, and is checked as
such. Only then does the gate itself open the directory, with the machine's own clock.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from gatelodge.adapters.keys.system import SystemClock
from gatelodge.app.build import lay
from gatelodge.app.demonstration.clock import DemoClock, DemoIds
from gatelodge.app.demonstration.moving import beside, is_new, move_in
from gatelodge.app.demonstration.people import DemoPeople
from gatelodge.app.demonstration.played import PlayedServers
from gatelodge.app.demonstration.story import DemoFortnight, instant_of, moment_of
from gatelodge.app.first_start import HouseWorld
from gatelodge.app.keeping.closing import closed_if_it_fails, each_in_turn
from gatelodge.app.node import Node, wire
from gatelodge.config.schema import Settings
from gatelodge.core.people import DEMO_NAME

_LEFT: Final = timedelta(minutes=2)
"""How long before now the history ends: what the gate then does comes after it."""


async def live_through(settings: Settings) -> str:
    """Make the history where there is no house yet; returns the owner's token, or nothing."""
    if not await asyncio.to_thread(is_new, settings):
        return ""
    token = await _live(await asyncio.to_thread(beside, settings))
    await asyncio.to_thread(move_in, settings)
    return token


async def _live(settings: Settings) -> str:
    """Found a house, and have everything happen in it."""
    # Nobody but its own people knows a token of it, and it listens to this machine alone.
    listen = replace(settings.listen, host="127.0.0.1", port=0, admin_port=-1, public_url="")
    settings = replace(settings, listen=listen)
    machine = SystemClock()
    now = moment_of(machine.now())
    played = PlayedServers()
    begins = DemoFortnight.begins_before(now - _LEFT)
    clock = DemoClock(machine, instant_of(begins))
    world = HouseWorld(clock=clock, ids=DemoIds(clock), called=DEMO_NAME)
    ground = await lay(settings, world=world)
    async with closed_if_it_fails(ground.close):
        node = Node(wire(ground, servers=played))
    token = ground.owner_token.take()

    async def happen() -> None:
        address = await node.start()
        local = ground.directory / "run" / "admin.sock"
        people = DemoPeople(address, local, played, token)
        day = begins.date()
        try:
            # The log of calls is opened by its first record, and by the time of then.
            await people.looks("owner")
            await ground.sequencer.advance(sign=True)
            for act in DemoFortnight(people, now - _LEFT).acts():
                if moment_of(act.at).date() > day:
                    # Each day is sequenced and signed before the next one begins.
                    await ground.sequencer.advance(sign=True)
                    day = moment_of(act.at).date()
                clock.step_to(act.at)
                await act.do()
            clock.step_to(instant_of(now - _LEFT))
            await people.servers_rest()
        finally:
            people.close()

    # What is warned of in there never was.
    logging.disable(logging.WARNING)
    try:
        await each_in_turn(happen, node.stop)
    finally:
        logging.disable(logging.NOTSET)
    return token
