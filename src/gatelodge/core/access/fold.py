"""Who could do what at an earlier time: governance state told by the leaves of the gov log alone.

The fold knows what leaves say: ids, roles, digests, the text of guardrails. It knows no e-mail
address, no name of a group, no definition of a tool and no token; whoever shows its answers adds
what people call things. Compiled as a view (`core.view`), it gives the decisions of then.
"""

from collections.abc import Iterable
from typing import Final

from gatelodge.core.access.folded_rows import CHANGES, FoldedRows, GovLeaf, read_gov_leaf
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.state import GovernanceState

WITHOUT_ACCESS: Final = frozenset(
    (
        "log.opened",
        "log.restored",
        "member.renamed",
        "member.erased",
        "token.issued",
        "token.revoked",
        "server.process_started",
        "server.quarantined",
        "server.restarted",
        "server.time_limits_changed",
        "instance.ended",
        "instance.paused",
        "instance.resumed",
        "instructions.observed",
        "instructions.approved",
        "key.enrolled",
        "settings.durability_changed",
        "revocation.receipt",
        "secret.declared",
        "secret.set",
        "secret.rotated",
        "secret.erased",
        "secret.removed",
        "secret.adopted",
        "secret.rewrapped",
        "card.made",
        "card.approved",
        "card.rejected",
        "audit.read",
    )
)
"""Leaves that change nothing of who may use what: a token is how somebody shows who they are."""

FOLDED: Final = frozenset(CHANGES) | WITHOUT_ACCESS
"""Every type of leaf that the fold knows."""


class GovFold:
    """The state after the leaves that were applied, in their order from the first on.

    `gov` is how many they were. Times of leaves can go back by what the clocks of two nodes
    differ; their order cannot, so a leaf counts from the latest time up to it.
    """

    def __init__(self) -> None:
        self.gov = 0
        self._rows = FoldedRows()

    @property
    def rows(self) -> FoldedRows:
        """The rows by now: to look at."""
        return self._rows

    def copy(self) -> "GovFold":
        """A fold that stands where this one does, and goes on by itself."""
        made = GovFold()
        made.gov, made._rows = self.gov, self._rows.copy()
        return made

    @property
    def at(self) -> Instant:
        """The latest time of a leaf; 0 before the first."""
        return self._rows.at

    def state(self) -> GovernanceState:
        """The state by now; later leaves do not change it."""
        rows = self._rows
        return GovernanceState(
            gov=self.gov,
            epoch="",
            workspaces=tuple(rows.workspaces.values()),
            members=tuple(rows.members.values()),
            agents=tuple(rows.agents.values()),
            groups=tuple(rows.groups.values()),
            group_members=tuple(rows.places.values()),
            servers=tuple(rows.servers.values()),
            tools=tuple(tool for its in rows.tools.values() for tool in its.values()),
            grants=tuple(rows.grants.values()),
            guardrails=tuple(rows.guardrails.values()),
        )

    def extend(self, leaves: Iterable[bytes], until: Instant | None = None) -> bool:
        """Apply leaves up to the first that is later than `until`; False when there was one.

        Raises Invalid for a leaf that cannot be read, or of a type that this version does not know.
        """
        for body in leaves:
            leaf = read_gov_leaf(body)
            if until is not None and parse_rfc3339(leaf.at) > until:
                return False
            self.apply(leaf)
        return True

    def apply(self, leaf: GovLeaf) -> None:
        """Take in the next leaf. Raises Invalid, as `extend` does."""
        change = CHANGES.get(leaf.t)
        if change is None and leaf.t not in WITHOUT_ACCESS:
            # What a later version wrote may end access: an answer without it could be false.
            raise Invalid(
                f"the gov log holds {leaf.t!r}, which this version cannot fold",
                remedy="Ask a gate of the version that wrote it.",
            )
        self._rows.at = max(self._rows.at, parse_rfc3339(leaf.at))
        if change is not None:
            try:
                change(self._rows, leaf)
            except (KeyError, TypeError) as fault:
                text = (
                    f"leaf {self.gov} of the gov log ({leaf.t}) is about what no leaf before made"
                )
                raise Invalid(text, remedy="See what `gatelodge audit fsck` says.") from fault
        self.gov += 1
