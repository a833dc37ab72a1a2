"""`gatelodge up`: from settings to a serving process, and back to a closed one."""

import asyncio
import gc
import logging
import signal
import sys

import uvloop

import gatelodge
from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.telemetry.lines import configure
from gatelodge.app.announce import Announce, Ready, exposures
from gatelodge.app.build import lay
from gatelodge.app.first_start import UNSEEN
from gatelodge.app.keeping.ending import Ending
from gatelodge.app.listener import must_be_free
from gatelodge.app.node import Node, wire
from gatelodge.app.process import close_memory
from gatelodge.config.schema import Settings

log = logging.getLogger(__name__)

_COLLECT_AFTER = 50_000
"""Objects made before the collector looks: a call makes dozens, and none of them in a circle."""
_SWITCH_SECONDS = 0.001
"""How long a thread may keep the event loop waiting for the interpreter."""


def run(settings: Settings, announce: Announce, *, demo: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises what is wrong, with its remedy."""
    configure(settings.telemetry.log_level, settings.telemetry.log_format)
    close_memory()
    sys.setswitchinterval(_SWITCH_SECONDS)
    ending = Ending(settings.limits.shutdown_seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, announce, ending, demo=demo))
    ending.over()


async def _serve(settings: Settings, announce: Announce, ending: Ending, *, demo: bool) -> None:
    log.info("gatelodge %s starts with %s", gatelodge.__version__, settings.data_dir)
    clock = SystemClock()
    began = clock.boottime()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, ending.asked, stopping)
    # Before anything is made: a port that is taken must not found an organization.
    must_be_free(settings.listen)
    ground = await lay(settings, upgrade=True)
    log.info("the data directory is open; the logs are looked at and recovered")
    rooms = wire(ground)
    node = Node(rooms)
    try:
        address = await node.start()
    except BaseException:
        await node.stop()
        if ground.owner_token.take():
            log.warning(UNSEEN)
        raise
    log.info("listening at %s", address)
    # What stands now stands until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    token = ground.owner_token.take()
    announce.ready(
        Ready(
            address=settings.listen.public_url or address,
            directory=str(ground.directory),
            token=token,
            seconds=clock.boottime() - began,
            warnings=(*exposures(settings.listen), *_named(settings, first=bool(token))),
        )
    )
    try:
        if demo:
            from gatelodge.app.demo import demonstrate

            await demonstrate(rooms, announce)
        waiting = asyncio.ensure_future(stopping.wait())
        await asyncio.wait((waiting, node.broken), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    finally:
        log.info("stopping: running calls finish first")
        announce.stopping()
        ending.asked(stopping)
        await node.stop()
    log.info("stopped: every record is closed")
    if node.broken.done():
        raise node.broken.result()
    announce.stopped()


def _named(settings: Settings, *, first: bool) -> tuple[str, ...]:
    """At the first start: the logs keep the name that they were given, so say which."""
    if not first or settings.audit.origin:
        return ()
    said = (
        "its logs are signed in the name of localhost for good; a gate that others will verify "
        "begins with --set audit.origin=gate.example.com in an empty data directory"
    )
    return (said,)
