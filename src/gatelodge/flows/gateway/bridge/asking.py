"""Questions put to legacy clients: sent on the stream of their own call, answered by a POST.

A question is known by the session it was put in and the id it bears, so nobody answers for another.
Owned by the event loop. Source: MCP 2025-11-25 basic/transports (Sending Messages to the Server).
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping

from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import request_body
from gatelodge.core.protocol.bridge.questions import InputRequest
from gatelodge.flows.gateway.streams import BREATH_SECONDS
from gatelodge.ports.upstream import UpstreamReply

_Key = tuple[bytes, bytes]


class QuestionBatch:
    """Questions that were put at once, until all are answered or somebody gives up."""

    def __init__(self, table: dict[_Key, "asyncio.Future[UpstreamReply]"]) -> None:
        self._table = table
        self._keys: list[_Key] = []
        self._waiting: dict[str, asyncio.Future[UpstreamReply]] = {}

    def add(self, name: str, key: _Key, future: "asyncio.Future[UpstreamReply]") -> None:
        """One more question, under its key in the table."""
        self._keys.append(key)
        self._waiting[name] = self._table[key] = future

    def give_up(self) -> None:
        """Nobody will answer any more."""
        for future in self._waiting.values():
            future.cancel()

    async def answers(
        self, seconds: float, breathe: Callable[[], None]
    ) -> dict[str, UpstreamReply]:
        """What was answered in that time; a question that was not is missing.

        `breathe` is called now and then: people take longer than a proxy keeps a silent stream.
        """
        loop = asyncio.get_running_loop()
        ends, waiting = loop.time() + seconds, set(self._waiting.values())
        try:
            while waiting and (left := ends - loop.time()) > 0:
                _, waiting = await asyncio.wait(waiting, timeout=min(left, BREATH_SECONDS))
                if waiting:
                    breathe()
        finally:
            # A cancelled call comes here too: an answer that is late then finds no question.
            for key in self._keys:
                self._table.pop(key, None)
        return {
            name: future.result()
            for name, future in self._waiting.items()
            if future.done() and not future.cancelled()
        }


class OpenBatches:
    """The questions that wait for a client's word."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[_Key, asyncio.Future[UpstreamReply]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._open)

    def put(
        self, session: bytes, questions: Mapping[str, InputRequest], say: Callable[[bytes], None]
    ) -> QuestionBatch:
        """Say these questions in that session."""
        loop = asyncio.get_running_loop()
        put = QuestionBatch(self._open)
        for name, question in questions.items():
            number = next(self._numbers)
            put.add(name, (session, b"%d" % number), loop.create_future())
            say(request_body(number, question.method, bytes(question.params)))
        return put

    def answered(
        self, session: bytes, raw_id: bytes, result: Raw | None, error: Raw | None
    ) -> bool:
        """A client's response in that session; false when nothing was asked under this id."""
        # Whoever answers first takes the question away, so no second answer can change it.
        future = self._open.pop((session, raw_id), None)
        if future is None or future.done():
            return False
        future.set_result(
            UpstreamReply(result=result) if result is not None else UpstreamReply(error=error)
        )
        return True
