"""A running node: the ground, the view, both faces, and the tasks that drive them."""

import asyncio
from collections.abc import Coroutine

from anyio import CapacityLimiter
from msgspec import Struct

import gatelodge
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.adapters.upstream.stdio.places import site_of
from gatelodge.app.application import Application
from gatelodge.app.build import Ground
from gatelodge.app.keeping.watchman import STORE, Watchman
from gatelodge.app.listener import Faces, Listener
from gatelodge.core.errors import (
    Broken,
    HouseError,
    LedgerDown,
    NotYet,
    Stale,
    StoreDown,
    Unavailable,
)
from gatelodge.core.protocol.result import server_info
from gatelodge.core.view import View
from gatelodge.flows.catalog.offers import Offers
from gatelodge.flows.catalog.watch import Watch
from gatelodge.flows.gateway.bridge.asking import Asking
from gatelodge.flows.gateway.bridge.questions import Questions
from gatelodge.flows.gateway.bridge.rounds import RoundLimits, Rounds
from gatelodge.flows.gateway.bridge.words import Words
from gatelodge.flows.gateway.call import CallLimits, Calls
from gatelodge.flows.gateway.follower import Follower, Following
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import Sessions
from gatelodge.flows.gateway.streams import Streams
from gatelodge.flows.identity.revocation import Revocation
from gatelodge.web.api.app import admin_app
from gatelodge.web.api.asgi import AsgiApp
from gatelodge.web.api.face import ApiFace
from gatelodge.web.api.gate import AdminGate
from gatelodge.web.endpoint.endpoint import Endpoint
from gatelodge.web.endpoint.gate import Gate
from gatelodge.web.endpoint.origins import origins

_LOOK = "Look at the store and at the disk of the data directory."
_REMEDIES = {
    STORE: "Make room on its disk, or mend the disk or database that cannot be written.",
    "signing the logs": "Look at the log key and at guard/ in the data directory.",
    "moving records into the logs": "Look at journal/ in the data directory, and at the database.",
}
"""What to do for work that fails."""


class Rooms(Struct, frozen=True, kw_only=True):
    """What a node is made of, wired; nothing is running yet."""

    ground: Ground
    upstreams: UpstreamPool
    inflight: InFlight
    offers: Offers
    streams: Streams
    follower: Follower
    calls: Calls
    watch: Watch
    watchman: Watchman
    endpoint: Endpoint
    admin: AdminGate


def wire(ground: Ground) -> Rooms:
    """Wire a node on this ground."""
    settings = ground.settings
    limits = settings.limits
    upstreams = UpstreamPool(
        secrets=ground.secrets,
        limits=limits,
        hosting=settings.hosting,
        version=gatelodge.__version__,
        site=site_of(settings.hosting.cache_dir, ground.directory),
    )
    inflight, offers = InFlight(), Offers(limits.name_length)
    streams = Streams(ground.clock, offers, upstreams.subscribe, lambda: follower.view)
    following = Following(
        node=ground.node,
        poll_seconds=settings.store.poll_ms / 1000,
        lease_seconds=settings.store.lease_ms / 1000,
        name_length=limits.name_length,
        shared=bool(settings.store.url),
    )
    follower = Follower(ground.store, ground.nodes, ground.clock, inflight, following)
    calls = _calls(ground, upstreams, inflight)
    revocation = Revocation(ground.store, ground.nodes, ground.clock, follower.here)
    watchman = Watchman(ground.database, ground.health, inflight)
    return Rooms(
        ground=ground,
        upstreams=upstreams,
        inflight=inflight,
        offers=offers,
        streams=streams,
        follower=follower,
        calls=calls,
        watch=Watch(
            upstreams, ground.store, ground.clock, ground.ids, offers, lambda: follower.view
        ),
        watchman=watchman,
        endpoint=Endpoint(
            _gate(ground, (follower, watchman), (calls, upstreams), (inflight, streams, offers))
        ),
        admin=_admin(ground, (follower, watchman), upstreams, revocation),
    )


def _calls(ground: Ground, upstreams: UpstreamPool, inflight: InFlight) -> Calls:
    limits = ground.settings.limits
    rounds = Rounds(
        (ground.sealer, ground.clock, ground.ids),
        ground.node,
        inflight,
        RoundLimits(seconds=limits.question_seconds, per_principal=limits.parked_per_principal),
    )
    costs = CallLimits(
        durability=ground.settings.audit.durability,
        seconds=limits.call_seconds,
        longest=limits.progress_seconds,
        result_bytes=limits.result_bytes,
        per_principal=limits.calls_per_principal,
    )
    world = (ground.clock, costs)
    return Calls(upstreams, ground.recorder, inflight, Questions(rounds), world)


def _gate(
    ground: Ground,
    seeing: tuple[Follower, Watchman],
    paths: tuple[Calls, UpstreamPool],
    running: tuple[InFlight, Streams, Offers],
) -> Gate:
    listen = ground.settings.listen
    follower, watchman = seeing
    calls, upstreams = paths
    inflight, streams, offers = running
    waits = ground.settings.audit.durability != "async"
    return Gate(
        follower=follower,
        shut=watchman.shut,
        calls=calls,
        recorder=ground.recorder,
        inflight=inflight,
        streams=streams,
        deks=ground.deks,
        offers=offers,
        asking=Asking(),
        words=Words(ground.recorder, ground.clock, follower, waits=waits),
        upstreams=upstreams,
        sessions=Sessions(),
        sealer=ground.sealer,
        peppers=ground.peppers,
        clock=ground.clock,
        ids=ground.ids,
        limits=ground.settings.limits,
        origins=origins(
            listen.host, listen.public_url, listen.allowed_hosts, listen.allowed_origins
        ),
        rendering=CapacityLimiter(1),
        waits=waits,
        info=server_info(gatelodge.__version__),
    )


