"""Whether a node serves calls now, and what to do where it does not."""

from gatelodge.app.keeping.watchman import STORE, DiskWatchman
from gatelodge.core.errors import LedgerDown, NotYet, Stale, StoreDown, Unavailable
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.gateway.follower import ViewFollower

_LOOK = "Look at the store and at the disk of the data directory."
_REMEDIES = {
    STORE: "Make room on its disk, or mend the disk or database that cannot be written.",
    "signing the logs": "Look at the log key and at guard/ in the data directory.",
    "moving records into the logs": "Look at journal/ in the data directory, and at the database.",
}
"""What to do for work that fails."""


def unready_reason(
    recorder: AuditRecorder, follower: ViewFollower, watchman: DiskWatchman
) -> Unavailable | None:
    """Why this node serves no call now."""
    # First, since it alone does not pass by itself: an operator has to look.
    if follower.diverged:
        return StoreDown(follower.diverged, remedy="See docs/operations.md, 'Restored database'.")
    if not follower.fresh():
        return Stale("this node cannot prove that its view is fresh", retry_after=1.0)
    if recorder.failed:
        return LedgerDown("records cannot be made durable, so no call is forwarded")
    for work, why in watchman.faults().items():
        remedy = f"{_REMEDIES.get(work, _LOOK)} It goes on by itself."
        return NotYet(f"{work} fails: {why}", retry_after=1.0, remedy=remedy)
    return None
