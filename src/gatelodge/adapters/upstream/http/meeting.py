"""Meeting a server over streamable HTTP: which era it speaks, and a session where it has them."""

import contextlib
from collections.abc import Iterator

from msgspec import UNSET, Raw, Struct, structs

from gatelodge.adapters.upstream.flight import Means
from gatelodge.adapters.upstream.http.errands import Errands
from gatelodge.adapters.upstream.http.head import Heads, request_wire
from gatelodge.adapters.upstream.http.turn import Answer, Reading
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamUnreachable,
)
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import parse_message
from gatelodge.core.protocol.upstream_era import Hello, capable, discovered, initialized
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import Asker, Request

_TAKES_NO_POST = frozenset((400, 404, 405))


class Met(Struct, frozen=True):
    """A legacy server's hello, and the session that it gave us, if any."""

    hello: Hello
    session: bytes


class Meeting:
    """One attempt to meet a server. `numbers` are ids that no other request of the wire bears."""

    def __init__(
        self, heads: Heads, errands: Errands, means: Means, numbers: Iterator[int]
    ) -> None:
        self._heads = heads
        self._errands = errands
        self._means = means
        self._numbers = numbers
        self._no_post = True

    async def discover(self, *, only: bool) -> Hello | None:
        """The hello of a modern server, None for another; `only` = another will not do."""
        asked = Request(method="server/discover", params={})
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        answer = await self._ask(self._heads.modern(asked), asked, meta)
        wait = upstream_status.retry_after(answer.fields.get(b"retry-after", b""))
        refused = upstream_status.refusal(answer.status, wait, self._moved(answer))
        if refused is not None:
            raise refused
        if answer.status in (502, 504):
            raise UpstreamUnreachable(f"The server is behind a failing proxy ({answer.status}).")
        meeting = discovered(parse_message(answer.body))
        if isinstance(meeting, Hello):
            return meeting
        if only:
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}.")
        return None

    async def initialize(self, asker: Asker) -> Met | HouseError:
        """The hello of a legacy server; the error when no POST so far was taken at this URL.

        Then HTTP with SSE may be spoken there (2024-11-05 transports). Any other failure is raised.
        """
        params = upstream.initialize_params(self._means.version, asker.capabilities)
        asked = Request(method="initialize", params=params)
        answer = await self._ask(self._heads.legacy, asked, b"")
        if answer.status != 200:
            judged = upstream_status.refusal(
                answer.status, 0.0, self._moved(answer)
            ) or upstream_status.rejected(answer.status, b"", 0, session=False, wait=0.0)
            assert isinstance(judged, HouseError)
            if self._no_post:
                return judged
            raise judged
        message = parse_message(answer.body)
        if message is None or message.result is UNSET:
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        session = answer.fields.get(b"mcp-session-id", b"")
        if not all(0x21 <= byte <= 0x7E for byte in session):
            raise UpstreamBrokeProtocol("The server gave a session that no header can name.")
        hello = spoken(message.result)
        self._heads.agreed(hello.version, session)
        told = upstream.notification_bytes("notifications/initialized")
        await self._errands.tell(self._heads.legacy, told)
        if asker.level and capable(hello.capabilities).logs:
            await self._level(asker.level)
        return Met(structs.replace(hello, pushes=bool(session)), session)

    async def _level(self, level: str) -> None:
        """Ask for log messages of the caller's level; a server that refuses sends what it likes."""
        asked = Request(method="logging/setLevel", params=upstream.level_params(level))
        with contextlib.suppress(UpstreamError):
            await self._ask(self._heads.legacy, asked, b"")

    def _moved(self, answer: Answer) -> str:
        """Where a redirect leads, if that may be told."""
        return upstream_status.redirected(answer.fields.get(b"location", b""), self._heads.url)

    async def _ask(self, head: bytes, asked: Request, meta: bytes) -> Answer:
        number = next(self._numbers)
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        reading = Reading(request_wire(head, body), number)
        answer = await self._errands.read(reading, self._means.hosting.start_seconds)
        said = parse_message(answer.body)
        told = said is not None and (said.error is not UNSET or said.result is not UNSET)
        self._no_post = self._no_post and answer.status in _TAKES_NO_POST and not told
        return answer


def spoken(result: Raw) -> Hello:
    """The hello in an InitializeResult. Raises UpstreamBrokeProtocol for a revision of no use."""
    hello = initialized(result)
    if hello is None:
        raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
    return hello
