"""`gatelodge up`: from settings to a serving process, and back to a closed one."""

import asyncio
import gc
import logging
import signal
import sys
from contextlib import ExitStack
from functools import partial

import uvloop
from msgspec.structs import replace

import gatelodge
from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.telemetry.lines import configure
from gatelodge.adapters.telemetry.tracing import can_trace, open_tracer
from gatelodge.app.announce import (
    ReadyAnnouncement,
    StartupAnnouncer,
    UnstoppableAnnouncer,
    exposures,
)
from gatelodge.app.build import OpenResources, lay
from gatelodge.app.demonstration.moving import is_unfinished, locked, must_be_allowed, tidy
from gatelodge.app.first_start import UNSEEN
from gatelodge.app.keeping.closing import closed_if_it_fails, each_in_turn
from gatelodge.app.keeping.ending import ProcessEnd
from gatelodge.app.listener import must_be_free
from gatelodge.app.node import Node, wire
from gatelodge.app.process import close_memory
from gatelodge.config.load import LoadedSettings
from gatelodge.config.schema import Settings

log = logging.getLogger(__name__)

_COLLECT_AFTER = 50_000
"""Objects made before the collector looks: a call makes dozens, and none of them in a circle."""
_SWITCH_SECONDS = 0.001
"""How long a thread may keep the event loop waiting for the interpreter."""


def run(loaded: LoadedSettings, announce: StartupAnnouncer, *, demo: bool) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises what is wrong, with its remedy."""
    settings = loaded.settings
    configure(settings.telemetry.log_level, settings.telemetry.log_format)
    # Before a key, a token or a payload is in it.
    close_memory()
    sys.setswitchinterval(_SWITCH_SECONDS)
    ending = ProcessEnd(settings.limits.shutdown_seconds)
    announce = UnstoppableAnnouncer(announce)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_stopped(loaded, announce, ending, demo=demo))
    ending.over()


async def _serve_until_stopped(
    loaded: LoadedSettings, announce: StartupAnnouncer, ending: ProcessEnd, *, demo: bool
) -> None:
    log.info("gatelodge %s starts with %s", gatelodge.__version__, loaded.settings.data_dir)
    clock = SystemClock()
    began = clock.boottime()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    # From the first moment on: a signal does not kill a start in the middle of its recovery, but
    # lets it come to its end within the time that a stop has.
    for signum in _stop_signals():
        loop.add_signal_handler(signum, ending.asked, stopping)
    # Before anything is made: a port that is taken must not found an organization.
    must_be_free(loaded.settings.listen)
    can_trace(loaded.settings.telemetry, SecretRefs())
    ground = replace(await _lay_with_history(loaded.settings, demo=demo), origins=loaded.origins)
    log.info("the data directory is open; the logs are looked at and recovered")
    async with closed_if_it_fails(ground.close) as opened:
        tracer = open_tracer(loaded.settings.telemetry, ground.secrets, ground.node)
        if tracer is not None:
            opened(partial(asyncio.to_thread, tracer.close))
        rooms = wire(ground, tracer=tracer)
        node = Node(rooms)
    try:
        address = await node.start()
    except BaseException:
        # Why it did not start is told, whatever the stop says of it.
        await asyncio.gather(node.stop(), return_exceptions=True)
        # The organization stays founded, and the token in clear is kept nowhere.
        if ground.owner_token.take():
            log.warning(UNSEEN)
        raise
    log.info("listening at %s", address)
    # What stands now stands until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)

    async def serve() -> None:
        _announce_ready(ground, announce, address, clock.boottime() - began)
        if demo:
            from gatelodge.app.demonstration.setup import demonstrate

            await demonstrate(rooms, announce)
        waiting = asyncio.ensure_future(stopping.wait())
        await asyncio.wait((waiting, node.broken), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if node.broken.done():
            raise node.broken.result()

    async def stop() -> None:
        log.info("stopping: running calls finish first")
        announce.stopping()
        # Also for a stop that no signal asked for, but a fault: its time has not begun to run yet.
        ending.asked(stopping)
        await node.stop()
        log.info("stopped: every record is closed")

    await each_in_turn(serve, stop)
    announce.stopped()


async def _lay_with_history(settings: Settings, *, demo: bool) -> OpenResources:
    """Open the data directory, after the demo's history was made in one that is empty."""
    if demo:
        must_be_allowed(settings)
    token = ""
    with ExitStack() as held:
        if demo or is_unfinished(settings):
            # Another start must not take for left over what this one makes.
            held.callback((await asyncio.to_thread(locked, settings)).release)
            await asyncio.to_thread(tidy, settings)
        if demo:
            from gatelodge.app.demonstration.past import live_through

            token = await live_through(settings)
    ground = await lay(settings, upgrade=True)
    if token:
        ground.owner_token.put(token)
    return ground


def _stop_signals() -> tuple[signal.Signals, ...]:
    """What asks for an orderly stop: also a terminal that is closed, but not under `nohup`."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def _announce_ready(
    ground: OpenResources, announce: StartupAnnouncer, address: str, seconds: float
) -> None:
    settings, token = ground.settings, ground.owner_token.take()
    announce.ready(
        ReadyAnnouncement(
            address=settings.listen.public_url or address,
            directory=str(ground.directory),
            token=token,
            seconds=seconds,
            warnings=(
                *exposures(settings.listen),
                *_log_name_warnings(settings, first=bool(token)),
            ),
        )
    )


def _log_name_warnings(settings: Settings, *, first: bool) -> tuple[str, ...]:
    """At the first start: the logs keep the name that they were given, so say which."""
    if not first or settings.audit.origin:
        return ()
    said = (
        "its logs are signed in the name of localhost for good; a gate that others will verify "
        "begins with --set audit.origin=gate.example.com in an empty data directory"
    )
    return (said,)
