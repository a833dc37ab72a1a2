"""Jobs as every node sees them: what is asked for, how far it is, how it ended (decision 0029)."""

from typing import Final, Literal, Protocol

from msgspec import Struct

JobState = Literal["queued", "running", "finished", "failed", "cancelled"]

KEPT_JOBS: Final = 100
"""How many ended jobs are remembered; the oldest go when one is added."""


class JobRecord(Struct, frozen=True, kw_only=True):
    """One job, without what it keeps. Times are microseconds by the store's own clock, 0 = not yet.

    `attempts` counts how often a node took it up. It is the fence: whoever holds an older number
    changes nothing any more.
    """

    id: str
    kind: str
    workspace: str
    """Whose job it is; empty for the whole organization."""
    started_by: str
    state: JobState = "queued"
    node: str = ""
    attempts: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    asked_at: int = 0
    begun_at: int = 0
    ended_at: int = 0
    now: int = 0
    """When this was read."""


class JobTable(Protocol):
    """Rows that outlive their nodes; `content` is sealed by the caller. All raise StoreDown."""

    async def add(self, job: JobRecord, content: str) -> None:
        """Queue it. Raises Conflict while another one of its kind is active in its workspace."""
        ...

    async def listed(self, workspace: str | None) -> tuple[JobRecord, ...]:
        """The jobs of a workspace, newest first; None = of everybody."""
        ...

    async def active(self) -> tuple[JobRecord, ...]:
        """Those that have not ended, oldest first."""
        ...

    async def get(self, job: str) -> tuple[JobRecord, str] | None:
        """One job with its content: its position while it is active, then how it ended."""
        ...

    async def take(self, job: JobRecord, node: str) -> str | None:
        """Let that node run it from now on; the content, None where it ended or was taken."""
        ...

    async def put(self, job: JobRecord, content: str | None) -> bool:
        """Keep state, stage and numbers, and the content if given; false if no more its runner."""
        ...

    async def cancel(self, job: str) -> bool:
        """End it, whoever runs it; false when it had ended."""
        ...
