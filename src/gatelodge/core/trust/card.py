"""A card: what the score said of an image when it was made, and what a person decided on it."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import CardId, Instant, WorkspaceId
from gatelodge.core.trust.method import Grade

CardStatus = Literal["made", "approved", "rejected"]


class TrustCard(Struct, frozen=True, kw_only=True):
    """One look at an image of a workspace; `evidence` is the SHA-256 of what was known then.

    `tenths` is the score times ten, `exposure` its letters. `until` is when an approval ends, 0 =
    it does not. A newer card of the same image takes nothing from an earlier one: both stay, and
    what was decided stays with the card that was shown.
    """

    id: CardId
    workspace: WorkspaceId
    source: str
    image: str
    evidence: str
    method: str
    grade: Grade
    tenths: int
    coverage: int
    exposure: str
    headline: str
    status: CardStatus = "made"
    until: Instant = Instant(0)
    created_at: Instant

    def admits(self, now: Instant) -> bool:
        """True while it lets its image start."""
        return self.status == "approved" and (not self.until or now < self.until)
