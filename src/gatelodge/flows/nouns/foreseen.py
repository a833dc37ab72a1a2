"""A change that is tried: what it would leave in the log, and who would gain or lose what."""

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct

from gatelodge.core.access.difference import AccessDifference
from gatelodge.core.records.governance import GovFact
from gatelodge.core.state import Row
from gatelodge.flows.nouns.candidate import CandidateState
from gatelodge.ports.store import StoreTx

R = TypeVar("R", bound=Row)

MOST_FORESEEN = 200
"""Lines of who would gain or lose what that one answer names; all are counted."""


class DryRunChange(Struct, frozen=True):
    """One leaf that a change would leave in the gov log."""

    what: str
    subject: dict[str, Any]
    """Its fields, by ids; see `docs/reference/gov-records.md`."""


class ForeseenAccess(Struct, frozen=True):
    """One principal and one tool: `change` is gained, lost, or rule (allowed by another one)."""

    principal: str
    tool: str
    change: str


class DryRun(Struct, frozen=True, kw_only=True):
    """What a change would have come to; nothing of it was kept.

    `gained` and `lost` count principals with tools, for whoever may see everybody's access;
    `access` names the first of them.
    """

    dry_run: bool = True
    changes: tuple[DryRunChange, ...]
    gained: int = 0
    lost: int = 0
    access: tuple[ForeseenAccess, ...] = ()


class RolledBackRehearsal(Exception):
    """Ends the transaction of a rehearsal, so that nothing of it is kept."""

    def __init__(self, changes: tuple[DryRunChange, ...], after: CandidateState | None) -> None:
        super().__init__()
        self.changes = changes
        self.after = after


class WatchedTransaction:
    """A transaction whose leaves are also looked at."""

    def __init__(self, tx: StoreTx) -> None:
        self._tx = tx
        self.facts: list[GovFact] = []

    def find(self, noun: type[R], **equals: object) -> list[R]:
        """As of the transaction."""
        return self._tx.find(noun, **equals)

    def put(self, row: Row) -> None:
        """As of the transaction."""
        self._tx.put(row)

    def remove(self, row: Row) -> None:
        """As of the transaction."""
        self._tx.remove(row)

    def record(self, fact: GovFact) -> None:
        """As of the transaction; kept here too."""
        self.facts.append(fact)
        self._tx.record(fact)


def dry_run(
    changes: tuple[DryRunChange, ...], found: Sequence[AccessDifference], names: dict[str, str]
) -> DryRun:
    """What a change would have come to, with names where there are some."""
    told = [
        ForeseenAccess(
            names.get(each.principal, each.principal),
            f"{each.server}/{each.tool}",
            "rule" if each.before and each.after else "gained" if each.after else "lost",
        )
        for each in found
    ]
    kinds = [each.change for each in told]
    return DryRun(
        changes=changes,
        gained=kinds.count("gained"),
        lost=kinds.count("lost"),
        access=tuple(told[:MOST_FORESEEN]),
    )
