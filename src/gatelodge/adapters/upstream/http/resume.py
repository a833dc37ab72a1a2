"""Going on with the stream of a legacy answer that ended before its response.

A server that numbers its events may close the stream of a POST and be polled for the rest
(2025-11-25 transports, Resumability; SEP-1699). It is asked after the pause that it named, as long
as something new comes.
"""

import asyncio

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.upstream.http.head import RequestHeads
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.core.errors import HouseError, UpstreamError

MOST_TRIES = 5
"""Attempts in a row that may bring nothing new."""
PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""The pause where the server named none, and the longest that is waited; the deadline runs on."""


class StreamResumption:
    """Asks for the rest of streams on the connections of one client."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()

    def takes(self, flight: PendingHttpRequest, fault: HouseError, heads: RequestHeads) -> bool:
        """True when the rest of the flight's stream is asked for; false when there is none."""
        events = flight.events
        waits = flight.table.open.get(flight.number) is flight
        # What the gate itself ended, at a limit say, would only be ended once more.
        if not waits or events is None or not isinstance(fault, UpstreamError):
            return False
        if events.last and events.last != flight.last:
            flight.last, flight.tries = events.last, 0
        if not flight.last or flight.tries >= MOST_TRIES:
            return False
        flight.tries += 1
        flight.wire = heads.listening(flight.last)
        flight.place = self
        pause = PAUSE if events.retry is None else min(events.retry / 1000, LONGEST_PAUSE)
        self._loop.call_later(pause, self._go_on, flight)
        return True

    def abandon(self) -> bool:
        """Nobody waits for the rest any more; the server has seen the request."""
        return True

    def _go_on(self, flight: PendingHttpRequest) -> None:
        # In the pause its caller may have given up, or its deadline have passed.
        if flight.place is self and flight.table.open.get(flight.number) is flight:
            flight.place = None
            # It is another request: the connection that it gets may be a stale one as well.
            flight.again = False
            self._client.send(flight)
