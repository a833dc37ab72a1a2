"""The kinds of jobs, what bounds each, and what one says of itself while it runs.

The work of a kind is a plain async function over `JobProgress`: it begins at `position`, tells
`reached` after each step, and returns a struct. A node that dies leaves the position that was kept
last, and the work begins there again: a step with an effect is one that can be done twice. Whoever
writes into the database can put an earlier position back, sealed as it is: work that judges what
stands there keeps none.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Unavailable
from gatelodge.ports.jobs import JobRecord
from gatelodge.ports.world import Clock

LOST: Final = "it was cancelled, or is another node's"
KEEP_SECONDS: Final = 1.0
"""How often a position is kept: so much work is done twice when a node dies."""


class JobKind(Struct, frozen=True, kw_only=True):
    """One kind of job, who may ask for it, and what it may take.

    `act` is a verb of `core.roles`, or "local": no role may, it is the operator's on the gate's
    own machine. Whoever may do it sees the result, so that holds nothing else. `seconds` count from
    when the job was begun first, whatever happened to its nodes. A node runs `at_once` of a kind.
    """

    name: str
    act: str
    seconds: float
    position_bytes: int
    result_bytes: int
    at_once: int = 1


FSCK: Final = JobKind(
    name="fsck", act="local", seconds=86_400, position_bytes=0, result_bytes=4 << 20
)
"""The whole check of every log (`audit fsck`), from the first leaf on at each attempt."""

ARTIFACT: Final = JobKind(
    name="artifact",
    act="server.register",
    seconds=3_600,
    position_bytes=4_096,
    result_bytes=64 << 10,
    at_once=3,
)
"""An image built of a package; one at a time for each subject, which says what is built."""

KINDS: Final = (FSCK, ARTIFACT)


def name_of_kind(text: str) -> str:
    """The name of a kind, as a job's record has it: `KIND`, or `KIND SUBJECT`."""
    return text.partition(" ")[0]


class JobLost(Exception):
    """This attempt cannot keep how far it is: its place is not there, or not its own any more.

    No error of the tree, so that no work takes it for one of its own.
    """


class JobProgress:
    """What an attempt goes on from, and where it says how far it is."""

    def __init__(
        self,
        job: JobRecord,
        position: bytes,
        most: int,
        clock: Clock,
        keep: Callable[[JobRecord, bytes | None], Awaitable[bool]],
    ) -> None:
        self.job = job
        self.position = position
        """What was kept last; at first, what was asked for."""
        self._most = most
        self._clock = clock
        self._keep = keep
        self._kept_at = clock.boottime()

    async def reached(
        self, stage: str, done: int, total: int, position: Callable[[], bytes]
    ) -> None:
        """Say how far it is; where that is due, keep it, with the place to go on from.

        Raises JobLost.
        """
        self.job = replace(self.job, stage=stage, done=done, total=total)
        now = self._clock.boottime()
        if now - self._kept_at < KEEP_SECONDS:
            return
        self._kept_at = now
        at = position()
        # A place that takes too much room is told of and not kept: then the one before it counts.
        try:
            kept = await self._keep(self.job, at if len(at) <= self._most else None)
        except Unavailable as fault:
            raise JobLost(fault.detail) from fault
        if not kept:
            raise JobLost(LOST)


JobWork = Callable[[JobProgress], Awaitable[Any]]
"""Does the job and returns its result, a struct. Raises HouseError: the job failed of that."""
