"""One request that a server shall answer, read and authenticated; and the ear that ends it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Raw, Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.bridge.questions import InputRequest
from gatelodge.core.protocol.envelope import Era, Members, given
from gatelodge.core.protocol.upstream import progress_made, progress_restored
from gatelodge.core.protocol.version import META_PROGRESS
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, ToolEntry
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.tracing import RequestTrace
from gatelodge.ports.upstream import OnBehalfOf, UpstreamExchange, UpstreamReply

Notify = Callable[[str, bytes], None]
HELD, HELD_BYTES = 64, 256 * 1024
"""Notifications kept while a call is parked, and their size; the oldest are dropped."""
UNCOUNTED_BYTES = 4096
"""An answer of this size costs no more than its connection, of which nobody has very many."""
_PROGRESS = "notifications/progress"

Put = Callable[[Mapping[str, InputRequest]], Awaitable[dict[str, UpstreamReply]]]
"""Asks a legacy client, on the stream of its own request; an answer that does not come is missing.
"""


class RetryRound(Struct, frozen=True):
    """What a retry brings: the client's answers, and the sealed state as it was given out."""

    responses: Members
    state: str | None


class MonotonicProgress:
    """Hands notifications on, progress only while it rises.

    A server that is asked again begins anew with it, which its client must not see (MCP 2025-11-25
    basic/utilities/progress: it increases with each notification).
    """

    __slots__ = ("_made", "_notify")

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._made: float | None = None

    def __call__(self, method: str, params: bytes) -> None:
        """Hand on, or drop."""
        if method == _PROGRESS:
            made, last = progress_made(params), self._made
            if made is not None and last is not None and made <= last:
                return
            self._made = made
        self._notify(method, params)


class NotificationBuffer:
    """Takes a server's notifications to whoever waits for the call now; keeps a few when nobody."""

    __slots__ = ("_held", "_mute", "_notify", "_size", "_token")

    def __init__(self, notify: Notify | None) -> None:
        self._notify = notify
        self._token: Raw | None = None
        self._mute = False
        """Whoever waits now wants to hear of no progress."""
        self._held: list[tuple[str, bytes]] = []
        self._size = 0

    def __call__(self, method: str, params: bytes) -> None:
        """Hand on, or keep."""
        if self._notify is None:
            self._keep_notification(method, params)
            return
        if method == _PROGRESS:
            if self._mute:
                return
            if self._token is not None:
                params = progress_restored(params, self._token)
        self._notify(method, params)

    def detach(self) -> None:
        """Nobody waits for now."""
        self._notify = None

    def attach(self, notify: Notify | None, meta: Members) -> None:
        """Somebody waits again, with a progress token of their own; what was kept goes out.

        Without a token they hear of no progress, neither of what was kept nor of what comes.
        """
        token = given(meta, META_PROGRESS)
        self._notify, self._token, self._mute = notify or _drop_notification, token, token is None
        held, self._held, self._size = self._held, [], 0
        for method, params in held:
            self(method, params)

    def _keep_notification(self, method: str, params: bytes) -> None:
        # A server may say any amount while a person thinks, so both count and size are bounded.
        self._held.append((method, params))
        self._size += len(params)
        while len(self._held) > HELD or self._size > HELD_BYTES:
            self._size -= len(self._held.pop(0)[1])


class CallRequest(Struct, frozen=True, kw_only=True):
    """One request for a tool, prompt, resource, completion or task.

    `find` resolves what it names; `mirrored` says whether its headers repeat the arguments that a
    tool wants repeated. `params` are its own, without what belongs to a round. `notify` takes a
    server's notifications to the client (None: it hears none), and `hearing` is the same for a
    client that may leave the call and take it up again. `put` asks a legacy client; a modern one is
    answered instead. `tasks` = a task is an answer that it understands.
    """

    who: PrincipalEntry
    credential: CredentialEntry
    caller: RecordedCaller
    workspace: str
    slug: str
    alias: str
    log: str
    method: str
    find: Callable[[PolicyView, Members], CallTarget | None]
    mirrored: Callable[[ToolEntry], bool]
    params: Members
    meta: Members
    proto: str
    era: Era
    asker: OnBehalfOf
    bytes_in: int
    request: tuple[bytes, bytes] | None
    notify: Notify | None
    hearing: NotificationBuffer | MonotonicProgress | Notify | None
    round: RetryRound | None
    put: Put | None
    tasks: bool

    def told_to(self, server: Server) -> "CallRequest":
        """The same request, of a client that declares what this server is told of."""
        capabilities = server.told_of(self.asker.capabilities)
        if capabilities == self.asker.capabilities:
            return self
        return replace(self, asker=replace(self.asker, capabilities=capabilities))


