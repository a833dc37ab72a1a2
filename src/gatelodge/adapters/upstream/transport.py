"""What moves messages between a session and its server, and what a session tells its owner.

A transport knows no more of MCP than its own clause of the specification asks of it: headers and
the resumption of a stream over HTTP, lines over stdio. All else is the session's (`session.py`).
"""

import asyncio
import contextlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Raw, Struct

from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest, RequestCarrier
from gatelodge.config.schema import UpstreamSettings
from gatelodge.core.errors import Invalid, UpstreamUnreachable
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import UpstreamRequest
from gatelodge.ports.world import SecretResolver

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


class TransportContext(Struct, frozen=True, kw_only=True):
    """What every transport is given: secrets, our version, and how long it may take.

    `workspace` is whose secrets they are.
    """

    secrets: SecretResolver
    version: str
    tls: Callable[[], ssl.SSLContext]
    upstream: UpstreamSettings
    result_bytes: int
    workspace: str = ""


class TransportStatus(Struct, frozen=True, kw_only=True):
    """What a transport says of itself; `detail` holds no payload.

    `said` are the last words of a server that was not met, for whoever may start it, and `lacking`
    the secrets of the vault without which it was started, since it was started for nobody.
    """

    pid: int | None = None
    isolation: str
    detail: str = ""
    said: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    connections: int = 0


class ChangeStream(Protocol):
    """A stream of changes. `ended` is 0 when it may be opened again, else it was refused."""

    ended: "asyncio.Future[int]"
    acknowledged: "asyncio.Future[None]"

    def close(self) -> None:
        """Nothing more is wanted of it. Idempotent."""
        ...


class UpstreamTransport(ABC):
    """Moves messages to one server and hands what comes to the session (`McpSession.inbound`).

    What is written here is said by one way that carries all, in order, for one session.
    """

    kind: type[PendingRequest] = PendingRequest
    """What a request in flight is on this transport."""
    wakes = True
    """Whether a request is a reason to try the server again."""
    silence_is_legacy = False
    """Whether no answer to a question of the modern era is one as well."""
    known_legacy = False
    """Whether it was legacy at its last start, so that asking would cost another start."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready for a handshake. Raises UpstreamError or KeyUnreachable."""

    @abstractmethod
    async def ask(self, asked: UpstreamRequest) -> UpstreamMessage | None:
        """The answer to a request of the handshake; None when it is no message.

        Raises UpstreamError, LimitReached, or KeyUnreachable.
        """

    def older(self) -> "UpstreamTransport | None":
        """What may be spoken instead, when this transport was refused as such."""
        return None

    def agree(self, version: str) -> bool:  # noqa: ARG002 - what has no headers names it nowhere
        """Speak this legacy revision from now on; false = the server keeps no session of ours."""
        return True

    async def tell(self, message: bytes) -> None:
        """Send a message that has no answer; what is sent after it arrives after it."""
        self.say(message)

    @abstractmethod
    async def met(self, era: Era) -> None:
        """The handshake is over. Raises UpstreamError when the server went away during it."""

    async def listen(self) -> None:  # noqa: B027 - where all comes on one way, nothing is to do
        """Hear what comes beside the answers, while the server is ready."""

    def subscribe(self, params: dict[str, Raw]) -> ChangeStream | None:  # noqa: ARG002
        """A modern subscription on a stream of its own; None where all comes on one way."""
        return None

    @abstractmethod
    def transmit(self, flight: PendingRequest, body: bytes) -> None:
        """Write a request, whose message is `body`, while it is admitted."""

    @abstractmethod
    def cancel(self, flight: PendingRequest, messages: tuple[bytes, ...]) -> None:
        """Nobody waits for it any more; a server that has it hears so, in these messages."""

    @abstractmethod
    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Send the answer to a question of the server; when it cannot be sent the flight fails.

        It goes only while `admitted`, which is asked right before it is written.
        """

    @abstractmethod
    def say(self, *messages: bytes) -> None:
        """Send what has no answer, in order, without waiting for it to arrive."""

    @abstractmethod
    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""

    @abstractmethod
    async def let_go(self) -> None:
        """The server was lost: leave nothing of it running."""

    @abstractmethod
    async def shut(self) -> None:
        """End whatever is open, in order."""

    @abstractmethod
    def told(self) -> TransportStatus:
        """What an admin may know of it."""


class SessionOwner(RequestCarrier, Protocol):
    """Whose session it is: the connection, which holds requests while there is none."""

    def hold(self, flight: PendingRequest) -> None:
        """Send this flight as soon as the server is ready."""
        ...

    def broke(self, why: ConnectionLoss) -> None:
        """The server is lost until it was met anew."""
        ...

    def changed(self) -> None:
        """What the server offers may have changed."""
        ...

    def updated(self, uri: str) -> None:
        """A watched resource may have changed."""
        ...

    def aside(self, method: str, params: bytes) -> bool:
        """Tell whose session it is what was said outside of every request; false = nobody hears."""
        ...
