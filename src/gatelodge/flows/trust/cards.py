"""Cards as people see them: made of evidence, approved or rejected by the digest that was shown."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import ArtifactTransport, Server
from gatelodge.core.errors import Conflict, Forbidden
from gatelodge.core.ids import CardId, Instant, WorkspaceId
from gatelodge.core.instant import rfc3339
from gatelodge.core.trust.card import TrustCard
from gatelodge.core.trust.score import TrustScore
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, ShowContext
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

card = Noun(
    TrustCard,
    name="card",
    plural="cards",
    find=lookup.card,
    called="CARD",
    about="Trust cards: what is known of a package before it may start.",
    columns=("source", "grade", "score", "coverage", "status", "servers", "created_at", "id"),
    empty="No cards yet. Make one: gatelodge catalog card pypi:NAME@VERSION",
)


_MOST_UNDECIDED = 20
"""Cards of one image that nobody decided on; a further one takes the place of the oldest."""


class CardShape(Struct, frozen=True, kw_only=True):
    """A card as it was made; `score` is of 100, `coverage` per cent. `servers` start its image."""

    id: str
    source: str
    image: str
    grade: str
    score: float
    coverage: int
    exposure: str
    headline: str
    status: str
    until: str
    method: str
    evidence: str
    servers: tuple[str, ...]
    created_at: str


@card.shown
def shapes(tx: StoreTx, rows: Sequence[TrustCard], context: ShowContext) -> list[CardShape]:
    """Cards, with the servers that start from their images."""
    here = rows[0].workspace
    servers = tx.find(Server, workspace=here) if context.may("server.read") else []
    return [
        shown_as(
            CardShape,
            row,
            score=row.tenths / 10,
            status="expired"
            if row.status == "approved" and not row.admits(context.at)
            else None or row.status,
            until=rfc3339(row.until) if row.until else "",
            servers=tuple(each.alias for each in servers if image_of(each) == row.image),
        )
        for row in rows
    ]


def image_of(server: Server) -> str:
    """The image that a server starts from; empty for one that has none."""
    return server.transport.image if isinstance(server.transport, ArtifactTransport) else ""


def approved_evidence(tx: StoreTx, server: Server) -> dict[str, str]:
    """The evidence by which the image of a server was let in, for the leaf of its approval."""
    image = image_of(server)
    rows = tx.find(TrustCard, workspace=server.workspace, image=image) if image else []
    found = [each.evidence for each in rows if each.status == "approved"]
    return {"evidence_sha256": found[-1]} if found else {}


def make_card(
    act: GovernanceAct,
    workspace: WorkspaceId,
    subject: tuple[str, str],
    evidence: str,
    score: TrustScore,
) -> TrustCard:
    """Write down what the score said of an image (source, digest); nothing may start by it yet."""
    source, image = subject
    same = act.tx.find(TrustCard, workspace=workspace, image=image)
    for old in [each for each in same if each.status == "made"][: 1 - _MOST_UNDECIDED]:
        act.tx.remove(old)  # that it was made stands in the log, with its evidence
    made = TrustCard(
        id=CardId(act.ids.new("car")),
        workspace=workspace,
        source=source,
        image=image,
        evidence=evidence,
        method=score.method,
        grade=score.grade,
        tenths=round(score.score * 10),
        coverage=score.coverage,
        exposure="".join(score.exposure),
        headline=score.headline[:500],
        created_at=act.at,
    )
    act.tx.put(made)
    act.record(
        "card.made",
        workspace,
        card=made.id,
        coverage=made.coverage,
        evidence_sha256=evidence,
        grade=made.grade,
        image=image,
        method=made.method,
        score_tenths=made.tenths,
        source=source,
    )
    return made


def approve_card(
    act: GovernanceAct, row: TrustCard, shown: str, score: TrustScore, until: Instant
) -> TrustCard:
    """Let its image start, until that moment (0 = without end), by the evidence that was shown.

    Raises Conflict (another evidence was shown, or it was rejected), Forbidden (it is blocked, or
    its grade is F and no reason was given).
    """
    if shown != row.evidence:
        raise Conflict(
            "not what was shown any more: the evidence of the card",
            remedy=f"Look at it again: gatelodge card show {row.id}",
        )
    if row.status == "rejected":
        raise Conflict(
            "the card was rejected",
            remedy=f"Make another: gatelodge catalog card {row.source}",
        )
    if score.blocked:
        raise Forbidden(f"this may not be approved by anybody: {score.headline}")
    if row.grade == "F" and not act.why:
        raise Forbidden(
            f"its grade is F: {row.headline}",
            remedy="Give the reason for letting it in all the same: --why TICKET.",
        )
    changed = replace(row, status="approved", until=until)
    if changed == row:
        return row
    act.tx.put(changed)
    act.record(
        "card.approved",
        row.workspace,
        card=row.id,
        evidence_sha256=row.evidence,
        grade=row.grade,
        image=row.image,
        until=rfc3339(until) if until else "",
    )
    return changed


@card.verb("{source} is rejected: it does not start here.", act="server.approve", why="may")
def reject(act: GovernanceAct, card: TrustCard) -> TrustCard:
    """Reject a card, also one that was approved: its image does not start any more."""
    if card.status == "rejected":
        return card
    changed = replace(card, status="rejected")
    act.tx.put(changed)
    act.record("card.rejected", card.workspace, card=card.id, evidence_sha256=card.evidence)
    return changed
