"""The routes of a declared noun: its list, one of its rows, and a route for each verb.

They are routes like those that are written by hand; their parameters are said by a signature that
is made from the declaration, from which the framework reads where each comes from.
"""

from collections.abc import Awaitable, Callable, Sequence
from inspect import Parameter, Signature
from itertools import chain
from typing import Any

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler

from gatelodge.core.errors import Forbidden
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.flows.nouns.noun import EndedIds, Noun, NounVerb
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Flag, Here, JSONBody, Limits, Named

Answers = Callable[..., Awaitable[Any]]


def routes(noun: Noun[Any]) -> tuple[HTTPRouteHandler, ...]:
    """Every route of a noun."""
    return (
        _list_route(noun),
        _show_route(noun),
        *(_verb_route(noun, verb) for verb in noun.verbs),
    )


def _list_route(noun: Noun[Any]) -> HTTPRouteHandler:
    async def answer(place: WorkspaceContext, limit: int, cursor: str, **above: str) -> Any:
        def look(tx: StoreTx) -> ItemPage[Any]:
            asked = PageRequest(limit, cursor)
            rows = rows_of_noun(noun, tx, place, *above.values())
            found = page(rows, noun.ident, lambda row: row, asked)
            items = noun.show(tx, found.items, place.showing) if found.items else ()
            return ItemPage(items=tuple(items), next=found.next)

        return await place.gate.read(look)

    takes = [_keyword_parameter("limit", Limits, PAGE), _keyword_parameter("cursor", Asks, "")]
    shapes = ItemPage[noun.shape]  # type: ignore[name-defined] # a type that is made here
    says = f"List the {noun.plural}, oldest first."
    if noun.own is not None:
        says += " Without the right to see all, one's own."
    if noun.below is not None:
        takes.insert(0, _keyword_parameter(noun.below.name, Asks, ""))
        says = f"List the {noun.plural} of one {noun.below.name}, or of all."
    made = _build_route(answer, "list", says, takes, shapes)
    return get(f"/{noun.plural}", opt=route_options(noun, f"{noun.name}.read", "list"))(made)


def _show_route(noun: Noun[Any]) -> HTTPRouteHandler:
    async def answer(place: WorkspaceContext, name: str, **below: str) -> Any:
        def look(tx: StoreTx) -> Any:
            row = row_for_caller(noun, place, tx, f"{noun.name}.read", name, *below.values())
            return noun.show_one(tx, row, place.showing)

        return await place.gate.read(look)

    takes = [_keyword_parameter("name", Named)]
    if noun.below is not None:
        takes.append(_keyword_parameter(noun.name, Asks, ""))
    made = _build_route(answer, "show", f"Show one {noun.name}.", takes, noun.whole or noun.shape)
    path = _path_of_row(noun, "" if noun.below is None else "/show")
    return get(path, opt=route_options(noun, f"{noun.name}.read", "show"))(made)


def _verb_route(noun: Noun[Any], verb: NounVerb) -> HTTPRouteHandler:
    answer = answer_of_verb(noun, verb)
    takes = [] if verb.makes else [_keyword_parameter("name", Named)]
    if verb.why and verb.removes:
        takes.append(_keyword_parameter("why", Asks, ""))
    elif verb.inputs or verb.why or noun.below is not None:
        takes.append(_keyword_parameter("data", JSONBody[body_type(noun, verb)]))  # type: ignore[misc]
    if verb.tries:
        takes.append(_keyword_parameter("dry_run", Flag, default=False))
    gives = RevocationReceipt if verb.ends else verb.answer
    gives = gives | DryRun if verb.tries else gives
    made = _build_route(answer, verb.run.__name__, verb.about, takes, gives)
    opt = route_options(noun, verb.act, verb.run.__name__, owned=not verb.makes)
    if verb.removes:
        return delete(_path_of_row(noun), opt=opt, status_code=200)(made)
    if verb.makes:
        return post(f"/{noun.plural}", opt=opt)(made)
    return post(_path_of_row(noun, f"/{verb.name}"), opt=opt, status_code=200)(made)


def answer_of_verb(noun: Noun[Any], verb: NounVerb) -> Answers:
    """What answers a verb: with `place`, `name` where it makes no row, `data`, `why`, `dry_run`."""
    return _access_ending_answer(noun, verb) if verb.ends else _row_changing_answer(noun, verb)


def _row_changing_answer(noun: Noun[Any], verb: NounVerb) -> Answers:
    """What answers a verb that ends no access: the row as it is now, or what it returns."""

    async def answer(
        place: WorkspaceContext, name: str = "", data: Any = None, **asked: Any
    ) -> Any:
        def work(act: GovernanceAct) -> Any:
            about = _subject_of_verb(noun, verb, place, act.tx, name, data)
            done = verb.run(act, about, **verb.words(act.tx, place.id, data))
            # In the same transaction: right after it the row may be another one already.
            if verb.rows:
                return verb.answer(tuple(noun.show(act.tx, done, place.showing) if done else ()))
            if isinstance(done, noun.row):
                return noun.show(act.tx, [done], place.showing)[0]
            return done

        if asked.get("dry_run"):
            return await place.gate.rehearse(place.caller, work, _why(data, asked), place.id)
        return await place.gate.change(place.caller, work, _why(data, asked))

    return answer


