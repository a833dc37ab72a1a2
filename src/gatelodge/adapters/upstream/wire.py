"""What a link wants of the way in which its server is spoken to, and what it gives to it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest, PendingRequests
from gatelodge.core.errors import Invalid, UpstreamUnreachable
from gatelodge.core.protocol.upstream_era import ServerHello
from gatelodge.ports.upstream import OnBehalfOf

SLOW = (
    "Try again, what it fetched is kept; or give it longer: "
    "gatelodge server edit ALIAS --start-seconds N"
)
"""What to do about a server that was not met in time."""


@contextlib.contextmanager
def as_defined() -> Iterator[None]:
    """Tell a definition that breaks the rule of `core.catalog.transport` as the server's fault.

    Nobody can register one; a secret that was changed, a name that leads elsewhere, or a row of an
    earlier version can be.
    """
    try:
        yield
    except Invalid as fault:
        text = f"The server's definition cannot be used: {fault.detail}."
        raise UpstreamUnreachable(text, remedy=fault.remedy) from None


class WireStatus(Struct, frozen=True, kw_only=True):
    """What a wire says of itself; `detail` holds no payload.

    `said` are the last words of a server that was not met, for whoever may start it.
    """

    pid: int | None = None
    isolation: str
    detail: str = ""
    said: tuple[str, ...] = ()
    connections: int = 0
    children: int = 0


class UpstreamWire(Protocol):
    """How a server is spoken to; `wakes` = a request is a reason to try it again."""

    wakes: bool

    @property
    def kind(self) -> type[PendingRequest]:
        """What a request in flight is on this wire."""
        ...

    async def open(self) -> ServerHello:
        """Meet the server. Raises UpstreamError or KeyUnreachable."""
        ...

    async def listen(self) -> None:
        """Hear of changes while the server is ready; cancelled when it is lost."""
        ...

    async def let_go(self) -> None:
        """The server was lost: leave nothing of it running."""
        ...

    async def shut(self) -> None:
        """End whatever is open, in order."""
        ...

    def transmit(self, flight: PendingRequest) -> None:
        """Write a request."""
        ...

    def cancel(self, flight: PendingRequest, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits for it, and then that nobody answers its questions."""
        ...

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Send the answer to a question of the server; when it cannot be sent the flight fails.

        It goes only while `admitted`, which is asked right before it is written.
        """
        ...

    def say(self, message: bytes) -> None:
        """Send a notification, without waiting for it to arrive."""
        ...

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        ...

    def told(self) -> WireStatus:
        """What an admin may know of it."""
        ...


class WireEvents(Protocol):
    """Where a wire hands in what it hears: the link of its server."""

    @property
    def flights(self) -> PendingRequests:
        """The requests in flight."""
        ...

    @property
    def asker(self) -> OnBehalfOf:
        """For whom the session is, and what it declares."""
        ...

    @property
    def shared(self) -> bool:
        """True while it belongs to nobody: then nothing can be asked in it."""
        ...

    @property
    def watched(self) -> frozenset[str]:
        """The resources to watch."""
        ...

    @property
    def rewatch(self) -> asyncio.Event:
        """Set when `watched` changed."""
        ...

    @property
    def again(self) -> bool:
        """True when the server had been ready before, and was lost since."""
        ...

    def rewire(self, wire: UpstreamWire) -> None:
        """Speak to the server another way from now on."""
        ...

    def hold(self, flight: PendingRequest) -> None:
        """Send this flight as soon as the server is ready."""
        ...

    def changed(self) -> None:
        """What the server offers may have changed."""
        ...

    def updated(self, uri: str) -> None:
        """A watched resource changed."""
        ...

    def aside(self, method: str, params: bytes) -> bool:
        """Tell whose session it is what was said outside of every request; false = nobody hears."""
        ...

    def missed(self) -> None:
        """Something may have been said that nobody heard."""
        ...

    def broke(self, why: ConnectionLoss) -> None:
        """The server is lost until it was met anew."""
        ...
