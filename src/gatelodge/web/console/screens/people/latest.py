"""What somebody did last, on their own page: a few records, and the question that finds all."""

from msgspec import Struct

from gatelodge.core.errors import HouseError, Unauthenticated
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.record import audit
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.api.record.responses import RecordShape
from gatelodge.web.console.screens.record.question import AskedQuestion

MOST = 10


class LatestRecords(Struct, frozen=True, kw_only=True):
    """The newest records that a question finds; `query` is that question as the audit page's.

    `older` says that there are, or may be, more than these. `problem` is why none are shown.
    """

    rows: tuple[RecordShape, ...] = ()
    query: str
    older: bool = False
    problem: str = ""


async def latest_records(place: WorkspaceContext, sought: RecordFilter) -> LatestRecords | None:
    """The newest records of somebody; None for whoever may not read any. The look is written down.

    Raises Unauthenticated.
    """
    if not place.caller.may("audit.read"):
        return None
    query = AskedQuestion(sought).link()
    try:
        found = await audit.search.fn(place, sought, MOST, "")
    except Unauthenticated:
        raise
    except HouseError as fault:
        # Access is ended on this page: it is there also while the records cannot be read.
        return LatestRecords(query=query, problem=fault.detail)
    return LatestRecords(rows=found.items, query=query, older=bool(found.next))
