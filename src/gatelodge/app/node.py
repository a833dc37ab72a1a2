"""A running node: the ground, the view, both faces, and the tasks that drive them."""

import asyncio
import logging
from collections.abc import Coroutine

from anyio import CapacityLimiter
from msgspec import Struct
from msgspec.structs import replace

import gatelodge
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.app.build import OpenResources
from gatelodge.app.faces import LazyApplications
from gatelodge.app.keeping.closing import each_in_turn
from gatelodge.app.keeping.ending import shown_fault
from gatelodge.app.keeping.readiness import unready_reason
from gatelodge.app.keeping.watchman import DiskWatchman
from gatelodge.app.listener import SocketListener
from gatelodge.app.wiring.calls import NodeUpstreams, upstream_pool, wire_calls
from gatelodge.app.wiring.index import index_filler, search_index
from gatelodge.app.wiring.runtimes import artifact_build, image_keeper, recorded_runtime
from gatelodge.app.wiring.trust import evidence_gathering
from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.core.errors import HouseError, name_of_fault
from gatelodge.core.protocol.result import server_info
from gatelodge.core.view import PolicyView
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.catalog.watch import ToolWatcher
from gatelodge.flows.ephemeral import EphemeralUpkeep
from gatelodge.flows.gateway.bridge.asking import OpenBatches
from gatelodge.flows.gateway.bridge.words import ServerNotices
from gatelodge.flows.gateway.call import CallPath
from gatelodge.flows.gateway.follower import FollowerSettings, ViewFollower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import SessionTable
from gatelodge.flows.gateway.streams import OpenStreams
from gatelodge.flows.hosting.artifacts import ArtifactBuild
from gatelodge.flows.hosting.quarantine import QuarantineRecords
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.flows.identity.revocation import AccessRevocation
from gatelodge.flows.jobs.kinds import ARTIFACT
from gatelodge.flows.jobs.runner import JobRunner
from gatelodge.ports.tracing import Tracer
from gatelodge.web.api.context import AdminContext
from gatelodge.web.endpoint.context import EndpointContext
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.endpoint.http.bounds import TrafficCounts
from gatelodge.web.endpoint.origins import origins
from gatelodge.web.telemetry.gathering import NodeInsides

log = logging.getLogger(__name__)


class NodeComponents(Struct, frozen=True, kw_only=True):
    """What a node is made of, wired; nothing is running yet."""

    ground: OpenResources
    hosted: RecordedRuntime
    artifacts: ArtifactBuild
    upstreams: NodeUpstreams
    inflight: InFlight
    offers: OfferMemory
    streams: OpenStreams
    follower: ViewFollower
    calls: CallPath
    watch: ToolWatcher
    upkeep: EphemeralUpkeep
    quarantine: QuarantineRecords
    watchman: DiskWatchman
    endpoint: McpEndpoint
    admin: AdminContext
    tracer: Tracer | None


