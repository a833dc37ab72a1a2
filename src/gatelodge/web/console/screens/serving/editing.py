"""A server is changed on its page: its definition, and the secrets that it is given."""

import re
from typing import Any, Final

from litestar import Response, post

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Invalid
from gatelodge.flows.admin.definitions.edits import ServerEdit
from gatelodge.flows.admin.definitions.proposals import check_description
from gatelodge.flows.nouns import lookup
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.api.rules import secrets
from gatelodge.web.api.rules import servers as api
from gatelodge.web.console.forms import Asked, sent_form
from gatelodge.web.console.screens.serving import fields
from gatelodge.web.console.screens.serving.offered import SECRET_PLACES, parts_of_server
from gatelodge.web.console.screens.serving.servers import answered_of_server

_UNNAMED: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME: Final = 64


@post("/servers/{alias:str}/edit", opt={"act": "server.register"}, status_code=200)
async def edit(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """Change what of the definition is another text than the page showed."""
    sent = await sent_form(request)

    async def work() -> Any:
        row = await _found_server(place, alias)
        digest = fields.shown_digest(sent, "description")
        # What differs can be told only from what was shown.
        check_description(row, digest)
        main, more = parts_of_server(place, row)
        given = fields.said_parts((*main, *more), sent, fields.spelled_server(row))
        if not given:
            raise Invalid("nothing is changed", remedy="Change a field, and send it again.")
        wish = fields.read_form({**given, "description": digest}, ServerEdit)
        return await api.edit.fn(place, alias, wish, dry_run=sent.asks)

    return await answered_of_server(place, alias, sent, "edit", work)


@post("/servers/{alias:str}/secret", opt={"act": "server.register"}, status_code=200)
async def give_secret(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """Keep a secret in the vault, and name it in the definition."""
    sent = await sent_form(request)

    async def work() -> None:
        row = await _found_server(place, alias)
        part = SECRET_PLACES[type(row.transport)].get(sent.text("place"))
        called, before = sent.text("name"), sent.text("before")
        if part is None or not called:
            raise Invalid("the secret has no place", remedy="Say as what it is given, and a name.")
        name = sent.text("secret") or _UNNAMED.sub("-", f"{row.alias}-{called}")[:_LONGEST_NAME]
        named = {part: {called: f"{before} vault:{name}".strip()}}
        digest = fields.shown_digest(sent, "description")
        wish = fields.read_form({**named, "description": digest}, ServerEdit)
        value = secrets.NewValue(value=sent.whole("value"), new=True)
        await secrets.set_for_server(place, name, value, alias, wish)

    return await answered_of_server(place, alias, sent, "secret", work)


async def _found_server(place: WorkspaceContext, alias: str) -> Server:
    return await place.gate.read(lambda tx: lookup.server(tx, place.id, alias))


ROUTES = (edit, give_secret)
