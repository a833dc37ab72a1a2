"""One signal as it was read from evidence, before it is weighed."""

from typing import Final, Literal

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import EvidenceSection

SignalStatus = Literal["pass", "partial", "fail", "unknown", "not_applicable"]
DAY: Final = 86_400 * 1_000_000
"""Microseconds."""


class SignalReading(Struct, frozen=True, kw_only=True):
    """What a signal found: `share` of its points, from 0 to 1; None = not known.

    `seen` is the value in words, `why` one sentence of what it means, `fix` what would mend it.
    `source` and `at` are those of the evidence.
    """

    id: str
    share: float | None
    seen: str
    why: str
    fix: str = ""
    source: str = ""
    at: Instant = Instant(0)
    applies: bool = True

    @property
    def status(self) -> SignalStatus:
        """What the share means."""
        if not self.applies:
            return "not_applicable"
        if self.share is None:
            return "unknown"
        return "pass" if self.share >= 1 else "fail" if self.share <= 0 else "partial"


def not_known(signal: str, why: str, fix: str = "") -> SignalReading:
    """A signal of which nobody says anything."""
    return SignalReading(id=signal, share=None, seen="not known", why=why, fix=fix)


def read_from(
    section: EvidenceSection, signal: str, share: float, seen: str, why: str, fix: str = ""
) -> SignalReading:
    """A signal as a section of evidence says it."""
    return SignalReading(
        id=signal, share=share, seen=seen, why=why, fix=fix, source=section.source, at=section.at
    )
