"""Whether a log only grew: what shows that one tree of it begins with another."""

from litestar import get
from litestar.params import FromQuery
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.records.origin import GOV, calls_log, past
from gatelodge.flows.audit.reading import LogReading
from gatelodge.web.api.parameters import Asks, Here, Shard


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """The hashes that show the tree of `new` leaves to begin with that of `old` (RFC 9162 2.1.4).

    They say nothing by themselves: check them with the roots of two signed checkpoints.
    """

    log: str
    old: int
    new: int
    path: tuple[bytes, ...]


@get("/audit/consistency", opt={"act": "audit.export"})
async def consistency(
    place: Here, old: FromQuery[int], new: FromQuery[int], log: Asks = "calls", shard: Shard = 0
) -> ConsistencyProof:
    """Show that a log only grew between two sizes; `log` is calls or gov."""
    kinds = {"calls": calls_log(place.id), GOV: GOV}
    if log not in kinds:
        raise Invalid(f"there is no log {log!r}", remedy="Say calls or gov.")
    name = past(kinds[log], shard) if shard else kinds[log]
    size = await LogReading(place.gate.ledger).size(name)
    if not 1 <= old <= new <= size:
        raise Invalid(
            f"the log has {size} leaves, so it shows nothing of that",
            remedy="Give two sizes of the log, the older one first.",
        )
    path = await place.gate.ledger.consistency(name, old, new)
    return ConsistencyProof(log=name, old=old, new=new, path=tuple(path))


ROUTES = (consistency,)
