"""Gates: what caps a grade whatever the mean says; the worst of them is the headline."""

from collections.abc import Iterable

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.trust.evidence import TrustEvidence
from gatelodge.core.trust.method import GateName
from gatelodge.core.trust.signals.identity import disagreeing_names
from gatelodge.core.trust.signals.interface import open_findings
from gatelodge.core.trust.signals.problems import cooldown_ends, vulnerabilities
from gatelodge.core.trust.signals.upkeep import end_of_life


class ClosedGate(Struct, frozen=True, kw_only=True):
    """A gate that is closed, and why, in one sentence. `blocks` = no grade opens it."""

    name: GateName
    reason: str
    fix: str
    blocks: bool = False


def closed_gates(found: TrustEvidence, now: Instant) -> Iterable[ClosedGate]:
    """Every gate that the evidence closes, worst first."""
    ended, odd = end_of_life(found), disagreeing_names(found)
    if ended and ended[0] in ("deleted", "quarantined"):
        yield ClosedGate(
            name="malicious",
            reason=f"It is {ended[0]}: {ended[1]}.",
            fix="Do not install it.",
            blocks=True,
        )
    high = [each for each in open_findings(found) if each.severity == "high"]
    if high:
        first = high[0]
        where = f"{first.tool}: {first.field}" if first.tool else first.field
        yield ClosedGate(
            name="poisoned",
            reason=f"Its definitions mislead a model: {first.why} ({where}), {len(high)} findings.",
            fix="Read each finding; a person has to clear it with a reason.",
        )
    if odd:
        yield ClosedGate(
            name="identity",
            reason=f"Its names do not fit together: {odd}.",
            fix="Find out who published it.",
        )
    severe = [
        each for each in vulnerabilities(found) or () if each.severity in ("critical", "high")
    ]
    if severe:
        fixed = ", ".join(severe[0].fixed_in[:3])
        yield ClosedGate(
            name="vulnerable",
            reason=f"{severe[0].id} ({severe[0].severity}) names this version.",
            fix=f"Take {fixed}." if fixed else "Take another server: it has no fix.",
        )
    if ended and ended[0] not in ("deleted", "quarantined"):
        yield ClosedGate(
            name="ended", reason=f"It is {ended[0]}: {ended[1]}.", fix="Take what replaces it."
        )
    if found.start is not None and not found.start.started:
        yield ClosedGate(
            name="start",
            reason=f"It does not start: {found.start.why}.",
            fix="Complete its configuration, or take another version.",
        )
    if found.launch is not None and not found.launch.exact:
        yield ClosedGate(
            name="unpinned",
            reason="Each start may fetch another version.",
            fix="Name an exact version, or a digest.",
        )
    ends = cooldown_ends(found, now)
    if ends is not None:
        yield ClosedGate(
            name="cooldown",
            reason=f"It is too young to be known: held until {rfc3339(ends)[:10]}.",
            fix="Wait, or approve it now with a reason.",
        )
