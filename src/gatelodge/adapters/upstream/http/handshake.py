"""Meeting a server over streamable HTTP: which era it speaks, and a session where it has them."""

import contextlib
from collections.abc import Iterator

from msgspec import UNSET, Raw, Struct, structs

from gatelodge.adapters.upstream.http.head import RequestHeads, request_wire
from gatelodge.adapters.upstream.http.responses import BufferedResponse, HttpReply
from gatelodge.adapters.upstream.http.side_requests import SideRequests
from gatelodge.adapters.upstream.pending import WireContext
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamUnreachable,
)
from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import parse_message
from gatelodge.core.protocol.upstream_era import ServerHello, capable, discovered, initialized
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import OnBehalfOf, UpstreamRequest

_TAKES_NO_POST = frozenset((400, 404, 405))


class HandshakeResult(Struct, frozen=True):
    """A legacy server's hello, and the session that it gave us, if any."""

    hello: ServerHello
    session: bytes


class HttpHandshake:
    """One attempt to meet a server. `numbers` are ids that no other request of the wire bears."""

    def __init__(
        self, heads: RequestHeads, errands: SideRequests, means: WireContext, numbers: Iterator[int]
    ) -> None:
        self._heads = heads
        self._errands = errands
        self._means = means
        self._numbers = numbers
        self._no_post = True

    async def discover(self, *, only: bool) -> ServerHello | None:
        """The hello of a modern server, None for another; `only` = another will not do."""
        asked = UpstreamRequest(method="server/discover", params={})
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        answer = await self._send_handshake_request(self._heads.modern(asked), asked, meta)
        wait = upstream_status.retry_after(answer.fields.get(b"retry-after", b""))
        refused = upstream_status.refusal(answer.status, wait, self._redirect_target(answer))
        if refused is not None:
            raise refused
        # A proxy's answer tells no era; taken for the server's it would mean a legacy one.
        if answer.status in (502, 504):
            raise UpstreamUnreachable(f"The server is behind a failing proxy ({answer.status}).")
        meeting = discovered(parse_message(answer.body))
        if isinstance(meeting, ServerHello):
            return meeting
        if only:
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}.")
        return None

    async def initialize(self, asker: OnBehalfOf) -> HandshakeResult | HouseError:
        """The hello of a legacy server; the error when no POST so far was taken at this URL.

        Then HTTP with SSE may be spoken there (2024-11-05 transports). Any other failure is raised.
        """
        params = upstream.initialize_params(self._means.version, asker.capabilities)
        asked = UpstreamRequest(method="initialize", params=params)
        answer = await self._send_handshake_request(self._heads.legacy, asked, b"")
        if answer.status != 200:
            judged = upstream_status.refusal(
                answer.status, 0.0, self._redirect_target(answer)
            ) or upstream_status.rejected(answer.status, b"", 0, session=False, wait=0.0)
            assert isinstance(judged, HouseError)
            if self._no_post:
                return judged
            raise judged
        message = parse_message(answer.body)
        if message is None or message.result is UNSET:
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        session = answer.fields.get(b"mcp-session-id", b"")
        # It becomes a header of ours, and a line break in it would add others.
        if not all(0x21 <= byte <= 0x7E for byte in session):
            raise UpstreamBrokeProtocol("The server gave a session that no header can name.")
        hello = spoken(message.result)
        self._heads.agreed(hello.version, session)
        told = notification_body("notifications/initialized")
        await self._errands.tell(self._heads.legacy, told)
        if asker.level and capable(hello.capabilities).logs:
            await self._set_log_level(asker.level)
        return HandshakeResult(structs.replace(hello, pushes=bool(session)), session)

    async def _set_log_level(self, level: str) -> None:
        """Ask for log messages of the caller's level; a server that refuses sends what it likes."""
        asked = UpstreamRequest(method="logging/setLevel", params=upstream.level_params(level))
        with contextlib.suppress(UpstreamError):
            await self._send_handshake_request(self._heads.legacy, asked, b"")

    def _redirect_target(self, answer: HttpReply) -> str:
        """Where a redirect leads, if that may be told: not where a server repeats our secret."""
        to = upstream_status.redirected(answer.fields.get(b"location", b""), self._heads.url)
        return "" if self._heads.bears(to) else to

    async def _send_handshake_request(
        self, head: bytes, asked: UpstreamRequest, meta: bytes
    ) -> HttpReply:
        number = next(self._numbers)
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        reading = BufferedResponse(request_wire(head, body), number)
        answer = await self._errands.read(reading, self._means.upstream.start_seconds)
        said = parse_message(answer.body)
        told = said is not None and (said.error is not UNSET or said.result is not UNSET)
        self._no_post = self._no_post and answer.status in _TAKES_NO_POST and not told
        return answer


def spoken(result: Raw) -> ServerHello:
    """The hello in an InitializeResult. Raises UpstreamBrokeProtocol for a revision of no use."""
    hello = initialized(result)
    if hello is None:
        raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
    return hello
