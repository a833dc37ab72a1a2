"""Guardrails: list, publish, check, show, retire."""

from litestar import get, post
from msgspec import Struct

from gatelodge.core.policy.guardrails import validate
from gatelodge.flows.act import Act
from gatelodge.flows.admin import guardrails
from gatelodge.flows.admin.guardrails import Scope
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.given import Asks, Flag, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import Why
from gatelodge.web.api.rules.shapes import GuardrailShape, guardrail_shape


class NewGuardrail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Cedar forbid with an @reason; `everywhere` is the local operator's alone."""

    name: str
    text: str
    mode: str = "enforce"
    everywhere: bool = False


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that might be published."""

    text: str


class Good(Struct, frozen=True):
    """The text could be published."""

    good: bool = True


@get("/guardrails", opt={"act": "guardrail.read"})
async def listed(
    place: Here, limit: Limits = PAGE, cursor: Asks = "", *, retired: Flag = False
) -> Page[GuardrailShape]:
    """List the guardrails that hold here; with `retired` also the versions that held once."""

    def look(tx: Tx) -> Page[GuardrailShape]:
        everywhere = guardrails.listed(tx, "")
        rows = [*everywhere, *guardrails.listed(tx, place.id)]
        return page(
            [row for row in rows if retired or row.mode != "retired"],
            lambda row: row.id,
            guardrail_shape,
            Asked(limit, cursor),
        )

    return await place.gate.read(look)


@post("/guardrails", opt={"act": "guardrail.publish"})
async def publish(place: Here, data: JSONBody[NewGuardrail]) -> GuardrailShape:
    """Publish a guardrail; the version that stood under this name is retired with it."""
    scope: Scope = "" if data.everywhere else place.id

    def work(act: Act) -> GuardrailShape:
        row = guardrails.publish(
            act,
            scope,
            data.name,
            data.text,
            data.mode,  # type: ignore[arg-type]  # checked there, with words of its own
            validate,
        )
        return guardrail_shape(row)

    return await place.gate.change(place.caller, work)


@post("/guardrails/check", opt={"act": "guardrail.read"}, status_code=200)
async def check(data: JSONBody[Draft]) -> Good:
    """Say whether a text could be published; 400 with the place when not."""
    validate(data.text)
    return Good()


@get("/guardrails/{name:str}", opt={"act": "guardrail.read"})
async def show(place: Here, name: Named) -> GuardrailShape:
    """Show one guardrail with its text."""
    return await place.gate.read(lambda tx: guardrail_shape(named.guardrail(tx, place.id, name)))


@post("/guardrails/{name:str}/retire", opt={"act": "guardrail.retire"}, status_code=200)
async def retire(place: Here, name: Named, data: JSONBody[Why]) -> GuardrailShape:
    """End a guardrail."""

    def work(act: Act) -> GuardrailShape:
        row = named.guardrail(act.tx, place.id, name)
        return guardrail_shape(guardrails.retire(act, row.workspace, row.id))

    return await place.gate.change(place.caller, work, data.why)


ROUTES = (listed, publish, check, show, retire)
