"""Interface hygiene: what models are told of its tools, and whether that can be believed."""

from collections.abc import Iterable
from typing import Final

from gatelodge.core.trust.evidence import FoundFinding, InterfaceEvidence, TrustEvidence
from gatelodge.core.trust.signals.reading import SignalReading, not_known, read_from

MOST_TOOLS: Final = 40
MOST_BYTES: Final = 60_000
"""Some 15,000 tokens of four bytes."""
LIES: Final = "annotation_lie"


def read_interface(found: TrustEvidence) -> Iterable[SignalReading]:
    """IF1 to IF5."""
    section = found.interface
    if section is None:
        why = found.gaps.get("interface", "Its tools were not seen yet.")
        yield from (not_known(f"IF{number}", why) for number in range(1, 6))
        return
    yield _poisoning(section)
    lies = [each for each in section.findings if each.rule == LIES and not each.cleared]
    share = 0.0 if lies else _part(section.annotated, section.tools)
    yield read_from(
        section,
        "IF2",
        share,
        f"{section.annotated} of {section.tools} tools annotated",
        "An annotation says the contrary of a tool's name."
        if lies
        else "Clients decide by annotations whether they ask a person.",
        "" if share >= 1 else "Review its tools: gatelodge tool review.",
    )
    share = _part(section.described, section.parameters)
    yield read_from(
        section,
        "IF3",
        share,
        f"{section.described} of {section.parameters} parameters described",
        "A model that has to guess guesses wrong.",
        "" if share >= 1 else "Its author describes the rest.",
    )
    fits = section.tools <= MOST_TOOLS and section.bytes <= MOST_BYTES
    yield read_from(
        section,
        "IF4",
        1.0 if fits else 0.0,
        f"{section.tools} tools, {section.bytes} bytes",
        f"At most {MOST_TOOLS} tools and some 15,000 tokens leave room for the task.",
        "" if fits else "Grant the tools that are needed, and no others.",
    )
    changed = section.unapproved_changes
    yield read_from(
        section,
        "IF5",
        0.0 if changed else 1.0,
        f"{changed} changed" if changed else "unchanged",
        "Since they were approved." if changed else "No definition changed since it was approved.",
        "Look at what changed: gatelodge tool diff." if changed else "",
    )


def open_findings(found: TrustEvidence) -> tuple[FoundFinding, ...]:
    """Findings that nobody cleared."""
    section = found.interface
    return tuple(each for each in section.findings if not each.cleared) if section else ()


def _poisoning(section: InterfaceEvidence) -> SignalReading:
    if not section.lint:
        return not_known("IF1", "Its definitions were not looked through for poisoning.")
    left = [each for each in section.findings if not each.cleared]
    high = sum(each.severity == "high" for each in left)
    medium = sum(each.severity == "medium" for each in left)
    share = 0.0 if high else max(0.0, 1 - medium / 3)
    seen = "none" if not left else f"{high} high, {medium} medium, {len(left) - high - medium} low"
    return read_from(
        section,
        "IF1",
        share,
        seen,
        "Its definitions hold what misleads a model." if high else "What the lint found in them.",
        "Read each finding; do not start it before they are explained." if left else "",
    )


def _part(some: int, every: int) -> float:
    return min(1.0, some / every) if every else 1.0
