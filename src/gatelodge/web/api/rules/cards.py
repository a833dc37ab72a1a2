"""Cards: made of an image that is kept, shown with every point, approved by what was shown."""

from datetime import timedelta
from typing import Annotated

from anyio import to_thread
from litestar import get, post
from msgspec import Meta, Struct
from msgspec.structs import replace

from gatelodge.config.trust import trust_method
from gatelodge.core.catalog.lint import LINT, lint_definitions
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.trust.card import TrustCard
from gatelodge.core.trust.evidence import (
    InterfaceEvidence,
    StartEvidence,
    TrustEvidence,
    decode_evidence,
    encode_evidence,
    evidence_digest,
)
from gatelodge.core.trust.interface import interface_of
from gatelodge.core.trust.score import TrustScore, score_evidence
from gatelodge.core.vault.injections import injections
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.nouns import lookup
from gatelodge.flows.trust import cards
from gatelodge.ports.images import KeptImage
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext, bounds_of
from gatelodge.web.api.parameters import Here, JSONBody, Named
from gatelodge.web.api.rules.artifacts import visible_image

_DAY = timedelta(days=1) // timedelta(microseconds=1)


class WantedCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which image a card is wanted, by its digest or the beginning of it."""

    image: str


class CardDetail(Struct, frozen=True, kw_only=True):
    """A card whole: the row, the score with each point as of when it was made, the evidence."""

    card: cards.CardShape
    score: TrustScore
    evidence: TrustEvidence


class CardApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The evidence that was shown, by its digest; for how many days it holds, 0 = without end."""

    evidence: str
    days: Annotated[int, Meta(ge=0, le=3_650)] = 0
    why: str = ""


@post("/cards", opt={"act": "server.register"})
async def make(place: Here, data: JSONBody[WantedCard]) -> CardDetail:
    """Gather evidence about an image that was built, and make a card of it; nothing is started."""
    kept = await _image_for_card(place, data.image)
    evidence = await place.gate.trust.gather(kept.source, kept.image)
    evidence = await _with_what_was_seen(place, evidence, kept.image)
    body = encode_evidence(evidence)
    digest = evidence_digest(body)
    score = score_evidence(evidence, trust_method(), evidence.at)
    # Before the card: a crash in between leaves evidence that no card names.
    await place.gate.trust.kept.keep(digest, body)

    def work(act: GovernanceAct) -> cards.CardShape:
        subject = (kept.source, kept.image)
        row = cards.make_card(act, place.id, subject, digest, score)
        return cards.shapes(act.tx, [row], place.showing)[0]

    shape = await place.gate.change(place.caller, work)
    return CardDetail(card=shape, score=score, evidence=evidence)


@get("/cards/{name:str}/whole", opt={"act": "card.read", "noun": "cards"})
async def whole(place: Here, name: Named) -> CardDetail:
    """Show a card with every point, as it was when it was made, and the evidence of it."""
    row, shape = await _found(place, name)
    evidence = await _evidence_of(place, row)
    return CardDetail(card=shape, score=_score_of(evidence), evidence=evidence)


@post("/cards/{name:str}/approve", opt={"act": "server.approve"}, status_code=200)
async def approve(place: Here, name: Named, data: JSONBody[CardApproval]) -> cards.CardShape:
    """Let the image of a card start; 409 when another evidence was shown."""
    row, _ = await _found(place, name)
    score = _score_of(await _evidence_of(place, row))

    def work(act: GovernanceAct) -> cards.CardShape:
        now = lookup.card(act.tx, place.id, row.id)
        until = Instant(act.at + data.days * _DAY if data.days else 0)
        changed = cards.approve_card(act, now, data.evidence, score, until)
        return cards.shapes(act.tx, [changed], place.showing)[0]

    return await place.gate.change(place.caller, work, data.why)


async def _image_for_card(place: WorkspaceContext, wanted: str) -> KeptImage:
    """An image of the workspace, or of a source that its admins may have built anyway."""
    try:
        return await visible_image(place, wanted)
    except NotFound:
        bounds = bounds_of(place.gate.settings)
        for each in await place.gate.images.images():
            if each.image == wanted and bounds.allows_source(each.source):
                return each
        raise


async def _with_what_was_seen(
    place: WorkspaceContext, evidence: TrustEvidence, image: str
) -> TrustEvidence:
    """The same with what servers of this image were seen to offer, once one was looked at."""

    def look(tx: StoreTx) -> tuple[Server, list[Tool], set[str]] | None:
        every = tx.find(Tool, workspace=place.id, present=True)
        for server in tx.find(Server, workspace=place.id):
            tools = [each for each in every if each.server == server.id]
            # Tools of a server that moved to another image stay until it is looked at again: of
            # its first definition alone it is certain that this image has them.
            if tools and server.revision == 1 and cards.image_of(server) == image:
                return server, tools, {each.name for each in every if each.server != server.id}
        return None

    found = await place.gate.read(look)
    if found is None:
        return evidence
    server, tools, others = found
    changed = sum(bool(each.approved) and not each.as_approved for each in tools)

    def read() -> InterfaceEvidence:
        texts = [each.definition for each in tools]
        return interface_of(
            texts,
            evidence.at,
            changed=changed,
            secrets=bool(injections(server.transport)),
            lint=LINT,
            findings=lint_definitions(texts, server.instructions, others),
        )

    # How much work that is, the server decides.
    seen = await to_thread.run_sync(read, limiter=place.gate.writing)
    start = StartEvidence(
        source="its start in the sandbox",
        at=evidence.at,
        started=True,
        revision=place.showing.health(server.id).version,
    )
    gaps = {name: why for name, why in evidence.gaps.items() if name not in ("start", "interface")}
    return replace(evidence, start=start, interface=seen, gaps=gaps)


def _score_of(evidence: TrustEvidence) -> TrustScore:
    """The score as of when the evidence was gathered: what was shown then is shown for ever."""
    return score_evidence(evidence, trust_method(), evidence.at)


async def _found(place: WorkspaceContext, name: str) -> tuple[TrustCard, cards.CardShape]:
    def look(tx: StoreTx) -> tuple[TrustCard, cards.CardShape]:
        row = lookup.card(tx, place.id, name)
        return row, cards.shapes(tx, [row], place.showing)[0]

    return await place.gate.read(look)


async def _evidence_of(place: WorkspaceContext, row: TrustCard) -> TrustEvidence:
    body = await place.gate.trust.kept.get(row.evidence)
    if body is None:
        raise NotFound(
            "the evidence of this card is not kept here",
            remedy=f"Make a card anew: gatelodge catalog card {row.source}",
        )
    return decode_evidence(body)


ROUTES = (make, whole, approve)
