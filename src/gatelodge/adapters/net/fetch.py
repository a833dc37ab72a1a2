"""One request to a service outside, and its whole answer: for whatever the gate itself has to ask.

Who asks says how long it may take, how much may come, and where it may lead. All else is refused:
another port, an address that is not a public one, an answer that is larger, a redirect. The way is
judged anew for each exchange, and no proxy of the environment stands on it.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urldefrag, urljoin

from msgspec import Struct, field

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.net.dial import connect
from gatelodge.adapters.net.download import DownloadExchange
from gatelodge.adapters.net.exchange import FetchExchange, HttpReply, opening_lines
from gatelodge.core.errors import Invalid, LimitReached, OutsideFailed, UpstreamError
from gatelodge.core.http.endpoint import HttpEndpoint, field_line, header_line, read_url

MOST_AT_ONCE = 64
"""Requests under way at once; each may hold a connection and an answer."""
FIELDS = frozenset((b"cache-control", b"etag", b"location", b"retry-after", b"www-authenticate"))
"""What is read of an answer's head, beside how it is framed."""
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HOW = "Try again in a moment."

Take = Callable[[bytes], object]
"""Takes a portion of a body; called on a thread, one portion after the other."""


class OutboundRequest(Struct, frozen=True, kw_only=True):
    """What is asked, and what may come of it; `seconds` are for all of it, redirects included.

    `headers` hold the values themselves, secrets included. With `private` an admin allowed the
    origin of this URL to be on an own network, and to be asked without TLS there; `private_origins`
    are allowed so wherever they are met, on ports of their own too; `opens` tells how more are.
    A redirect is followed by a GET without a body only, `redirects` times at most; the next one is
    the answer.
    """

    url: str
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    body: bytes = b""
    seconds: float = 10.0
    max_bytes: int = 1024 * 1024
    ports: frozenset[int] = frozenset((443,))
    private: bool = False
    private_origins: frozenset[str] = frozenset()
    opens: str = ""
    redirects: int = 0

    def __repr__(self) -> str:
        """Neither its URL nor its headers, wherever it is shown."""
        return f"OutboundRequest({self.method})"


class GuardedClient:
    """Fetches for the whole process; `tls` is asked for each connection, `version` is our own."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], version: str) -> None:
        self._tls = tls
        self._version = version
        self._under_way = 0

    async def fetch(self, asked: OutboundRequest) -> HttpReply:
        """The answer, whatever its status. Raises OutsideFailed, LimitReached when it may not go.

        The failure is `final` where nothing but another request would do better.

        What a service was asked that failed in the middle, it may have done.
        """
        return await self._bounded(asked, None)

    async def download(self, asked: OutboundRequest, take: Take) -> HttpReply:
        """The same for a body that is too large to be held: `take` gets that of a 200, in portions.

        Then the answer's own body is empty. No more is read than was taken, but for some MiB; what
        failed in the middle was taken in part. Raises what fetch does, and what `take` raises.
        """
        return await self._bounded(asked, take)

    async def _bounded(self, asked: OutboundRequest, take: Take | None) -> HttpReply:
        if self._under_way >= MOST_AT_ONCE:
            text = "Too many requests to services outside are under way."
            raise LimitReached(text, remedy=_HOW, retry_after=1.0)
        self._under_way += 1
        try:
            async with asyncio.timeout(asked.seconds):
                return await self._follow_redirects(asked, take)
        except TimeoutError:
            text = f"The server gave no whole answer within {asked.seconds:g} s."
            raise OutsideFailed(text) from None
        except (Invalid, LimitReached, UpstreamError) as fault:
            refused = isinstance(fault, Invalid)
            failed = OutsideFailed(fault.detail, remedy=fault.remedy if refused else "")
            failed.final = not isinstance(fault, UpstreamError)
            raise failed from None
        finally:
            self._under_way -= 1

    async def _follow_redirects(self, asked: OutboundRequest, take: Take | None) -> HttpReply:
        endpoint, left = _allowed_endpoint(asked.url, asked, private=asked.private), asked.redirects
        about = field_line("Accept", asked.accept)
        if asked.body or asked.method != "GET":
            about += field_line("Content-Type", asked.content_type) if asked.content_type else b""
            about += b"Content-Length: %d\r\n" % len(asked.body)
        own = b"".join(header_line(name, value) for name, value in asked.headers.items())
        while True:
            named = endpoint.origin in asked.private_origins
            if endpoint.port not in asked.ports and not named:
                raise Invalid("url: its port is not one that may be asked")
            reply = await self._exchange_once(endpoint, asked, about + own, take)
            to = reply.fields.get(b"location")
            follows = (
                reply.status in _REDIRECTS and asked.method == "GET" and not asked.body and left > 0
            )
            if to is None or not follows:
                return reply
            left -= 1
            origin, endpoint = endpoint.origin, _redirected_request(endpoint, to, asked)
            # Any header may be a credential, and another origin is somebody else.
            if endpoint.origin != origin:
                own = b""

    async def _exchange_once(
        self, endpoint: HttpEndpoint, asked: OutboundRequest, own: bytes, take: Take | None
    ) -> HttpReply:
        """One request on a connection of its own, which ends with it."""
        head = opening_lines(endpoint, asked.method, self._version) + own
        wire = b"%bConnection: close\r\n\r\n%b" % (head, asked.body)
        turn: FetchExchange | DownloadExchange
        if take is None:
            turn = FetchExchange(wire, asked.max_bytes)
        else:
            turn = DownloadExchange(wire, asked.max_bytes, take)

        async def dial() -> HttpConnection:
            tls = self._tls() if endpoint.tls else None
            return await connect(endpoint, lambda: HttpConnection(client, FIELDS, turn.bodies), tls)

        client = HttpClient(dial)
        client.send(turn)
        try:
            return await turn.answer()
        finally:
            await client.close()


def _allowed_endpoint(url: str, asked: OutboundRequest, *, private: bool) -> HttpEndpoint:
    """Where a URL leads. Raises Invalid for a place that may not be asked."""
    found = read_url(url, private=True, opens=asked.opens)
    if private or found.origin in asked.private_origins:
        return found
    return read_url(url, private=False, opens=asked.opens)


def _redirected_request(endpoint: HttpEndpoint, to: bytes, asked: OutboundRequest) -> HttpEndpoint:
    """Where a redirect leads. Raises Invalid for a place that may not be asked."""
    try:
        url = urldefrag(urljoin(endpoint.origin + endpoint.path, to.decode("ascii"))).url
    except ValueError:
        raise Invalid("url: the server redirects to what is none") from None
    # An admin's word is for the origin that they named, and for no other.
    same = read_url(url, private=True, opens="").origin == endpoint.origin
    return _allowed_endpoint(url, asked, private=same and endpoint.private)
