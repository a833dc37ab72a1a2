"""What runs of a server is ended on its page: killed on every node, or begun anew on this one."""

from typing import Any, Final

from litestar import Response, post

from gatelodge.flows.admin.servers import server
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.web.api.nouns import answer_of_verb, body_type
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.api.rules import instances as api
from gatelodge.web.console.forms import (
    Asked,
    FormOutcome,
    answered,
    sent_form,
)
from gatelodge.web.console.screens.serving.servers import answered_of_server, server_page
from gatelodge.web.console.screens.verbs import ended_page

_DISABLE: Final = next(verb for verb in server.verbs if verb.name == "disable")


@post("/servers/{alias:str}/kill", opt={"act": "server.disable"}, status_code=200)
async def kill(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """Disable a server and kill what runs of it on every node, or tell who would lose what."""
    sent = await sent_form(request)

    async def shows(told: FormOutcome) -> Response[Any]:
        return await server_page(place, alias, told)

    async def work() -> Response[Any]:
        if sent.asks:
            # Killed is disabled, and what runs ended at once: the same is lost.
            would = answer_of_verb(server, _DISABLE)
            found = await would(
                place=place, name=alias, data=body_type(server, _DISABLE)(), dry_run=True
            )
            foreseen = found if isinstance(found, DryRun) else None
            return await shows(FormOutcome(form="kill", typed=sent.typed, foreseen=foreseen))
        found = await api.kill_server.fn(place, alias)
        return await ended_page(place, "servers", alias, found.receipt, killed=found)

    return await answered("kill", sent, work, shows)


@post("/servers/{alias:str}/restart", opt={"act": "server.approve"}, status_code=200)
async def restart(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """End what runs of a server on this node and begin anew."""
    sent = await sent_form(request)

    async def work() -> None:
        await api.restart.fn(place, alias)

    return await answered_of_server(place, alias, sent, "restart", work)


ROUTES = (kill, restart)