def wire(
    ground: OpenResources, *, tracer: Tracer | None = None, servers: NodeUpstreams | None = None
) -> NodeComponents:
    """Wire a node, traced where there is a tracer; `servers` = in the place of real ones."""
    images, uids = image_keeper(ground), UidAllocator(ground.settings.hosting.first_uid)
    hosted = recorded_runtime(ground, images, uids)
    upstreams = servers or upstream_pool(ground, hosted)
    inflight, offers = InFlight(), OfferMemory(ground.settings.limits.name_length)
    # The view is asked for each time: the follower, made below, replaces it at every change.
    streams = OpenStreams(ground.clock, offers, upstreams.subscribe, lambda: follower.view)
    follower = _view_follower(ground, inflight)
    authenticator = TokenAuthenticator(follower, ground.peppers, ground.clock)
    calls = wire_calls(ground, upstreams, inflight)
    watchman = DiskWatchman(ground.database, ground.health, inflight)
    upkeep = EphemeralUpkeep(ground.ephemeral)
    artifacts = artifact_build(ground, images, uids)
    jobs = ground.job_runner({ARTIFACT: artifacts.run})
    return NodeComponents(
        ground=ground,
        hosted=hosted,
        artifacts=artifacts,
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
        quarantine=QuarantineRecords(ground.store, ground.clock, ground.ids, lambda: follower.view),
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
            hosted,
            artifacts=artifacts,
            inside=_node_insides(
                ground, follower, watchman, upstreams, inflight, upkeep, jobs=jobs, hosted=hosted
            ),
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


def _endpoint_context(
    ground: OpenResources,
    *,
    follower: ViewFollower,
    authenticator: TokenAuthenticator,
    watchman: DiskWatchman,
    calls: CallPath,
    upstreams: NodeUpstreams,
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
    upstreams: NodeUpstreams,
    hosted: RecordedRuntime,
    *,
    artifacts: ArtifactBuild,
    inside: NodeInsides,
) -> AdminContext:
    return AdminContext(
        store=ground.store,
        nodes=ground.nodes,
        ids=ground.ids,
        clock=ground.clock,
        peppers=ground.peppers,
        vault=ground.secrets.sealer,
        authenticator=authenticator,
        signer=ground.signer,
        ledger=ground.ledger,
        index=search_index(ground.database),
        guard=ground.guard,
        deks=ground.deks,
        sequencer=ground.sequencer,
        upstreams=upstreams,
        hosted=hosted,
        artifacts=artifacts,
        trust=evidence_gathering(ground, artifacts.keeper),
        ephemeral=ground.ephemeral,
        view=lambda: follower.view,
        fresh=follower.fresh,
        unready=inside.unready,
        revocation=AccessRevocation(ground.store, ground.nodes, ground.clock, follower.here),
        settings=ground.settings,
        origins=ground.origins,
        inside=inside,
        turn=ground.turn,
        own_changes=RateLimit(ground.settings.limits.own_changes_per_minute),
        own_looks=RateLimit(ground.settings.limits.own_changes_per_minute),
    )


def _node_insides(
    ground: OpenResources,
    follower: ViewFollower,
    watchman: DiskWatchman,
    upstreams: NodeUpstreams,
    inflight: InFlight,
    upkeep: EphemeralUpkeep,
    *,
    jobs: JobRunner,
    hosted: RecordedRuntime,
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
        usage=hosted.usage,
        entries=lambda: upkeep.counts,
        jobs=jobs,
    )


class Node:
    """One node of the gate, from start to stop. `_tasks` are owned here and end with it."""

    def __init__(self, rooms: NodeComponents) -> None:
        self._rooms = rooms
        context = replace(rooms.admin, traffic=self._traffic_of_listener)
        self._applications = LazyApplications(context, rooms.ground.recorder)
        self._faces = self._applications.faces(rooms.endpoint)
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
        # Every listener is set before the follower starts: its first view has to reach them all.
        rooms.offers.on_observed(rooms.streams.on_observed)
        rooms.upstreams.on_updated(rooms.streams.on_updated)
        rooms.upstreams.on_notification(rooms.streams.on_notification)
        rooms.upstreams.on_quarantine(rooms.quarantine.note)
        rooms.follower.on_view(rooms.offers.on_view)
        rooms.follower.on_view(rooms.streams.on_view)
        rooms.follower.on_view(rooms.ground.secrets.watcher(rooms.upstreams.leave))
        rooms.follower.on_view(self._reconcile_upstreams)
        # Said before it is done, so that the records of what ends tell why.
        rooms.follower.on_end(lambda who: rooms.hosted.foretell("revoked", owner=who))
        rooms.follower.on_end(rooms.upstreams.leave)
        # Behind that, for a program that takes its time to go: access has ended now.
        rooms.follower.on_end(lambda who: self._spawn_task(rooms.hosted.end_owned(who)))
        rooms.follower.on_kill(lambda server: self._spawn_task(rooms.hosted.end_server(server)))
        rooms.follower.on_end(rooms.upkeep.leave)
        await rooms.follower.start()
        # Behind the first view: without one every request would be refused as stale.
        address = await self._listener.open()
        for work in (
            rooms.follower.run(health),
            rooms.follower.beat(health),
            rooms.follower.reap(),
            rooms.ground.sequencer.run(),
            index_filler(rooms.ground, rooms.admin.index).run(),
            rooms.calls.unclosed.settle(health),
            rooms.streams.run(),
            rooms.watch.run(),
            rooms.upkeep.run(health),
            rooms.hosted.usage.run(),
            rooms.quarantine.run(),
            rooms.admin.jobs.run(rooms.follower, health, alone=not rooms.ground.settings.store.url),
            rooms.watchman.run(),
            self._listener.sweep(),
            self._applications.load(),
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
        for api in self._faces.each:
            api.end_streams()
        began = asyncio.get_running_loop().time()
        await rooms.endpoint.drain(seconds)
        # One deadline holds for all: the admin API gets what the calls have left of it.
        left = seconds - (asyncio.get_running_loop().time() - began)
        for api in self._faces.each:
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
        self._rooms.hosted.foretell("gate_stopped")
        await asyncio.gather(self._rooms.upstreams.close(), self._send_traces())

    async def _send_traces(self) -> None:
        if self._rooms.tracer is not None:
            await asyncio.to_thread(self._rooms.tracer.close)

    def _traffic_of_listener(self) -> TrafficCounts:
        """Of a listener that is made after the face which shows it."""
        return self._listener.traffic()

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
        shown, name = shown_fault(fault), name_of_fault(fault)
        if self.broken.done():
            # The first one is what the process ends with; this one is told nowhere else.
            log.error("another task of the gate died of %s", name, exc_info=fault)
            return
        if shown is not fault:
            # The process ends with its type; the line tells the place as well.
            log.error("a task of the gate died of %s", name, exc_info=fault)
        self.broken.set_result(shown)
