"""Questions put to legacy clients: sent on the stream of their own call, answered by a POST.

A question is known by the session it was put in and the id it bears, so nobody answers for another.
Owned by the event loop. Source: MCP 2025-11-25 basic/transports (Sending Messages to the Server).
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping

from msgspec import Raw

from gatelodge.core.protocol.bridge.questions import InputRequest
from gatelodge.core.protocol.envelope import request_body
from gatelodge.ports.upstream import Reply


class Asking:
    """The questions that wait for a client's word."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[tuple[bytes, bytes], asyncio.Future[Reply]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._open)

    async def ask(
        self,
        session: bytes,
        questions: Mapping[str, InputRequest],
        say: Callable[[bytes], None],
        seconds: float,
    ) -> dict[str, Reply]:
        """Put these questions into that session with `say`; the answers that came in time.

        One that did not come is missing. A client that goes away is heard of by cancellation.
        """
        loop = asyncio.get_running_loop()
        waiting: dict[str, asyncio.Future[Reply]] = {}
        keys: list[tuple[bytes, bytes]] = []
        try:
            for name, question in questions.items():
                raw_id = b"%d" % next(self._numbers)
                keys.append((session, raw_id))
                waiting[name] = self._open[keys[-1]] = loop.create_future()
                say(request_body(raw_id, question.method, question.params))
            await asyncio.wait(waiting.values(), timeout=seconds)
        finally:
            for key in keys:
                self._open.pop(key, None)
        return {name: future.result() for name, future in waiting.items() if future.done()}

    def answered(
        self, session: bytes, raw_id: bytes, result: Raw | None, error: Raw | None
    ) -> bool:
        """A client's response in that session; false when nothing was asked under this id."""
        future = self._open.pop((session, raw_id), None)
        if future is None or future.done():
            return False
        future.set_result(Reply(result=result) if result is not None else Reply(error=error))
        return True
