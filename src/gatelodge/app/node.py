"""A running node: the ground, the view, both faces, and the tasks that drive them."""

import asyncio
import logging
from collections.abc import Coroutine

from anyio import CapacityLimiter
from msgspec import Struct
from msgspec.structs import replace

import gatelodge
from gatelodge.adapters.runtime.process.runtime import process_runtime
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.app.build import OpenResources
from gatelodge.app.faces import LazyApplication, ServedFaces
from gatelodge.app.keeping.closing import each_in_turn
from gatelodge.app.keeping.ending import shown_fault
from gatelodge.app.keeping.readiness import unready_reason
from gatelodge.app.keeping.watchman import DiskWatchman
from gatelodge.app.listener import SocketListener
from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.result import server_info
from gatelodge.core.view import PolicyView
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.catalog.watch import ToolWatcher
from gatelodge.flows.ephemeral import EphemeralUpkeep
from gatelodge.flows.gateway.bridge.asking import OpenBatches
from gatelodge.flows.gateway.bridge.questions import QuestionBridge
from gatelodge.flows.gateway.bridge.rounds import InputRounds, RoundLimits
from gatelodge.flows.gateway.bridge.words import ServerNotices
from gatelodge.flows.gateway.call import CallLimits, CallPath
from gatelodge.flows.gateway.follower import FollowerSettings, ViewFollower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import SessionTable
from gatelodge.flows.gateway.streams import OpenStreams
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.flows.identity.revocation import AccessRevocation
from gatelodge.flows.jobs.runner import JobRunner
from gatelodge.ports.tracing import Tracer
from gatelodge.web.api.app import admin_app
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.face import ApiFace
from gatelodge.web.endpoint.context import EndpointContext
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.endpoint.http.bounds import TrafficCounts
from gatelodge.web.endpoint.origins import origins
from gatelodge.web.telemetry.gathering import NodeInsides

log = logging.getLogger(__name__)


class NodeComponents(Struct, frozen=True, kw_only=True):
    """What a node is made of, wired; nothing is running yet."""

    ground: OpenResources
    upstreams: UpstreamPool
    inflight: InFlight
    offers: OfferMemory
    streams: OpenStreams
    follower: ViewFollower
    calls: CallPath
    watch: ToolWatcher
    upkeep: EphemeralUpkeep
    watchman: DiskWatchman
    endpoint: McpEndpoint
    admin: AdminContext
    tracer: Tracer | None


def wire(ground: OpenResources, *, tracer: Tracer | None = None) -> NodeComponents:
    """Wire a node on this ground; its requests are traced where a tracer is given."""
    settings = ground.settings
    limits = settings.limits
    upstreams = UpstreamPool(
        secrets=ground.secrets,
        limits=limits,
        upstream=settings.upstream,
        version=gatelodge.__version__,
        runtime=process_runtime(settings.hosting, ground.directory),
    )
    inflight, offers = InFlight(), OfferMemory(limits.name_length)
    # The view is asked for each time: the follower, made below, replaces it at every change.
    streams = OpenStreams(ground.clock, offers, upstreams.subscribe, lambda: follower.view)
    follower = _view_follower(ground, inflight)
    authenticator = TokenAuthenticator(follower, ground.peppers, ground.clock)
    calls = _wire_calls(ground, upstreams, inflight)
    watchman = DiskWatchman(ground.database, ground.health, inflight)
    upkeep, jobs = EphemeralUpkeep(ground.ephemeral), ground.job_runner()
    return NodeComponents(
        ground=ground,
        upstreams=upstreams,
        inflight=inflight,
        offers=offers,
        streams=streams,
        follower=follower,
        calls=calls,
        watch=ToolWatcher(
            upstreams, ground.store, ground.clock, ground.ids, offers, lambda: follower.view
        ),
        upkeep=upkeep,
        watchman=watchman,
        endpoint=McpEndpoint(
            _endpoint_context(
                ground,
                follower=follower,
                authenticator=authenticator,
                watchman=watchman,
                calls=calls,
                upstreams=upstreams,
                inflight=inflight,
                streams=streams,
                offers=offers,
                tracer=tracer,
            )
        ),
        admin=_admin_context(
            ground,
            follower,
            authenticator,
            upstreams,
            _node_insides(ground, follower, watchman, upstreams, inflight, upkeep, jobs=jobs),
        ),
        tracer=tracer,
    )


def _view_follower(ground: OpenResources, inflight: InFlight) -> ViewFollower:
    settings = ground.settings
    following = FollowerSettings(
        node=ground.node,
        poll_seconds=settings.store.poll_ms / 1000,
        lease_seconds=settings.store.lease_ms / 1000,
        name_length=settings.limits.name_length,
        shared=bool(settings.store.url),
    )
    return ViewFollower(ground.store, ground.nodes, ground.clock, inflight, following)


