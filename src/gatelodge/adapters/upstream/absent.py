"""Requests to a server that is not there: each fails before it began."""

from gatelodge.adapters.upstream.pending import PendingRequest, PendingRequests
from gatelodge.adapters.upstream.question import PendingQuestion
from gatelodge.core.errors import HouseError
from gatelodge.ports.upstream import MayGo, UpstreamReply, UpstreamRequest


class _NoConnection:
    """Carries what is never sent (`RequestCarrier`)."""

    modern = False

    def cancel(self, flight: PendingRequest, reason: str) -> None:
        """Nothing was sent that a server could stop."""

    def respond(
        self,
        flight: PendingRequest,
        question: PendingQuestion,
        reply: UpstreamReply,
        admitted: MayGo,
    ) -> None:
        """No server asked."""

    def refuse(self, flight: PendingRequest) -> None:
        """No server asked."""


def failed_request(fault: HouseError, request: UpstreamRequest) -> PendingRequest:
    """A request that failed with this fault before it began."""
    absent = PendingRequests(_NoConnection(), PendingRequest)
    flight = absent.add(request, None)
    absent.fail(flight, fault)
    return flight
