"""One HTTP/1.1 connection: a turn at a time is written, and its answer is read.

A stream, and what is packed, is handed on in portions, one in each round of the loop.
"""

import asyncio
from functools import partial
from typing import Protocol, cast

import httptools
from msgspec import Struct

from gatelodge.adapters.net.coding import IDENTITY, BodyDecoder, CodingFault, unpacks
from gatelodge.adapters.net.exchange import AnswerBody, BodyMaker, Fields, HttpExchange
from gatelodge.adapters.net.portions import PORTION, InboundPortions
from gatelodge.core.errors import HouseError, Stale, UpstreamBrokeProtocol
from gatelodge.core.http.head import head_of
from gatelodge.core.http.sse import EventParser

MOST_HEAD = 64 * 1024
"""What may come of an answer before, between and behind the pieces of its body: heads of every
status, trailers, extensions of chunks. The parser copies a field anew with each piece of it."""
UNPACKED = 256 * 1024
"""Bytes of a packed body, which is not looked at before it is whole, that are unpacked at once."""

_FRAMING = frozenset((
    b"content-type", b"content-length", b"transfer-encoding", b"keep-alive", b"content-encoding",
))  # fmt: skip
"""Fields that decide how an answer is read."""
_LENGTH, _CHUNKED = b"content-length", b"transfer-encoding"


class AnswerHead(Struct, frozen=True, gc=False):
    """The head of a connection's last answer, by its bytes; `whole` = with its body.

    It stands for a 200 that came at once and alone, whose body is plain, framed by its length, and
    after which the connection stays.
    """

    head: bytes
    whole: int
    fields: Fields


class ConnectionOwner(Protocol):
    """Whoever keeps connections, and hears what becomes of each."""

    def hear(self) -> None:
        """Something came."""
        ...

    def repeat(self, turn: HttpExchange) -> None:
        """Send once more what a stale connection swallowed."""
        ...

    def release(self, connection: "HttpConnection", keep_alive: bytes) -> None:
        """It is free."""
        ...

    def drain(self, connection: "HttpConnection") -> None:
        """Its stream gave all that was wanted."""
        ...

    def lost(self, connection: "HttpConnection") -> None:
        """It is closed."""
        ...


