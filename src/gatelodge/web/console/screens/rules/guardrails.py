"""Guardrails: each with its text, and an editor that says what it would have changed."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
from litestar import Response, get, post
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record import simulation
from gatelodge.web.api.record.simulation import GuardrailTrial, SimulatedPolicy
from gatelodge.web.api.rules import guardrails as api
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    SentForm,
    answered,
    answered_with_place,
    done,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import page, segment
from gatelodge.web.console.screens.lists import LISTS, list_page

_SCREEN: Final = next(each for each in LISTS if each.path == "guardrails")
_DONE: Final = {"publish": "It holds.", "retire": "It is retired."}


class EditorAnswer(Struct, frozen=True, kw_only=True):
    """What was found of a text in the editor."""

    good: bool = False
    unmatched: tuple[str, ...] = ()
    simulated: SimulatedPolicy | None = None


async def _editor(
    place: WorkspaceContext, outcome: FormOutcome, found: EditorAnswer | None = None
) -> Response[Any]:
    return await list_page(_SCREEN, place, outcome=outcome, found=found, typed=outcome.typed)


async def _edited(
    place: WorkspaceContext,
    request: Asked,
    form: str,
    work: Callable[[SentForm], Awaitable[EditorAnswer | Response[Any]]],
) -> Response[Any]:
    """What came of the editor's text, shown beside it."""
    sent = await sent_form(request)
    typed = {**sent.typed, "text": sent.whole("text")}

    async def told() -> Response[Any]:
        found = await work(sent)
        if isinstance(found, Response):
            return found
        return await _editor(place, FormOutcome(form=form, typed=typed), found)

    return await answered(form, sent, told, lambda outcome: _editor(place, outcome))


@post("/guardrails/check", opt={"act": "guardrail.read"}, status_code=200)
async def check(place: Here, request: Asked) -> Response[Any]:
    """Say whether the text could be published."""

    async def work(sent: SentForm) -> EditorAnswer:
        text = api.GuardrailText(sent.whole("text"), unmatched=bool(sent.text("unmatched")))
        found = await api.check.fn(place, text)
        return EditorAnswer(good=True, unmatched=found.unmatched)

    return await _edited(place, request, "check", work)


@post("/guardrails/simulate", opt={"act": "audit.read"}, status_code=200)
async def simulate(place: Here, request: Asked) -> Response[Any]:
    """Say what the text would have changed of recorded calls."""

    async def work(sent: SentForm) -> EditorAnswer:
        given = {
            "name": sent.text("name"),
            "text": sent.whole("text"),
            "days": sent.text("days") or "30",
            "cursor": sent.text("cursor"),
        }
        try:
            trial = msgspec.convert(given, GuardrailTrial, strict=False)
        except msgspec.ValidationError as fault:
            raise Invalid(f"the form: {fault}", remedy="Say 1 to 366 days.") from None
        return EditorAnswer(simulated=await simulation.simulate.fn(place, trial))

    return await _edited(place, request, "simulate", work)


@post("/guardrails", opt={"act": "guardrail.publish"}, status_code=200)
async def publish(place: Here, request: Asked) -> Response[Any]:
    """Publish the text; the version that stood under its name is retired with it."""

    async def work(sent: SentForm) -> Response[Any]:
        wanted = api.NewGuardrail(
            name=sent.text("name"),
            text=sent.whole("text"),
            mode=sent.text("mode") or "observe",
            unmatched=bool(sent.text("unmatched")),
        )
        made = await api.publish.fn(place, wanted)
        return done(f"{home_of(place)}/guardrails/{segment(made.name)}", "publish")

    return await _edited(place, request, "publish", work)


async def _shown(
    place: WorkspaceContext, name: str, outcome: FormOutcome, finished: str = ""
) -> Response[Any]:
    row = cast(api.GuardrailShape, await api.show.fn(place, name))
    return page(
        "guardrail.html",
        place,
        "guardrails",
        row=row,
        outcome=outcome,
        typed=outcome.typed or {"name": row.name, "text": row.text, "mode": row.mode},
        found=None,
        done=_DONE.get(finished, ""),
        status=outcome.status,
    )


@get("/guardrails/{name:str}", opt={"act": "guardrail.read"})
async def show(place: Here, name: Named, done: Asks = "") -> Response[Any]:
    """One guardrail with its text, and the editor with it."""
    return await _shown(place, name, NOTHING, done)


@post("/guardrails/{name:str}/retire", opt={"act": "guardrail.retire"}, status_code=200)
async def retire(place: Here, name: Named, request: Asked) -> Response[Any]:
    """End a guardrail; what it forbade is up to the grants again."""
    sent = await sent_form(request)

    async def work() -> None:
        await api.retire.fn(place, name, api.ActReason(sent.text("why")))

    path = f"{home_of(place)}/guardrails"
    return await answered_with_place(
        "retire", sent, work, path, lambda told: _shown(place, name, told)
    )


ROUTES = (check, simulate, publish, show, retire)
