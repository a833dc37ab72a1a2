"""What stands behind a connection: whoever judges, answers and counts its requests."""

import asyncio
from typing import Protocol, TypeVar

from gatelodge.core.records.leaves import RefusedReason
from gatelodge.web.endpoint.http.reader import Unreadable
from gatelodge.web.endpoint.http.request import HttpRequest

LIGHT = 64 * 1024
"""Bytes of a body that waits for no turn."""
CROWDED = "too much of what you sent, or did not read, is under way (limits.person_bytes)"
"""What a person is told who has too much under way."""
UNREADABLE: dict[Unreadable, tuple[int, str, RefusedReason]] = {
    "malformed": (400, "the request is malformed", "malformed_http"),
    "head": (431, "the head is too large", "too_large"),
    "body": (413, "the body is too large", "too_large"),
    "version": (505, "speak HTTP/1.1", "malformed_http"),
    "strangers": (503, "too much is being sent by others; try again", "limit"),
}
"""What is answered and recorded of a request that cannot be read (RFC 9110, RFC 6585)."""
C_contra = TypeVar("C_contra", contravariant=True)
"""The connection, which knows this file and not the other way round."""


class RequestServing(Protocol[C_contra]):
    """What answers requests; `receive` must not raise and ends with `connection.finish`."""

    def receive(self, connection: C_contra, request: HttpRequest) -> None:
        """Begin to answer a request."""
        ...

    def judge(self, connection: C_contra, request: HttpRequest) -> None:
        """Look at the head of a request that has to wait: set its `person`, or its `away`."""
        ...

    def crowded(self, request: HttpRequest) -> None:
        """Its person has too much under way: set its `away`."""
        ...

    def turn_away(self, connection: C_contra, request: HttpRequest, fault: Unreadable) -> None:
        """Answer a request that could not be read, ending the connection."""
        ...

    def gone(self, request: HttpRequest) -> None:
        """The client left this request, whole or in part, before it was looked at."""
        ...


class FaceTurns:
    """The turns of one face: large bodies are read one in each round, however many came at once."""

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    async def wait(self) -> None:
        """Wait until it is the turn of a body that is not light."""
        # The lock is held over the pause, so that of many who wait each gets a round of its own.
        async with self._large:
            await asyncio.sleep(0)


def look_at(written: "asyncio.Future[None]") -> None:
    """Look at how a record was written, as a done callback: nobody else may.

    What failed and nobody looked at would stand in the process's own log as a fault of it.
    """
    if not written.cancelled():
        written.exception()