class HttpConnection(asyncio.Protocol):
    """One connection. Owned by its client; `turn` is what it carries now.

    `fields` are those of an answer that its turns want to know, beside how it is framed. `bodies`
    makes what takes the body of an answer; without it a body is held and handed over whole.
    """

    def __init__(
        self,
        client: ConnectionOwner,
        fields: frozenset[bytes] = frozenset(),
        bodies: BodyMaker | None = None,
    ) -> None:
        self._client = client
        self._bodies = bodies
        self._kept = _FRAMING | fields
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.turn: HttpExchange | None = None
        """What its client has it carry."""
        self.holder: str | None = None
        """For whom it is under way, as its client counts it; None = for nobody."""
        self.until = 0.0
        self.draining = False
        self._spare: bytes | None = None
        self._repeats: AnswerHead | None = None
        self._plain: Fields | None = None
        self._portions = InboundPortions(self._parse_received_portion, self._unpack_next_piece)
        self._reset_answer_state()

    def _reset_answer_state(self) -> None:
        self._heard = False
        self._headed = False
        self._bodiless = 0
        self._status = 0
        self._fields: Fields = {}
        self._size = 0
        self._body = AnswerBody()
        self._events: EventParser | None = None
        self._packed: BodyDecoder | None = None
        self._ended = False
        self._stays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to carry turns."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def write(self) -> None:
        """Write its turn, unless that was given up, or may not go, in the meantime."""
        turn = self.turn
        if turn is None or self._transport is None:
            return
        # Access may have ended in the round since `send` (guarantee revoke:under-a-second).
        if turn.admitted():
            self._transport.write(turn.wire)
        else:
            self._close_and_fail_turn(
                Stale("The call was not forwarded: access could not be confirmed.")
            )

    def close(self) -> None:
        """Close at once, whatever it carries; the turn is not told."""
        self.turn = None
        self._portions.drop()
        if self._transport is not None:
            # The rest of a request that nobody waits for shall not be flushed to the server.
            self._transport.abort()
            self._transport = None
        self._client.lost(self)

    def abandon(self) -> bool:
        """Nobody waits for its turn. Its answer is still to come, so it can carry nothing else."""
        self.close()
        return True

    @property
    def alive(self) -> bool:
        """True while it can be written to."""
        return self._transport is not None and not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; but for a plain body, a portion in each round of the loop."""
        if self._headed and self._events is None and self._packed is None:
            self._portions.feed_body(data, self._transport, self._size)
        else:
            held = self._size if self._events is None else self._events.held
            self._portions.feed(data, self._transport, held)

    def _parse_received_portion(self, data: bytes) -> None:
        self._client.hear()
        repeats = self._repeats
        if (
            repeats is not None
            and len(data) == repeats.whole
            and not self._heard
            and data.startswith(repeats.head)
            and self._deliver_without_parsing(repeats, data)
        ):
            return
        alone = not self._heard
        self._heard = True
        self._bodiless += len(data)
        # Bytes that nobody asked for would be taken for the answer to the next request.
        if self.turn is None and not self.draining:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._break_off("The answer could not be read.")
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break_off("The server answered something that is not HTTP/1.1.")
            return
        if self._bodiless > MOST_HEAD:
            self._break_off("The server's answer has an endless head.")
        if self._spare is not None:
            # A head can stand for the next one only if its own answer came whole and alone.
            self._repeats = self._reusable_answer_head(data) if alone else None
            self._be_free()

    def _reusable_answer_head(self, data: bytes) -> AnswerHead | None:
        """The head of the answer that these bytes were, if it may stand for the next one."""
        fields = self._plain
        head = b"" if fields is None else head_of(data, int(fields[_LENGTH]))
        return AnswerHead(head, len(data), fields) if fields and head else None

    def _deliver_without_parsing(self, repeats: AnswerHead, data: bytes) -> bool:
        """Hand over an answer whose head is that of the last one; false when it is to be parsed."""
        turn, size = self.turn, repeats.whole - len(repeats.head)
        # An answer that may not be kept is parsed, so that it fails there with its reason.
        if turn is None or self.draining or size > turn.limit or not turn.keeps(size):
            return False
        self.turn = turn.place = None
        turn.whole(200, repeats.fields, data[len(repeats.head) :])
        if self.alive:
            self._client.release(self, repeats.fields.get(b"keep-alive", b""))
        else:
            self.close()
        return True

    def _unpack_next_piece(self) -> bool:
        """Hand on a piece of what came packed; false when nothing is left of it."""
        packed, turn = self._packed, self.turn
        if packed is None or turn is None or not packed.more:
            return False
        try:
            piece = packed.piece(UNPACKED if self._events is None else PORTION)
        except CodingFault:
            self._break_off("The server's compressed answer cannot be read.")
            return False
        self._consume_body_chunk(turn, piece)
        # The parser has seen the end already, and will not call again.
        if self._ended and (self.draining or not packed.more):
            self._deliver_complete_answer()
            self._be_free()
        return self._packed is packed and packed.more

    def _be_free(self) -> None:
        if self._spare is not None:
            keep_alive, self._spare = self._spare, None
            self._client.release(self, keep_alive)

    def on_message_begin(self) -> None:
        """An answer that came with another, unasked, would be taken for that to the next turn."""
        if self._spare is not None:
            self._spare = None
            self.close()
        elif self._ended:
            self._break_off("The server sent two answers to one request.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few fields that matter; the first of several counts."""
        name = name.lower()
        if name in self._kept:
            self._fields.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """Choose how the body is read."""
        self._status = self._parser.get_status_code()
        # An interim response comes before the answer itself (RFC 9110 clause 15.2).
        if self._status < 200:
            return
        self._headed = True
        turn = self.turn
        if turn is None:
            return
        if self._bodies is not None:
            self._body = self._bodies(self._status, self._portions)
        if b"content-encoding" in self._fields and not self._accept_content_coding():
            return
        events = None
        if self._fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            events = EventParser(endpoint=turn.endless)
        if events is not None and turn.stream(events):
            self._events = events
        elif int(self._fields.get(_LENGTH, b"0")) > turn.limit:
            self._close_and_fail_turn(turn.outgrown(turn.limit + 1))

    def _accept_content_coding(self) -> bool:
        """Choose how a packed body is unpacked; false when it fails, since it cannot be."""
        coding = self._fields[b"content-encoding"].strip().lower() or IDENTITY
        if unpacks(coding):
            self._packed = BodyDecoder(coding)
        elif coding != IDENTITY:
            text = "The server compressed its answer, unasked, and neither with gzip nor deflate."
            self._break_off(text)
            return False
        return True

    def on_body(self, chunk: bytes) -> None:
        """A part of the body, as it is or packed; what is packed counts unpacked."""
        self._bodiless = 0
        if self.turn is None:
            return
        if self._packed is None:
            self._consume_body_chunk(self.turn, chunk)
        else:
            self._packed.add(chunk)

    def _consume_body_chunk(self, turn: HttpExchange, chunk: bytes) -> None:
        """Keep a part of the body, or hand on the events that it ends."""
        size = self._size = self._size + len(chunk)
        events = self._events
        if events is None:
            if (size <= turn.limit and turn.keeps(size)) or self._fits_limits_or_fails(
                turn, size, size
            ):
                self._body.add(chunk)
            return
        held = events.held + len(chunk)
        if not self._fits_limits_or_fails(turn, held if turn.endless else self._size, held):
            return
        for message in events.feed(chunk):
            if turn.event(message, self._fields):
                self.turn = turn.place = None
                self.draining = True
                self._client.drain(self)
                return

    def on_message_complete(self) -> None:
        """Hand over the answer and be free for the next turn."""
        if self._status < 200:
            # The fields of an interim response say nothing of the answer that follows it.
            self._fields = {}
            return
        self._stays = self._parser.should_keep_alive()  # the parser forgets it right behind this
        if self._packed is not None and self._packed.more and self.turn is not None:
            self._ended = True
        else:
            self._deliver_complete_answer()

    def _deliver_complete_answer(self) -> None:
        if self._packed is not None and self._cut_off():
            self._break_off("The server's compressed answer is cut off.")
            return
        turn, status, fields, body = self.turn, self._status, self._fields, self._body
        framed = status == 200 and _LENGTH in fields and _CHUNKED not in fields
        read = framed and self._size and self._events is None and self._packed is None
        self._plain = fields if read else None
        stays = self._stays
        self.turn = None
        self.draining = False
        # Whoever hears of the answer may close this connection: its state is clean before that.
        self._reset_answer_state()
        if turn is not None:
            turn.place = None
            turn.whole(status, fields, body.whole())
        if stays and self.alive:
            self._spare = fields.get(b"keep-alive", b"")  # free once all that came was read
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer, or we, closed; what was under way ends here, behind all that came."""
        self._portions.finish(partial(self._conclude_lost_connection, exc))

    def _conclude_lost_connection(self, exc: Exception | None) -> None:
        self._transport = None
        turn = self.turn
        # A body without a length ends with its connection (RFC 9112 clause 6.3); a reset, which
        # comes with an `exc`, may have cut the body off.
        unframed = self._headed and not (_LENGTH in self._fields or _CHUNKED in self._fields)
        if turn is not None and unframed and exc is None and not self._cut_off():
            self.turn = turn.place = None
            turn.whole(self._status, self._fields, self._body.whole())
        self._client.lost(self)
        turn = self.turn
        if turn is None:
            return
        # A server that closes an idle connection just when it is used has seldom run the request;
        # only what may run twice is sent again.
        if not self._heard and turn.repeatable and not turn.again:
            self.turn = turn.place = None
            turn.again = True
            self._client.repeat(turn)
            return
        self._break_off("The server closed the connection before it had answered.")

    def _cut_off(self) -> bool:
        """True when a packed body ends too early; a stream is over wherever it ends."""
        return self._events is None and self._packed is not None and not self._packed.whole

    def _fits_limits_or_fails(self, turn: HttpExchange, size: int, held: int) -> bool:
        """Go on while the answer is not too large, and its caller may keep what is held of it."""
        if size > turn.limit or not turn.keeps(held):
            self._close_and_fail_turn(turn.outgrown(size))
        return self.turn is turn

    def _break_off(self, why: str) -> None:
        """What the server sent is no answer that can be read."""
        self._close_and_fail_turn(UpstreamBrokeProtocol(why))

    def _close_and_fail_turn(self, fault: HouseError) -> None:
        turn = self.turn
        self.close()
        if turn is not None:
            turn.place = None
            turn.failed(fault)
