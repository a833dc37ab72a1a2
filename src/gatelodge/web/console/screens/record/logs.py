"""The logs and the nodes: sizes, what is signed, and how this node is doing."""

from typing import Any

from litestar import Response, get

from gatelodge.web.api.house import health
from gatelodge.web.api.parameters import Asks, Here, TheCaller, TheGate
from gatelodge.web.api.record import keeping
from gatelodge.web.console.rendering import page
from gatelodge.web.console.tables import as_file, parse_form, table_file


@get("/logs", opt={"act": "audit.read"})
async def logs(place: Here, gate: TheGate, caller: TheCaller, form: Asks = "") -> Response[Any]:
    """Each log with what is signed of it, the key that signs, and the nodes."""
    chosen = parse_form(form)
    told = await keeping.keeping.fn(place, gate)
    if chosen:
        return await as_file(place, told.logs, chosen, table_file(keeping.KeptLog, "logs"))
    return page(
        "logs.html",
        place,
        "logs",
        node=await health.node.fn(gate, caller),
        told=told,
        free=f"{told.disk_free / 2**30:.1f} of {told.disk_total / 2**30:.1f} GiB",
    )


ROUTES = (logs,)