def _admin(
    ground: Ground,
    seeing: tuple[Follower, Watchman],
    upstreams: UpstreamPool,
    revocation: Revocation,
) -> AdminGate:
    follower, watchman = seeing
    return AdminGate(
        store=ground.store,
        nodes=ground.nodes,
        ids=ground.ids,
        clock=ground.clock,
        peppers=ground.peppers,
        signer=ground.signer,
        ledger=ground.ledger,
        guard=ground.guard,
        deks=ground.deks,
        sequencer=ground.sequencer,
        upstreams=upstreams,
        view=lambda: follower.view,
        fresh=follower.fresh,
        unready=lambda: _unready(ground, follower, watchman),
        revocation=revocation,
        settings=ground.settings,
        writing=CapacityLimiter(1),
    )


def _unready(ground: Ground, follower: Follower, watchman: Watchman) -> Unavailable | None:
    """Why this node serves no call now."""
    if follower.diverged:
        return StoreDown(follower.diverged, remedy="See docs/operations.md, 'Restored database'.")
    if not follower.fresh():
        return Stale("this node cannot prove that its view is fresh", retry_after=1.0)
    if ground.recorder.failed:
        return LedgerDown("records cannot be made durable, so no call is forwarded")
    for work, why in watchman.faults().items():
        remedy = f"{_REMEDIES.get(work, _LOOK)} It goes on by itself."
        return NotYet(f"{work} fails: {why}", retry_after=1.0, remedy=remedy)
    return None


class Node:
    """One node of the gate, from start to stop. `_tasks` are owned here and end with it."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._api = Application(self._application)
        here, outside = self._face(local=True), self._face(local=False)
        self._faces = Faces(rooms.endpoint, outside, here)
        self._listener = Listener(rooms.ground.settings, self._faces)
        self._tasks: list[asyncio.Task[None]] = []
        self.broken: asyncio.Future[HouseError] = asyncio.get_running_loop().create_future()
        """Resolved when an invariant is gone: the process must stop."""

    async def start(self) -> str:
        """Recover, load, listen; returns the address. Raises LogForked, StoreDown, Conflict."""
        rooms, health = self._rooms, self._rooms.ground.health
        await rooms.ground.recover()
        rooms.offers.on_observed(rooms.streams.on_observed)
        rooms.upstreams.on_updated(rooms.streams.on_updated)
        rooms.upstreams.on_notification(rooms.streams.on_notification)
        rooms.follower.on_view(rooms.offers.on_view)
        rooms.follower.on_view(rooms.streams.on_view)
        rooms.follower.on_view(self._reconcile)
        rooms.follower.on_end(rooms.upstreams.leave)
        await rooms.follower.start()
        address = await self._listener.open()
        for work in (
            rooms.follower.run(health),
            rooms.follower.beat(health),
            rooms.follower.reap(),
            rooms.ground.sequencer.run(),
            rooms.calls.settle(health),
            rooms.streams.run(),
            rooms.watch.run(),
            rooms.watchman.run(),
            self._listener.sweep(),
            self._api.load(),
        ):
            self._spawn(work)
        return address

    async def stop(self) -> None:
        """Let running calls finish for a while, then cut them; every record is closed."""
        rooms, seconds = self._rooms, self._rooms.ground.settings.limits.shutdown_seconds
        self._listener.stop()
        for stream in rooms.inflight.streams():
            stream.cut("shutdown")
        began = asyncio.get_running_loop().time()
        await rooms.endpoint.drain(seconds)
        left = seconds - (asyncio.get_running_loop().time() - began)
        for api in (self._faces.api, self._faces.local):
            await api.drain(max(0.0, left))
        rooms.inflight.cut_all("shutdown")
        await rooms.endpoint.drain(1.0)
        self._listener.close()
        await rooms.upstreams.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await rooms.ground.nodes.leave(rooms.ground.node)
        await rooms.ground.close()

    def _application(self) -> AsgiApp:
        return admin_app(self._rooms.admin)  # type: ignore[return-value]

    def _face(self, *, local: bool) -> ApiFace:
        rooms = self._rooms
        return ApiFace(
            rooms.admin,
            rooms.ground.recorder,
            rooms.endpoint.origins,
            self._api.loaded,
            local=local,
        )

    def _reconcile(self, view: View) -> None:
        self._spawn(self._rooms.upstreams.reconcile(view.state.servers))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing is spawned and forgotten: what one of our tasks dies of stops the node."""
        if task in self._tasks:
            self._tasks.remove(task)
        if task.cancelled() or self.broken.done():
            return
        fault = task.exception()
        if fault is not None:
            self.broken.set_result(_named(fault))


def _named(fault: BaseException) -> HouseError:
    """What a task died of, as an error that may be shown."""
    if isinstance(fault, HouseError):
        return fault
    return Broken(f"a task of the gate died of {type(fault).__name__}", remedy="Restart the gate.")
