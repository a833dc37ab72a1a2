"""Who changed who may do what: the leaves of the gov log, with names; and one of them whole."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from gatelodge.core.records.origin import GOV, past
from gatelodge.flows.audit.reading import fields
from gatelodge.web.api.parameters import Asks, FromIndex, Here, Shard, from_query
from gatelodge.web.api.record import changes
from gatelodge.web.api.record.changes import ChangeFilter
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.record.proofs import proof_panel

ROWS = 50


@get("/changes", opt={"act": "audit.read"}, dependencies={"wanted": from_query(ChangeFilter)})
async def search(
    place: Here, wanted: NamedDependency[ChangeFilter], cursor: Asks = ""
) -> Response[Any]:
    """Changes, newest first: by whom, about whom or what, when, and for which ticket."""
    found = await changes.changes.fn(place, wanted, ROWS, cursor)
    return page("changes.html", place, "changes", found=found, wanted=wanted)


@get("/changes/{index:int}", opt={"act": "audit.read"})
async def show(place: Here, index: FromIndex, shard: Shard = 0) -> Response[Any]:
    """One change as the log has it; the receipt of an end of access is one, too."""
    told = await changes.change.fn(place, index, shard)
    log = past(GOV, shard) if shard else GOV
    leaf = await place.gate.changes.at(log, index, place.id)
    cuts = {}
    if told.type == "revocation.receipt":
        cuts = {node: str(how).split(":") for node, how in told.subject["nodes"].items()}
    return page(
        "change.html",
        place,
        "changes",
        told=told,
        leaf=fields(leaf),
        log=log,
        cuts=cuts,
        proof=proof_panel(place, log, str(index), shard),
    )


ROUTES = (search, show)
