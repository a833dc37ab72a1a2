"""Turns of our own on an HTTP upstream: a whole answer to read, and a stream to listen to."""

import asyncio
from collections.abc import Callable

from msgspec import UNSET

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.exchange import BufferedExchange, Fields, GateExchange
from gatelodge.core.errors import HouseError
from gatelodge.core.http.sse import EventParser
from gatelodge.core.protocol.upstream import ACKNOWLEDGED, UpstreamMessage, parse_message
from gatelodge.ports.upstream import MayGo, always

READING_BYTES = 1024 * 1024
"""Largest answer to a handshake, largest event of a listening stream."""


class BufferedResponse(BufferedExchange):
    """One of our own requests: `done` is its answer. `number` 0 is a notification or a DELETE.

    `admitted` is that of the call which it is told for, if there is one.
    """

    def __init__(self, wire: bytes, number: int = 0, admitted: MayGo = always) -> None:
        super().__init__(wire, READING_BYTES, admitted)
        self._number = number

    def event(self, message: bytes, fields: Fields) -> bool:
        """Read, when the event is the response; what else is on the stream is passed over."""
        said = parse_message(message)
        if said is None or said.method or said.id != self._number:
            return False
        self.whole(200, fields, message)
        return True


class EventStream(GateExchange):
    """A long-lived stream: each message goes to `hear`.

    `ended` is 0 when the stream ended or broke and may be opened again, else the HTTP status (or
    200 for a JSON-RPC error) with which the server refused to open one.
    """

    endless = True

    def __init__(
        self, wire: bytes, hear: Callable[[UpstreamMessage], None], client: HttpClient
    ) -> None:
        super().__init__(wire, READING_BYTES)
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.acknowledged: asyncio.Future[None] = loop.create_future()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._hear = hear
        self._client = client
        client.send(self)

    def stream(self, events: EventParser) -> bool:  # noqa: ARG002 - an exchange's form
        """The server opened it."""
        if not self.opened.done():
            self.opened.set_result(None)
        return True

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """The stream ended, or was refused with an answer that is none."""
        streamed = fields.get(b"content-type", b"").lower().startswith(b"text/event-stream")
        # 401: the secret may be rotated; 409: it still holds the stream that was lost
        passing = status >= 500 or status in (401, 408, 409, 429)
        ended = status == 200 and streamed and not body
        self._report_stream_end(0 if ended or passing else status)

    def event(self, message: bytes, fields: Fields) -> bool:  # noqa: ARG002 - a turn's form
        """Hand on what was heard; our subscription's own response ends it."""
        said = parse_message(message)
        if said is None:
            return False
        if said.method == ACKNOWLEDGED:
            if not self.acknowledged.done():
                self.acknowledged.set_result(None)
            return False
        if said.method:
            self._hear(said)
            return False
        self._report_stream_end(0 if said.error is UNSET else 200)
        return True

    def failed(self, fault: HouseError) -> None:  # noqa: ARG002 - a lost stream is opened again
        """The stream broke."""
        self._report_stream_end(0)

    def close(self) -> None:
        """Nothing more is wanted of it."""
        self._client.forget(self)

    def _report_stream_end(self, status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(status)


class SseInbox(GateExchange):
    """The stream of HTTP with SSE: its first event is `named`, each further one goes to `hear`.

    `named` is empty when there is no such stream. `ended` hears once that it is over.
    """

    endless = True

    def __init__(
        self,
        wire: bytes,
        hear: Callable[[bytes], None],
        ended: Callable[[HouseError | None], None],
    ) -> None:
        super().__init__(wire, READING_BYTES)
        self.named: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._hear = hear
        self._ended = ended

    def whole(self, status: int, fields: Fields, body: bytes) -> None:  # noqa: ARG002 - a turn's form
        """The stream ended, or there was none."""
        self._report_stream_end(None)

    def event(self, message: bytes, fields: Fields) -> bool:  # noqa: ARG002 - a turn's form
        """Hand on what came."""
        if self.named.done():
            self._hear(message)
        else:
            self.named.set_result(message)
        return False

    def failed(self, fault: HouseError) -> None:
        """The stream broke."""
        self._report_stream_end(fault)

    def _report_stream_end(self, fault: HouseError | None) -> None:
        if not self.named.done():
            self.named.set_result(b"")
        self._ended(fault)
