"""One MCP session with one server, whatever moves its messages.

What MCP says of a session is written here, once: which era is spoken, the handshake, the log level,
what is watched, what a request looks like, and what a server is told when nobody waits any more.
What the server says comes in through `inbound`; bytes are moved by a transport.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable

from msgspec import UNSET, Raw, structs

from gatelodge.adapters.upstream.inbound import InboundMessages
from gatelodge.adapters.upstream.pending import PendingRequest, PendingRequests
from gatelodge.adapters.upstream.subscriptions import WatchedResources
from gatelodge.adapters.upstream.transport import (
    ChangeStream,
    SessionOwner,
    TransportContext,
    UpstreamTransport,
)
from gatelodge.core.catalog.server import EraWish
from gatelodge.core.errors import (
    HouseError,
    LaunchRefused,
    OwnSecretMissing,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamUnreachable,
)
from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.upstream_era import (
    ServerFeatures,
    ServerHello,
    capable,
    discovered,
    initialized,
)
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply, UpstreamRequest

DISCOVER = "server/discover"
TELL_SECONDS = 5.0
"""How long a server may take to answer what the gate itself asks in a session."""
_NEVER_STARTED = (LaunchRefused, OwnSecretMissing)


class McpSession:
    """What is said and heard between the gate and one server. Owned by its connection.

    `asker` is for whom it is, and what it declares; `modern` the era that is spoken now.
    """

    def __init__(
        self,
        make: "Callable[[McpSession], UpstreamTransport]",
        wish: EraWish,
        context: TransportContext,
        owner: SessionOwner,
        asker: OnBehalfOf,
    ) -> None:
        self.wish = wish
        self.context = context
        self.owner = owner
        self.asker = asker
        self.modern = False
        self.transport = self._first = make(self)
        self.flights = PendingRequests(owner, self.transport.kind)
        self.watching = WatchedResources(owner)
        self.inbound = InboundMessages(self.flights, asker, owner, self._say_message)
        self._can = ServerFeatures()

    async def open(self) -> ServerHello:
        """Meet the server and agree on an era. Raises UpstreamError or KeyUnreachable.

        Why a server was not met is told with its own last words, for an admin.
        """
        self._speak_era(modern=False)
        try:
            await self._first.open()
            hello = None
            if self.wish == "modern" or (self.wish == "auto" and not self._first.known_legacy):
                hello = await self._discover_modern()
            if hello is None:
                hello = await self._initialize_or_fall_back()
            self._can = capable(hello.capabilities)
            await self.transport.met(hello.era)
        except HouseError as fault:
            fault.said = self.transport.told().said
            raise
        self._speak_era(modern=hello.era == "modern")
        return hello

    async def listen(self, *, again: bool) -> None:
        """Hear of changes while the server is ready; `again` = it was lost, and is met anew."""
        if self.modern:
            await self.watching.listen(self._can, self._open_subscription, missed=again)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.transport.listen())
            if self._can.subscribes:
                group.create_task(self.watching.keep_subscribed(self._subscribe_to, missed=again))

    async def let_go(self) -> None:
        """The server was lost: leave nothing running, and begin with what is newer next time."""
        await self.transport.let_go()
        self.transport = self._first

    async def shut(self) -> None:
        """End whatever is open, in order."""
        await self.transport.shut()
        if self.transport is not self._first:
            await self._first.shut()

    def transmit(self, flight: PendingRequest) -> None:
        """Write a request in the era of the session (hot path)."""
        request = flight.request
        if self.modern or request.method == DISCOVER:
            opening = upstream.modern_meta(
                self.context.version, request.client, request.asker.capabilities, flight.level
            )
        else:
            opening = b"{"
        token = flight.number if flight.token is not None else 0
        meta = upstream.meta_bytes(opening, request.meta, token)
        body = upstream.request_bytes(flight.number, request.method, request.params, meta)
        self.transport.transmit(flight, body)

    def cancel(self, flight: PendingRequest, reason: str) -> None:
        """Tell the server that nobody waits, and that nobody will answer what it still asks."""
        asked = () if flight.asked is None else flight.asked.rest()
        messages = tuple(upstream.refusal_bytes(each.id) for each in asked)
        # A client must not cancel `initialize` (MCP 2025-11-25 basic/utilities/cancellation).
        if flight.request.method != "initialize":
            messages = (upstream.cancelled_bytes(flight.number, reason), *messages)
        self.transport.cancel(flight, messages)

    async def request(self, asked: UpstreamRequest) -> UpstreamReply:
        """The answer to a request of the gate's own. Raises HouseError."""
        flight = self.flights.add(asked, None)
        flight.own = True
        flight.replayed = True  # whoever asks finds out, and asks again where that makes sense
        self.transmit(flight)
        try:
            return await flight.reply
        finally:
            self.flights.give_up(flight, "cancelled")

    async def _discover_modern(self) -> ServerHello | None:
        """The hello of a modern server; None for another, where that will do."""
        seconds, why = self.context.upstream.start_seconds, ""
        try:
            answer = await self.transport.ask(
                UpstreamRequest(method=DISCOVER, params={}, seconds=seconds)
            )
        except UpstreamError as fault:
            # A legacy server may exit at the question, say nothing, or answer nonsense.
            # What was never started said nothing of its era.
            if not self.transport.silence_is_legacy or isinstance(fault, _NEVER_STARTED):
                raise
            answer, why = None, fault.detail
        meeting = discovered(answer)
        if isinstance(meeting, ServerHello):
            return meeting
        if self.wish == "modern":
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}. {why}".strip())
        return None

    async def _initialize_or_fall_back(self) -> ServerHello:
        """The hello of a legacy server, over an older transport where this one is not spoken."""
        try:
            return await self._initialize_legacy()
        except HouseError as fault:
            older = self.transport.older()
            if older is None:
                raise
            refused = fault
        # A stop in the meantime has to reach the transport that holds the open stream.
        self.transport = older
        try:
            await older.open()
            return await self._initialize_legacy()
        # A cancellation must not leave the stream open either.
        except BaseException as failed:
            await self.let_go()
            if isinstance(failed, UpstreamUnreachable):
                raise refused from None
            raise

    async def _initialize_legacy(self) -> ServerHello:
        transport, asker = self.transport, self.asker
        params = upstream.initialize_params(self.context.version, asker.capabilities)
        seconds = self.context.upstream.start_seconds
        answer = await transport.ask(
            UpstreamRequest(method="initialize", params=params, seconds=seconds)
        )
        if answer is None or answer.result is UNSET:
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        hello = initialized(answer.result)
        if hello is None:
            raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
        pushes = transport.agree(hello.version)
        await transport.tell(notification_body("notifications/initialized"))
        if asker.level and capable(hello.capabilities).logs:
            level = upstream.level_params(asker.level)
            with contextlib.suppress(UpstreamError):  # one that does not know it logs as it likes
                await self.request(
                    UpstreamRequest(method="logging/setLevel", params=level, seconds=TELL_SECONDS)
                )
        return structs.replace(hello, pushes=pushes)

    def _open_subscription(self, params: dict[str, Raw]) -> ChangeStream:
        stream = self.transport.subscribe(params)
        return RequestStream(self, params) if stream is None else stream

    async def _subscribe_to(self, method: str, uri: str) -> bool:
        """True when the server answered, or refused for good; else it may be asked again."""
        params = upstream.uri_params(uri)
        try:
            await self.request(UpstreamRequest(method=method, params=params, seconds=TELL_SECONDS))
        except HouseError as fault:
            return fault.final
        return True

    def _speak_era(self, *, modern: bool) -> None:
        self.modern = self.inbound.modern = modern

    def _say_message(self, message: bytes) -> None:
        self.transport.say(message)


class RequestStream:
    """A subscription as a request that is answered when it is over (`ChangeStream`)."""

    def __init__(self, session: McpSession, params: dict[str, Raw]) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.acknowledged: asyncio.Future[None] = loop.create_future()
        asked = UpstreamRequest(method="subscriptions/listen", params=params, seconds=math.inf)
        self._flight = session.flights.add(asked, self._hear_notification)
        self._flight.reply.add_done_callback(self._report_end)
        session.transmit(self._flight)

    def close(self) -> None:
        """Nothing more is wanted of it: the server is told."""
        self._flight.abort("cancelled")

    def _hear_notification(self, method: str, params: bytes) -> None:  # noqa: ARG002 - a listener's form
        if method == upstream.ACKNOWLEDGED and not self.acknowledged.done():
            self.acknowledged.set_result(None)

    def _report_end(self, reply: "asyncio.Future[UpstreamReply]") -> None:
        lost = reply.cancelled() or reply.exception() is not None
        self.ended.set_result(0 if lost or reply.result().error is None else 200)
