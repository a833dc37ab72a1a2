"""Guardrails: list, publish, check, show, retire."""

from collections.abc import Callable

from litestar import get, post
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.naming import NamedEntities
from gatelodge.core.policy.rules import Guardrail
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import guardrails
from gatelodge.flows.admin.bearers import bearers
from gatelodge.flows.admin.guardrails import Scope
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Flag, Here, JSONBody, Limits, Named


class GuardrailShape(Struct, frozen=True, kw_only=True):
    """A version of a guardrail. `scope` is the workspace, or everywhere.

    `text` is written with names, `with_ids` is what is evaluated and stands in the log; `digest` is
    of the latter. `unmatched` is what it names that is not there: for that it holds nothing now.
    Of a rule for every workspace only the local operator is told the names and what is unmatched.
    """

    id: str
    name: str
    mode: str
    scope: str
    digest: str
    text: str
    with_ids: str
    unmatched: tuple[str, ...]
    created_by: str
    created_at: str


class NewGuardrail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Cedar forbid with an @reason; `everywhere` is the local operator's alone.

    `unmatched` allows it to name servers, tools, groups and tags that are not there yet.
    """

    name: str
    text: str
    mode: str = "enforce"
    everywhere: bool = False
    unmatched: bool = False


class GuardrailText(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that might be published, here or (`everywhere`) for every workspace."""

    text: str
    everywhere: bool = False
    unmatched: bool = False


class ActReason(Struct, frozen=True, forbid_unknown_fields=True):
    """A ticket or a reason code; it stands in the log for good."""

    why: str = ""


class PublishableText(Struct, frozen=True):
    """The text could be published; `unmatched` is what it names that is not there."""

    good: bool = True
    unmatched: tuple[str, ...] = ()


@get("/guardrails", opt={"act": "guardrail.read"})
async def listed(
    place: Here, limit: Limits = PAGE, cursor: Asks = "", *, retired: Flag = False
) -> ItemPage[GuardrailShape]:
    """List the guardrails that hold here; with `retired` also the versions that held once."""

    def look(tx: StoreTx) -> ItemPage[GuardrailShape]:
        everywhere = guardrails.listed(tx, "")
        rows = [*everywhere, *guardrails.listed(tx, place.id)]
        return page(
            [row for row in rows if retired or row.mode != "retired"],
            lambda row: row.id,
            _shape_for_caller(tx, place),
            PageRequest(limit, cursor),
        )

    return await place.gate.read(look)


@post("/guardrails", opt={"act": "guardrail.publish"})
async def publish(place: Here, data: JSONBody[NewGuardrail]) -> GuardrailShape:
    """Publish a guardrail; the version that stood under this name is retired with it."""
    scope: Scope = "" if data.everywhere else place.id

    def work(act: GovernanceAct) -> GuardrailShape:
        draft = guardrails.GuardrailDraft(
            name=data.name,
            text=data.text,
            mode=data.mode,  # type: ignore[arg-type]  # checked there, with words of its own
            unmatched=data.unmatched,
        )
        # The flow itself asks whether the author may publish for every workspace, so no route
        # forgets it.
        return _shape_for_caller(act.tx, place)(guardrails.publish(act, scope, draft, validate))

    return await place.gate.change(place.caller, work)


@post("/guardrails/check", opt={"act": "guardrail.read"}, status_code=200)
async def check(place: Here, data: JSONBody[GuardrailText]) -> PublishableText:
    """Say whether a text could be published; 400 with the place when not."""
    scope: Scope = "" if data.everywhere else place.id
    # Asked for a mere draft too: what it leaves unmatched tells the names of other workspaces.
    guardrails.reach(scope, local=place.caller.local)

    def look(tx: StoreTx) -> PublishableText:
        found = guardrails.checked(tx, scope, data.text, validate, unmatched=data.unmatched)
        return PublishableText(unmatched=tuple(map(str, found.unmatched)))

    return await place.gate.read(look)


@get("/guardrails/{name:str}", opt={"act": "guardrail.read"})
async def show(place: Here, name: Named) -> GuardrailShape:
    """Show one guardrail with its text."""
    return await place.gate.read(
        lambda tx: _shape_for_caller(tx, place)(lookup.guardrail(tx, place.id, name))
    )


@post("/guardrails/{name:str}/retire", opt={"act": "guardrail.retire"}, status_code=200)
async def retire(place: Here, name: Named, data: JSONBody[ActReason]) -> GuardrailShape:
    """End a guardrail."""

    def work(act: GovernanceAct) -> GuardrailShape:
        row = lookup.guardrail(act.tx, place.id, name)
        # The name may have found a rule for every workspace, which the flow lets an operator alone
        # end.
        return _shape_for_caller(act.tx, place)(guardrails.retire(act, row.workspace, row.id))

    return await place.gate.change(place.caller, work, data.why)


def _shape_for_caller(
    tx: StoreTx, place: WorkspaceContext
) -> Callable[[Guardrail], GuardrailShape]:
    """The shape of a row; the names of each scope are read once, when a row asks for them.

    The words of a rule for every workspace may name people and servers of other ones: whoever is
    not the local operator reads it with ids.
    """
    known: dict[str, NamedEntities] = {}

    def shape(row: Guardrail) -> GuardrailShape:
        if not row.workspace and not place.caller.local:
            return _guardrail_shape(replace(row, written=row.text), ())
        if row.workspace not in known:
            known[row.workspace] = bearers(tx, row.workspace)
        return _guardrail_shape(row, guardrails.unmatched(row, known[row.workspace]))

    return shape


def _guardrail_shape(row: Guardrail, unmatched: tuple[str, ...]) -> GuardrailShape:
    scope = "workspace" if row.workspace else "everywhere"
    words = {"text": row.written, "with_ids": row.text, "unmatched": unmatched}
    return shown_as(GuardrailShape, row, scope=scope, **words)


ROUTES = (listed, publish, check, show, retire)
