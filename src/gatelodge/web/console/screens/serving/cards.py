"""One trust card: the worst first, each point with its reason, and what a person decides on it."""

from typing import Any, Final

import msgspec
from litestar import Response, get, post

from gatelodge.core.errors import Invalid
from gatelodge.core.trust.score import TrustScore, TrustSignal
from gatelodge.flows.trust.cards import card
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import answer_of_verb
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.rules import cards as api
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    answered_with_place,
    body_of_form,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import page, segment

_DONE: Final = {"approve": "It is approved.", "reject": "It is rejected."}
_APPROVE: Final = {"act": "server.approve"}
_REJECT: Final = next(each for each in card.verbs if each.name == "reject")


async def card_page(
    place: WorkspaceContext, name: str, outcome: FormOutcome, finished: str = ""
) -> Response[Any]:
    """A card whole, with the forms that decide on it."""
    found = await api.whole.fn(place, name)
    return page(
        "card.html",
        place,
        "cards",
        row=found.card,
        score=found.score,
        families=_families(found.score),
        findings=found.evidence.interface.findings if found.evidence.interface else (),
        outcome=outcome,
        done=_DONE.get(finished, ""),
        status=outcome.status,
    )


def _families(score: TrustScore) -> list[tuple[Any, list[TrustSignal]]]:
    """Each family with its signals."""
    return [
        (family, [each for each in score.signals if each.family == family.name])
        for family in score.families
    ]


@get("/cards/{name:str}", opt={"act": "card.read"})
async def show(place: Here, name: Named, done: Asks = "") -> Response[Any]:
    """One card, whole."""
    return await card_page(place, name, NOTHING, done)


@post("/cards/{name:str}/approve", opt=_APPROVE, status_code=200)
async def approve(place: Here, name: Named, request: Asked) -> Response[Any]:
    """Let the image of the card start, by the evidence that was shown."""
    sent = await sent_form(request)

    async def work() -> None:
        words = {
            "evidence": sent.text("evidence"),
            "days": sent.text("days") or "0",
            "why": sent.text("why"),
        }
        try:
            given = msgspec.convert(words, api.CardApproval, strict=False)
        except msgspec.ValidationError as fault:
            raise Invalid(f"the form: {fault}", remedy="Correct it, and send it again.") from None
        await api.approve.fn(place, name, given)

    return await _answered(place, name, "approve", sent, work)


@post("/cards/{name:str}/reject", opt=_APPROVE, status_code=200)
async def reject(place: Here, name: Named, request: Asked) -> Response[Any]:
    """Reject the card: its image does not start by it any more."""
    sent = await sent_form(request)

    async def work() -> None:
        given = body_of_form(card, _REJECT, sent)
        await answer_of_verb(card, _REJECT)(place=place, name=name, data=given)

    return await _answered(place, name, "reject", sent, work)


async def _answered(
    place: WorkspaceContext, name: str, form: str, sent: Any, work: Any
) -> Response[Any]:
    path = f"{home_of(place)}/cards/{segment(name)}"
    return await answered_with_place(
        form, sent, work, path, lambda told: card_page(place, name, told)
    )


ROUTES = (show, approve, reject)
