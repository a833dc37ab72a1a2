"""The secret of a server, read anew when it is refused."""

import asyncio

from gatelodge.adapters.upstream.http.head import head_lines
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import HouseError
from gatelodge.ports.world import SecretResolver

READ_AGAIN_SECONDS = 1.0
"""Between two readings of a secret that is refused."""
_REFUSED = "It refuses our credentials (HTTP 401)."


class ServerCredentials:
    """A server's configured header lines, secrets included, and whether it takes them."""

    def __init__(self, transport: HttpTransport, secrets: SecretResolver) -> None:
        self._transport = transport
        self._secrets = secrets
        self._lines = b""
        self._next = 0.0
        self._refused: set[str] = set()

    @property
    def told(self) -> str:
        """What an admin should know: several callers were refused, and nobody served since."""
        # A refusal of the gate's own request suffices: no member caused that.
        return _REFUSED if len(self._refused) > 1 or "" in self._refused else ""

    def read(self) -> bytes:
        """The lines. Raises KeyUnreachable, or UpstreamUnreachable for what no header may hold."""
        self._lines = head_lines(self._transport.headers, self._secrets.resolve)
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
            lines = self.read()
        # One that cannot be read just now is not known to be another one.
        except HouseError:
            return None
        return None if lines == last else lines
