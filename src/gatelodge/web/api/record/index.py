"""The index of a workspace's logs: how far it is, and its making anew."""

from litestar import get, post
from msgspec import Struct

from gatelodge.core.records.origin import calls_log, kind_of
from gatelodge.core.searching.places import CHUNK
from gatelodge.web.api.authentication import LOCAL_ONLY
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here


class LogIndexState(Struct, frozen=True, kw_only=True):
    """How far the index of a log is: of `leaves` it holds the first `indexed`.

    It takes up whole chunks, so up to 4,095 leaves are always left; a search reads these in the
    log. `filling` = more than that is left.
    """

    log: str
    leaves: int
    indexed: int
    filling: bool


@get("/audit/index", opt={"act": "audit.read"})
async def index(place: Here) -> tuple[LogIndexState, ...]:
    """Show how far the index is that searches ask."""
    return await _states(place)


@post("/audit/index/rebuild", opt={"act": LOCAL_ONLY}, status_code=200)
async def rebuild(place: Here) -> tuple[LogIndexState, ...]:
    """Throw the index of the workspace's logs away; it is made anew, and searches read the logs."""
    for reach in await place.gate.index.reaches():
        if kind_of(reach.log) == calls_log(place.id):
            await place.gate.index.drop(reach)
    return await _states(place)


async def _states(place: WorkspaceContext) -> tuple[LogIndexState, ...]:
    done = {each.log: each.position for each in await place.gate.index.reaches()}
    return tuple(
        LogIndexState(
            log=head.log,
            leaves=head.size,
            indexed=min(head.size, done.get(head.log, 0)),
            filling=head.size - done.get(head.log, 0) >= CHUNK,
        )
        for head in await place.gate.ledger.heads()
        if kind_of(head.log) == calls_log(place.id)
    )


ROUTES = (index, rebuild)