def _wire_calls(ground: OpenResources, upstreams: UpstreamPool, inflight: InFlight) -> CallPath:
    limits = ground.settings.limits
    rounds = InputRounds(
        ground.sealer,
        ground.clock,
        ground.ids,
        ground.node,
        inflight,
        limits=RoundLimits(
            seconds=limits.question_seconds, per_principal=limits.parked_per_principal
        ),
    )
    costs = CallLimits(
        durability=ground.settings.audit.durability,
        seconds=limits.call_seconds,
        longest=limits.progress_seconds,
        result_bytes=limits.result_bytes,
        per_principal=limits.calls_per_principal,
    )
    questions = QuestionBridge(rounds)
    return CallPath(upstreams, ground.recorder, inflight, questions, ground.clock, limits=costs)


def _endpoint_context(
    ground: OpenResources,
    *,
    follower: ViewFollower,
    authenticator: TokenAuthenticator,
    watchman: DiskWatchman,
    calls: CallPath,
    upstreams: UpstreamPool,
    inflight: InFlight,
    streams: OpenStreams,
    offers: OfferMemory,
    tracer: Tracer | None,
) -> EndpointContext:
    listen = ground.settings.listen
    waits = ground.settings.audit.durability != "async"
    return EndpointContext(
        follower=follower,
        shut=watchman.shut,
        calls=calls,
        recorder=ground.recorder,
        inflight=inflight,
        streams=streams,
        deks=ground.deks,
        offers=offers,
        asking=OpenBatches(),
        words=ServerNotices(ground.recorder, ground.clock, follower, calls.unclosed, waits=waits),
        upstreams=upstreams,
        sessions=SessionTable(),
        sealer=ground.sealer,
        authenticator=authenticator,
        clock=ground.clock,
        ids=ground.ids,
        limits=ground.settings.limits,
        origins=origins(
            listen.host, listen.public_url, listen.allowed_hosts, listen.allowed_origins
        ),
        rendering=CapacityLimiter(1),
        waits=waits,
        info=server_info(gatelodge.__version__),
        tracer=tracer,
    )


def _admin_context(
    ground: OpenResources,
    follower: ViewFollower,
    authenticator: TokenAuthenticator,
    upstreams: UpstreamPool,
    inside: NodeInsides,
) -> AdminContext:
    return AdminContext(
        store=ground.store,
        nodes=ground.nodes,
        ids=ground.ids,
        clock=ground.clock,
        peppers=ground.peppers,
        authenticator=authenticator,
        signer=ground.signer,
        ledger=ground.ledger,
        guard=ground.guard,
        deks=ground.deks,
        sequencer=ground.sequencer,
        upstreams=upstreams,
        view=lambda: follower.view,
        fresh=follower.fresh,
        unready=inside.unready,
        revocation=AccessRevocation(ground.store, ground.nodes, ground.clock, follower.here),
        settings=ground.settings,
        writing=CapacityLimiter(1),
        inside=inside,
        turn=ground.turn,
    )


def _node_insides(
    ground: OpenResources,
    follower: ViewFollower,
    watchman: DiskWatchman,
    upstreams: UpstreamPool,
    inflight: InFlight,
    upkeep: EphemeralUpkeep,
    *,
    jobs: JobRunner,
) -> NodeInsides:
    return NodeInsides(
        clock=ground.clock,
        follower=follower,
        unready=lambda: unready_reason(ground.recorder, follower, watchman),
        recorder=ground.recorder,
        inflight=inflight,
        health=ground.health,
        faults=watchman.faults,
        journal=ground.journal,
        sequencer=ground.sequencer,
        guard=ground.guard,
        upstreams=upstreams,
        load=upstreams.load,
        entries=lambda: upkeep.counts,
        jobs=jobs,
    )


