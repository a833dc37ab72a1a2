"""A method of scoring: what each signal is worth, what a grade takes, and what caps it."""

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.trust.evidence import SECTIONS

Grade = Literal["A", "B", "C", "D", "F", "?"]
"""`?` = too little is known for a grade."""

GRADES: Final[tuple[Grade, ...]] = ("A", "B", "C", "D", "F")
"""From the best on."""

GateName = Literal[
    "malicious", "poisoned", "identity", "vulnerable", "ended", "start", "unpinned", "cooldown"
]
STALE_TIMES: Final = 6
"""Evidence past its time keeps its points up to so many times that time, then it is unknown."""
TOTAL: Final = 100


class SignalRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signal: its points, the section it is read from, and for how many hours that is fresh."""

    family: str
    title: str
    points: Annotated[int, Meta(ge=0, le=TOTAL)]
    section: str
    hours: Annotated[int, Meta(ge=0, le=87_600)]
    owasp: str


class TrustMethod(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A method by its name. `grades` and `coverage` are least values, in per cent of points."""

    name: str
    grades: dict[str, int]
    coverage: dict[str, int]
    gates: dict[str, Grade]
    families: dict[str, str]
    signals: dict[str, SignalRule]


def check_method(method: TrustMethod) -> TrustMethod:
    """The method, when it is whole. Raises Invalid: points that are not 100, a name unknown."""
    points = sum(each.points for each in method.signals.values())
    unknown = {each.section for each in method.signals.values()} - set(SECTIONS)
    unknown |= {each.family for each in method.signals.values()} - method.families.keys()
    unknown |= method.gates.keys() ^ set(get_args(GateName))
    if points != TOTAL or unknown or set(method.grades) != set("ABCD"):
        said = f"{points} points" if points != TOTAL else ", ".join(sorted(unknown)) or "grades"
        raise Invalid(f"trust method {method.name[:40]!r} does not hold together: {said}")
    return method


def worse(one: Grade, other: Grade) -> Grade:
    """The worse of two grades; no grade stays none unless the other is a cap that was earned."""
    if "?" in (one, other):
        known = other if one == "?" else one
        # A gate speaks also where too little is known: what is poisoned is no mere unknown.
        return known if known in ("D", "F") else "?"
    return max(one, other, key=GRADES.index)
