"""The answer to one message of a batch, and under what it leaves with the others."""

from collections.abc import Callable

from gatelodge.core.view import PolicyView
from gatelodge.web.endpoint.http.answer import HttpAnswer
from gatelodge.web.endpoint.request_context import RequestContext


class BatchPart(HttpAnswer):
    """The answer to one message of a batch: kept until all are there."""

    __slots__ = ("body", "status", "still")

    def __init__(self, whole: RequestContext) -> None:
        super().__init__(whole.connection, whole.request)
        self.body = b""
        self.status = 0
        self.still: Callable[[PolicyView], bool] | None = None
        """Says whether it would be given under this view too; None where who asks decides alone.

        It waits for the other parts, and what let it be given may end meanwhile.
        """

    def end(self, status: int, body: bytes) -> None:
        """Keep the body."""
        if not self.ended:
            self.ended, self.status, self.body = True, status, body
            self.bytes_out = len(body)