class Node:
    """One node of the gate, from start to stop. `_tasks` are owned here and end with it."""

    def __init__(self, rooms: NodeComponents) -> None:
        self._rooms = rooms
        self._api = LazyApplication(lambda: admin_app(self._admin_context))  # type: ignore[arg-type, return-value]
        self._admin_context = replace(rooms.admin, traffic=self._traffic_of_listener)
        # Being the operator is a property of the face, and so of its socket: nothing that stands in
        # a request can claim it.
        here, outside = self._make_api_face(local=True), self._make_api_face(local=False)
        self._faces = ServedFaces(rooms.endpoint, outside, here)
        self._listener = SocketListener(rooms.ground.settings, self._faces)
        self._tasks: list[asyncio.Task[None]] = []
        self.broken: asyncio.Future[HouseError] = asyncio.get_running_loop().create_future()
        """Resolved when an invariant is gone: the process must stop."""

    async def start(self) -> str:
        """Recover, load, listen; returns the address. Raises LogForked, StoreDown, Conflict."""
        rooms, health = self._rooms, self._rooms.ground.health
        # Before the port opens: the node that leads closes what a killed process left open, and a
        # log that is not what was signed is never appended to.
        await rooms.ground.recover()
        # Every listener is set before the follower starts, since its first view has to reach them
        # all.
        rooms.offers.on_observed(rooms.streams.on_observed)
        rooms.upstreams.on_updated(rooms.streams.on_updated)
        rooms.upstreams.on_notification(rooms.streams.on_notification)
        rooms.follower.on_view(rooms.offers.on_view)
        rooms.follower.on_view(rooms.streams.on_view)
        rooms.follower.on_view(self._reconcile_upstreams)
        rooms.follower.on_end(rooms.upstreams.leave)
        rooms.follower.on_end(rooms.upkeep.leave)
        await rooms.follower.start()
        # Behind the first view: without one every request would be refused as stale.
        address = await self._listener.open()
        for work in (
            rooms.follower.run(health),
            rooms.follower.beat(health),
            rooms.follower.reap(),
            rooms.ground.sequencer.run(),
            rooms.calls.unclosed.settle(health),
            rooms.streams.run(),
            rooms.watch.run(),
            rooms.upkeep.run(health),
            rooms.admin.jobs.run(rooms.follower, health, alone=not rooms.ground.settings.store.url),
            rooms.watchman.run(),
            self._listener.sweep(),
            self._api.load(),
        ):
            self._spawn_task(work)
        return address

    async def stop(self) -> None:
        """Let running calls finish for a while, then cut them; every record is closed.

        Every part is closed, whatever the others raise. Raises StoreDown, LedgerDown, LogForked.
        """
        # Calls end while servers and journal are still there, so that each is closed by a record.
        # The ground is last: every step before it may still write, and its close signs what was
        # written.
        await each_in_turn(
            self._drain,
            self._listener.close,
            self._close_upstreams,
            self._end_tasks,
            self._rooms.ground.close,
        )

    async def _drain(self) -> None:
        rooms, seconds = self._rooms, self._rooms.ground.settings.limits.shutdown_seconds
        self._listener.stop()
        for stream in rooms.inflight.streams():
            # A stream has no end of its own: waiting for it would use up the time of the calls.
            stream.cut("shutdown")
        began = asyncio.get_running_loop().time()
        await rooms.endpoint.drain(seconds)
        # One deadline holds for all: the admin API gets what the calls have left of it.
        left = seconds - (asyncio.get_running_loop().time() - began)
        for api in (self._faces.api, self._faces.local):
            await api.drain(max(0.0, left))
        rooms.inflight.cut_all("shutdown")
        # A call that was cut still has its closing record to write.
        await rooms.endpoint.drain(1.0)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        # `broken` keeps what a task died of; here it must not keep the stop from going on.
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_upstreams(self) -> None:
        await asyncio.gather(self._rooms.upstreams.close(), self._send_traces())

    async def _send_traces(self) -> None:
        if self._rooms.tracer is not None:
            await asyncio.to_thread(self._rooms.tracer.close)

    def _traffic_of_listener(self) -> TrafficCounts:
        """Of a listener that is made after the face which shows it."""
        return self._listener.traffic()

    def _make_api_face(self, *, local: bool) -> ApiFace:
        rooms = self._rooms
        return ApiFace(
            self._admin_context,
            rooms.ground.recorder,
            rooms.endpoint.origins,
            self._api.loaded,
            local=local,
        )

    def _reconcile_upstreams(self, view: PolicyView) -> None:
        # The swap of a view calls this, and may not wait until servers have started or ended.
        self._spawn_task(self._rooms.upstreams.reconcile(view.state.servers))

    def _spawn_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._break_on_failed_task)

    def _break_on_failed_task(self, task: asyncio.Task[None]) -> None:
        """Nothing is spawned and forgotten: what one of our tasks dies of stops the node."""
        if task in self._tasks:
            self._tasks.remove(task)
        fault = None if task.cancelled() else task.exception()
        if fault is None:
            return
        if self.broken.done():
            # The first one is what the process ends with; this one is told nowhere else.
            log.error("another task of the gate died of %s", type(fault).__name__, exc_info=fault)
        else:
            self.broken.set_result(shown_fault(fault))
