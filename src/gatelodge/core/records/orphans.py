"""What closes a pair whose node is gone, so that nobody will ever know how it ended."""

from typing import Literal

from gatelodge.core.records.hosting_leaves import EgressClosed, InstanceStopped
from gatelodge.core.records.leaves import CallsLeaf, CallUnresolved, StreamClosed
from gatelodge.core.records.pairs import WaitingOpener

OrphanReason = Literal["gateway_restart", "node_lost"]


def closer_of_orphan(
    pair: str, opener: WaitingOpener, reason: OrphanReason, *, at: str, node: str
) -> CallsLeaf:
    """The leaf that closes it; `node` is the one that writes it, `at` when."""
    closer: CallsLeaf
    match opener.t:
        case "stream.opened":
            closer = StreamClosed(ms=0, reason=reason, stream=pair)
        case "instance.started":
            # What it ran on ends what an earlier gate left, before this one starts anything.
            closer = InstanceStopped(instance=pair, ms=0, reason=reason)
        case "egress.opened":
            closer = EgressClosed(connection=pair, ms=0, reason=reason)
        case _:
            closer = CallUnresolved(call=pair, intent=opener.index, reason=reason)
    closer.at, closer.node = at, node
    return closer