def _access_ending_answer(noun: Noun[Any], verb: NounVerb) -> Answers:
    """What answers a verb that ends access: the receipt, once it holds on every node."""

    async def answer(place: WorkspaceContext, name: str, data: Any = None, **asked: Any) -> Any:
        row = await place.gate.read(lambda tx: _subject_of_verb(noun, verb, place, tx, name, data))
        ident = noun.ident(row)

        def work(act: GovernanceAct) -> tuple[str, ...]:
            # By the id that the receipt will name: the name may stand for another row by now.
            about = row_for_caller(noun, place, act.tx, verb.act, *ident.split("/", 1))
            ended: EndedIds = verb.run(act, about, **verb.words(act.tx, place.id, data))
            return ended.ids

        if asked.get("dry_run"):
            return await place.gate.rehearse(place.caller, work, _why(data, asked), place.id)
        ended = (verb.ends, ident, place.id)
        return await place.gate.end(place.caller, ended, _why(data, asked), work)

    return answer


def _why(data: Any, asked: dict[str, Any]) -> str:
    """The reason that was said: in the body, or in the query of what takes none."""
    return str(getattr(data, "why", asked.get("why", "")))


def rows_of_noun(
    noun: Noun[Any], tx: StoreTx, place: WorkspaceContext, above: str = ""
) -> Sequence[Any]:
    """The rows that the caller may see, all or their own.

    Of a noun that stands below another: those of each row of that, or of the one named.
    """
    rows = _all_rows(noun, tx, place, above)
    # Before a page is cut: its cursor and its gaps would else tell of other people's rows.
    if rows and noun.own is not None and not place.caller.may(f"{noun.name}.read"):
        return noun.own(tx, rows, place.caller.by)
    return rows


async def shown_rows(noun: Noun[Any], place: WorkspaceContext) -> Sequence[Any]:
    """The rows that the caller may see, as they are shown in a list."""

    def look(tx: StoreTx) -> Sequence[Any]:
        rows = rows_of_noun(noun, tx, place)
        return noun.show(tx, rows, place.showing) if rows else ()

    return await place.gate.read(look)


def _all_rows(noun: Noun[Any], tx: StoreTx, place: WorkspaceContext, above: str) -> Sequence[Any]:
    if noun.below is None:
        return tx.find(noun.row, workspace=place.id)
    over = noun.below
    rows = [over.find(tx, place.id, above)] if above else tx.find(over.row, workspace=place.id)
    found = (tx.find(noun.row, workspace=place.id, **{over.name: over.ident(row)}) for row in rows)
    return list(chain.from_iterable(found))


def row_for_caller(
    noun: Noun[Any], place: WorkspaceContext, tx: StoreTx, act: str, name: str, below: str = ""
) -> Any:
    """The row of that name. Raises NotFound, Forbidden (it is not theirs, as it has to be)."""
    if noun.below is not None:
        # By its id: a slash in what a path names would divide it elsewhere.
        name = f"{noun.below.ident(noun.below.find(tx, place.id, name))}/{below}"
    row = noun.find(tx, place.id, name)
    # The door knows no row, so it opened by either verb: whose row it is counts here.
    if not place.caller.may(act) and not (noun.own and noun.own(tx, [row], place.caller.by)):
        raise Forbidden(f"this role may {act.partition('.')[2]} its own {noun.plural} only")
    return row


def _subject_of_verb(
    noun: Noun[Any], verb: NounVerb, place: WorkspaceContext, tx: StoreTx, name: str, data: Any
) -> Any:
    """What a verb is about: the workspace, the row, or that above it. Raises as `_row` does."""
    if verb.makes:
        return place.id
    if verb.above and noun.below is not None:
        return noun.below.find(tx, place.id, name)
    return row_for_caller(noun, place, tx, verb.act, name, getattr(data, noun.name, ""))


def body_type(noun: Noun[Any], verb: NounVerb) -> type[msgspec.Struct]:
    """The JSON object that a verb is given; what it does not know is refused."""
    fields: list[Any] = [
        (each.name, each.type) if each.needed else (each.name, each.type, each.default)
        for each in verb.inputs
    ]
    if noun.below is not None and not verb.above:
        fields.append((noun.name, str))
    if verb.why:
        fields.append(("why", str, ""))
    name = f"{noun.name}_{verb.run.__name__}".title().replace("_", "")
    told = {"__doc__": f"What `{noun.name} {verb.name}` is given."}
    return msgspec.defstruct(
        name, fields, frozen=True, kw_only=True, forbid_unknown_fields=True, namespace=told
    )


def _build_route(
    run: Answers, name: str, says: str, takes: list[Parameter], answers: Any
) -> Answers:
    """A route that says of itself where its parameters come from; all take the workspace."""
    takes = [_keyword_parameter("place", Here), *takes]

    async def route(**given: Any) -> Any:
        return await run(**given)

    route.__name__, route.__doc__ = name, says
    route.__annotations__ = {each.name: each.annotation for each in takes} | {"return": answers}
    route.__signature__ = Signature(takes, return_annotation=answers)  # type: ignore[attr-defined]
    return route


def _keyword_parameter(name: str, hint: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _path_of_row(noun: Noun[Any], rest: str = "") -> str:
    """The path that names a row, or the row above it."""
    if noun.below is None:
        return f"/{noun.plural}/{{name:str}}{rest}"
    return f"/{noun.below.plural}/{{name:str}}/{noun.plural}{rest}"


def route_options(
    noun: Noun[Any], act: str, operation: str, *, owned: bool = True
) -> dict[str, Any]:
    """What the role must allow; and the names under which the description of the API has it."""
    acts = (act, f"{noun.name}.own") if owned and noun.own else (act,)
    return {"act": acts, "noun": noun.plural, "operation": operation}
