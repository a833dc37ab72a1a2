"""A session that may be lost, asked whether it is there."""

from collections.abc import Callable

from gatelodge.adapters.upstream.http.head import request_wire
from gatelodge.adapters.upstream.http.responses import BufferedResponse, HttpReply
from gatelodge.adapters.upstream.http.side_requests import SideRequests
from gatelodge.adapters.upstream.wire import WireEvents
from gatelodge.core.protocol import upstream, upstream_status

PING_SECONDS = 5.0


class SessionDoubt:
    """Asks a session that may be lost; one question at a time, whoever doubts it meanwhile."""

    def __init__(self, errands: SideRequests, desk: WireEvents) -> None:
        self._errands = errands
        self._desk = desk
        self._told: list[Callable[[bool], None]] = []

    def ask(self, head: bytes, told: Callable[[bool], None]) -> None:
        """`told` hears whether the session is lost; where nothing is known it is not."""
        self._told.append(told)
        if len(self._told) > 1:
            return
        number = next(self._desk.flights.numbers)
        body = upstream.request_bytes(number, "ping", {}, b"")
        reading = BufferedResponse(request_wire(head, body), number)

        def heard(answer: HttpReply | None) -> None:
            # Emptied first: whoever hears may doubt again, and that takes a question of its own.
            waiting, self._told = self._told, []
            for each in waiting:
                each(_is_lost(answer, number))

        self._errands.ask(reading, PING_SECONDS, heard)


def _is_lost(answer: HttpReply | None, number: int) -> bool:
    if answer is None or answer.status < 300:
        return False
    status, body = answer.status, answer.body
    judged = upstream_status.rejected(status, body, number, session=True, wait=0.0)
    return judged == "session_lost"
