"""Answers to one request that may speak for more: a 401 for our secret, a 404 for our session.

Neither is believed at once: a member could take a server from all others with a call that it
refuses. The secret is read anew beside the traffic, and the session is asked whether it is there.
"""

import asyncio

from gatelodge.adapters.upstream.http.head import head_lines, request_wire
from gatelodge.adapters.upstream.http.responses import BufferedResponse
from gatelodge.adapters.upstream.http.side_requests import SideRequests
from gatelodge.adapters.upstream.transport import TransportContext
from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import HouseError
from gatelodge.core.protocol import upstream, upstream_status

READ_AGAIN_SECONDS = 1.0
"""Between two readings of a secret that is refused."""
PING_SECONDS = 5.0
_REFUSED = "It refuses our credentials (HTTP 401)."


class ServerCredentials:
    """A server's configured header lines, secrets included, and whether it takes them."""

    def __init__(self, transport: HttpTransport, context: TransportContext) -> None:
        self._transport = transport
        self._secrets = context.secrets
        self._workspace = context.workspace
        self._values: dict[str, str] = {}
        self._lines = b""
        self._next = 0.0
        self._refused: set[str] = set()

    @property
    def told(self) -> str:
        """What an admin should know: several callers were refused, and nobody served since."""
        # A refusal of the gate's own request suffices: no member caused that.
        return _REFUSED if len(self._refused) > 1 or "" in self._refused else ""

    async def read(self) -> bytes:
        """The lines. Raises KeyUnreachable, or UpstreamUnreachable for what no header may hold."""
        headers = self._transport.headers
        self._values = await self._secrets.resolve_all(headers, self._workspace, "")
        self._lines = head_lines(self._values)
        return self._lines

    def accepted(self) -> None:
        """The server served somebody (hot path)."""
        if self._refused:
            self._refused.clear()

    def refused(self, principal: str) -> bytes | None:
        """The lines, read anew, when they are others now; None when they are not.

        They are read once in a second at most, whoever is refused how often.
        """
        # More than two tell nothing more, and would grow with the callers.
        if len(self._refused) < 2:
            self._refused.add(principal)
        now, last = asyncio.get_running_loop().time(), self._lines
        if now < self._next:
            return None
        self._next = now + READ_AGAIN_SECONDS
        try:
            lines = self._read_again()
        # One that cannot be read just now is not known to be another one.
        except HouseError:
            return None
        return None if lines == last else lines

    def _read_again(self) -> bytes:
        """The lines with what stands in files and variables now."""
        for name, value in self._transport.headers.items():
            found = reference(value)
            # A value of the vault that is another begins the server anew by itself.
            if found is None or found.scheme != "vault":
                self._values[name] = self._secrets.resolve(value)
        self._lines = head_lines(self._values)
        return self._lines


class SessionDoubt:
    """Asks a session that may be lost; one question at a time, whoever doubts it meanwhile."""

    def __init__(self, side: SideRequests) -> None:
        self._side = side
        self._asking: asyncio.Task[bool] | None = None

    async def is_lost(self, head: bytes, number: int) -> bool:
        """Whether the session is lost; where nothing is known it is not.

        `number` is that of a ping, if one is sent.
        """
        if self._asking is None:
            self._asking = self._side.start(self._ask_server(head, number))
        # Others may wait for the same answer when one of them is cancelled.
        return await asyncio.shield(self._asking)

    async def _ask_server(self, head: bytes, number: int) -> bool:
        body = upstream.request_bytes(number, "ping", {}, b"")
        reading = BufferedResponse(request_wire(head, body), number)
        try:
            answer = await self._side.read(reading, PING_SECONDS)
        except HouseError:
            return False
        finally:
            # Whoever hears may doubt again, and that takes a question of its own.
            self._asking = None
        if answer.status < 300:
            return False
        judged = upstream_status.rejected(
            answer.status, answer.body, number, session=True, wait=0.0
        )
        return judged == "session_lost"