class EffectAdmission(Protocol):
    """Whether a call may still have an effect; asked last thing before each."""

    def holds(self) -> bool:
        """Say whether it may now."""
        ...

    def holds_anew(self) -> bool:
        """The same, decided anew: people were waited for."""
        ...

    async def renewed(self) -> bool:
        """Say whether it may, after a wait for the lease if it is only that."""
        ...

    def ended_in(self, view: PolicyView) -> bool:
        """Say whether it may not go on under this view."""
        ...

    @property
    def why_not(self) -> CutReason:
        """Why it may not."""
        ...


class _NotYet:
    """What has not been decided may have no effect."""

    why_not: CutReason = "stale"

    def holds(self) -> bool:
        return False

    def ended_in(self, view: PolicyView) -> bool:  # noqa: ARG002 - the form of all
        return True

    async def renewed(self) -> bool:
        return False

    holds_anew = holds


_NOT_YET = _NotYet()


class ExchangeLicence:
    """Under which an exchange writes, and keeps what comes: the call's which it belongs to now.

    While it belongs to none little is kept of an answer, since it is counted against nobody.
    """

    __slots__ = ("holder", "process", "room")

    def __init__(self) -> None:
        self.holder: EffectAdmission = _NOT_YET
        self.room: Callable[[int], bool] = _fits_resting_limit
        self.process = False
        """A process of the server was started for it."""

    def begun(self) -> None:
        """A process is started."""
        self.process = True

    def keeps(self, size: int) -> bool:
        """Say whether so much may be kept of an answer (hot path)."""
        return size <= UNCOUNTED_BYTES or self.room(size)

    def __call__(self) -> bool:
        """Say whether anything may be written now."""
        return self.holder.holds()

    def rest(self) -> None:
        """Nobody's for now: the call waits for its client's next request."""
        self.holder, self.room = _NOT_YET, _fits_resting_limit


class CallControl:
    """A running call's ear: remembers why it was cut and stops the exchange that it has by then."""

    __slots__ = ("admission", "ears", "exchange", "give_up", "licence", "reason", "target", "trace")

    def __init__(self) -> None:
        self.admission: EffectAdmission = _NOT_YET
        self.licence = ExchangeLicence()
        self.exchange: UpstreamExchange | None = None
        self.ears: NotificationBuffer | None = None
        """Through which an exchange that was taken up speaks; one that was begun has its request's.
        """
        self.reason: CutReason | None = None
        self.target: CallTarget | None = None
        """What the call is about, once that was found."""
        self.give_up: Callable[[], None] | None = None
        """Set while the client is asked something: stops waiting for its word."""
        self.trace: RequestTrace | None = None
        """Set when the request is traced, which most are not."""

    def __call__(self, reason: CutReason) -> None:
        """End the call for this reason; only the first one counts."""
        if self.reason is None:
            # The abort cancels the reply, and by the reason whoever awaits it tells a cut from a
            # cancellation of its own task: so the reason is set first.
            self.reason = reason
            if self.exchange is not None:
                self.exchange.abort(reason)
            if self.give_up is not None:
                self.give_up()

    def over(self) -> None:
        """The call ended and was answered: let go of what holds this in turn.

        Its memory is free at once then, and need not wait for a collector that looks for circles.
        """
        licence = self.licence
        if licence.holder is self.admission:  # a parked call's belongs to whoever took it up
            licence.holder, licence.room = _NOT_YET, _fits_resting_limit
        self.admission, self.exchange, self.ears, self.target = _NOT_YET, None, None, None
        if self.trace is not None:
            self.trace.over()

    @property
    def left(self) -> bool:
        """True when the client itself went or took the call back: nobody waits for the answer."""
        return self.reason in ("client_gone", "cancelled")


def _fits_resting_limit(size: int) -> bool:
    """Say whether so much may be kept of the answer to a call that rests."""
    return size <= HELD_BYTES


def _drop_notification(_method: str, _params: bytes) -> None:
    """Nobody wants to hear it."""
