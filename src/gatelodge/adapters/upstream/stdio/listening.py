"""A subscription of ours on a child's pipes: a request that is answered when it is over."""

import asyncio

from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.ports.upstream import UpstreamReply


class StdioListening:
    """One `subscriptions/listen` (`watch.Stream`); `all_open` finds it by the number of its flight.

    `ended` is 0 when it may be asked for again, else the server refused it.
    """

    def __init__(self, flight: PendingRequest, all_open: "dict[int, StdioListening]") -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.acknowledged: asyncio.Future[None] = loop.create_future()
        self._flight = flight
        self._all_open = all_open
        flight.reply.add_done_callback(self._report_subscription_end)

    def acknowledge(self) -> None:
        """The server said that it tells from now on."""
        if not self.acknowledged.done():
            self.acknowledged.set_result(None)

    def close(self) -> None:
        """Nothing more is wanted of it: the server is told."""
        self._all_open.pop(self._flight.number, None)
        self._flight.abort("cancelled")

    def _report_subscription_end(self, reply: "asyncio.Future[UpstreamReply]") -> None:
        self._all_open.pop(self._flight.number, None)
        if self.ended.done():
            return
        lost = reply.cancelled() or reply.exception() is not None
        self.ended.set_result(0 if lost or reply.result().error is None else 200)
