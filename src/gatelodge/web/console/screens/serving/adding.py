"""A server is added on a page: described, so that somebody can look at it and approve it."""

from typing import Any, Final

from litestar import Response, post

from gatelodge.core.catalog.transport import PARTS, check_parts
from gatelodge.flows.admin.definitions.proposals import ServerWords
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here
from gatelodge.web.api.rules import servers as api
from gatelodge.web.console.forms import (
    Asked,
    FormOutcome,
    answered_with_place,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import segment
from gatelodge.web.console.screens.serving import fields
from gatelodge.web.console.screens.serving.fields import PartField
from gatelodge.web.console.screens.serving.servers import servers_page

_PARTS: Final[dict[str, tuple[PartField, ...]]] = {
    "url": (*fields.URL, *fields.MORE_OF_URL),
    "command": (*fields.COMMAND, *fields.MORE_OF_COMMAND),
}


async def describe(place: WorkspaceContext, alias: str, given: dict[str, Any]) -> None:
    """Propose a server of what a form says of it. Raises as the API's own route does."""
    check_parts({part for part in PARTS if given.get(part)})
    words = fields.read_form({"alias": alias, **given}, ServerWords).proposal
    await api.register.fn(
        place,
        api.NewServer(
            alias=alias,
            transport=words.transport,
            era=words.era,
            tags=words.tags,
            hidden_capabilities=words.hidden_capabilities,
            timing=words.timing,
        ),
    )


@post("/servers", opt={"act": "server.register"}, status_code=200)
async def add(place: Here, request: Asked) -> Response[Any]:
    """Describe a server that is reached by a URL, or that is a command, by what the form says."""
    sent = await sent_form(request)
    form = "command" if sent.text("do") == "command" else "url"
    alias = sent.text("alias")

    async def work() -> None:
        parts = (*_PARTS[form], *fields.OF_EVERY)
        await describe(place, alias, fields.said_parts(parts, sent, fields.BLANK))

    async def shows(told: FormOutcome) -> Response[Any]:
        return await servers_page(place, told)

    path = f"{home_of(place)}/servers/{segment(alias)}"
    return await answered_with_place(form, sent, work, path, shows)


ROUTES = (add,)
