"""The node that leads runs the jobs; every node takes them in, shows and cancels them.

One task looks twice a second: does this node lead, what was asked for, does whoever asked still
have the right to. A job's state changes in the table first and in memory after it, and only for the
attempt that holds the newest number, so that two nodes which both believe to lead keep one result.
What a crash on any line leaves is a row that is queued or running: the next leader takes it up.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import (
    Conflict,
    HouseError,
    JobBroken,
    LimitReached,
    NotFound,
    Unavailable,
)
from gatelodge.core.ids import PrincipalId
from gatelodge.core.roles import may
from gatelodge.flows.act import is_operator
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.health import NodeHealth
from gatelodge.flows.jobs.kinds import LOST, JobKind, JobLost, JobProgress, JobWork, name_of_kind
from gatelodge.ports.jobs import JobRecord, JobTable
from gatelodge.ports.world import Clock, FreshIds, StringSealer

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
MOST_ATTEMPTS: Final = 10
"""A job that ends its node each time must not do so for ever."""
_REST_SECONDS = 5.0
"""How long a job that was cut off waits for its next attempt on the same node."""


class JobPorts(Struct, frozen=True, kw_only=True):
    """What the runner works with; the sequencer knows whether this node leads."""

    table: JobTable
    sealer: StringSealer
    clock: Clock
    ids: FreshIds
    node: str
    sequencer: LogSequencer


class JobEnd(Struct, frozen=True, kw_only=True):
    """How a job ended: its result, or the error that it failed of."""

    result: dict[str, Any] | None = None
    error: str = ""
    detail: str = ""
    remedy: str = ""


class _Attempt(Struct):
    """One job that this node runs."""

    kind: JobKind
    progress: JobProgress
    task: "asyncio.Task[bytes]"
    halted: bool = False


class JobRunner:
    """Shared and mutable: `_attempts` and `_resting`, of the one task that is in `run`."""

    def __init__(self, ports: JobPorts, work: Mapping[JobKind, JobWork]) -> None:
        self._ports = ports
        self._table = ports.table
        self._kinds = {kind.name: (kind, does) for kind, does in work.items()}
        self._attempts: dict[str, _Attempt] = {}
        self._resting: dict[str, float] = {}
        self._due = asyncio.Event()

    @property
    def running(self) -> tuple[JobRecord, ...]:
        """What this node runs now, with how far it is."""
        return tuple(each.progress.job for each in self._attempts.values())

    async def start(
        self, kind: JobKind, by: str, workspace: str = "", asked: bytes = b"", *, subject: str = ""
    ) -> JobRecord:
        """Queue a job, or join the one of its kind that has not ended there. Raises StoreDown.

        With a subject only one of the same subject is joined.
        """
        named = f"{kind.name} {subject}" if subject else kind.name
        job = JobRecord(
            id=self._ports.ids.new("job"), kind=named, workspace=workspace, started_by=by
        )
        queued = await self._queue_or_join(job, self._seal_content(job, "position", asked))
        self._due.set()
        return queued

    async def _queue_or_join(self, job: JobRecord, content: str) -> JobRecord:
        while True:
            with suppress(Conflict):
                await self._table.add(job, content)
                return (await self.get(job.id))[0]
            # The one that was there may have ended by now; then there is room for this one.
            for each in await self._table.active():
                if (each.kind, each.workspace) == (job.kind, job.workspace):
                    return each

    async def listed(self, workspace: str | None) -> tuple[JobRecord, ...]:
        """The jobs of a workspace, newest first; None = of everybody. Raises StoreDown."""
        return await self._table.listed(workspace)

    async def get(self, job: str) -> tuple[JobRecord, JobEnd]:
        """One job, and how it ended. Raises NotFound, StoreDown, Broken (somebody changed it)."""
        found = await self._table.get(job)
        if found is None:
            raise NotFound(f"there is no job {job!r}", remedy="See `gatelodge job list`.")
        record, content = found
        if record.state not in ("finished", "failed"):
            return record, JobEnd()
        plain = self._open_content(record, record.state, content)
        if plain is None:
            # Whoever can write into the database must not write a good result of its check.
            raise JobBroken(f"the result of {job} is not what the gate kept")
        return record, msgspec.json.decode(plain, type=JobEnd)

    async def cancel(self, job: str) -> JobRecord:
        """End a job, whichever node runs it. Raises NotFound, Conflict (it has ended), StoreDown.

        From now on nothing of it is kept. A step that is under way ends within half a second.
        """
        changed = await self._table.cancel(job)
        self._due.set()
        record, _ = await self.get(job)
        if changed:
            log.info("job %s (%s) is cancelled", record.id, record.kind)
        elif record.state != "cancelled":
            raise Conflict(f"{job} has ended before: it is {record.state}")
        return record

    async def run(
        self,
        follower: ViewFollower,
        health: NodeHealth,
        *,
        once_asked: bool = False,
        alone: bool = False,
    ) -> None:
        """Run jobs while this node leads, until cancelled; with `once_asked` from the first start.

        `alone` = no other process starts or cancels one: while there is none, nothing is looked at.
        The view of `follower` says whether whoever started one still may. A job that is cut off by
        the end of this is taken up by the next leader.
        """
        if once_asked:
            await self._due.wait()
        try:
            while True:
                left = True
                with suppress(HouseError), health.watched("looking after jobs"):
                    left = await self.step(follower)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS if left or not alone else None):
                        await self._due.wait()
                self._due.clear()
        finally:
            for each in self._attempts.values():
                each.task.cancel()
            tasks = [each.task for each in self._attempts.values()]
            await asyncio.gather(*tasks, return_exceptions=True)

    async def step(self, follower: ViewFollower) -> bool:
        """Look once: end what has to end, keep what has ended, begin what is due.

        True while there is, or may be, something to look after.
        """
        leads = await self._ports.sequencer.leads()
        if not leads:
            # Before anything is written: another node may run the same jobs already.
            for each in self._attempts.values():
                self._halt_attempt(each, "this node does not lead any more")
        await self._keep_ended()
        if not leads:
            return True
        active = await self._table.active()
        numbers = {job.id: job.attempts for job in active}
        for name, each in self._attempts.items():
            if numbers.get(name) != each.progress.job.attempts:
                self._halt_attempt(each, LOST)
        self._resting = {name: at for name, at in self._resting.items() if name in numbers}
        for job in active:
            if name_of_kind(job.kind) in self._kinds:
                await self._tend_job(job, follower)
        return bool(active or self._attempts)

    async def _tend_job(self, job: JobRecord, follower: ViewFollower) -> None:
        """See that a job runs, if it may."""
        kind, work = self._kinds[name_of_kind(job.kind)]
        allowed, attempt = _may_go_on(job, kind, follower), self._attempts.get(job.id)
        if allowed is False:
            await self._table.cancel(job.id)
            log.warning("job %s (%s) is cancelled: who started it may not do so", job.id, job.kind)
        if not allowed:
            if attempt is not None:
                self._halt_attempt(attempt, "who started it may not, as far as this node knows")
            return
        busy = sum(each.kind is kind for each in self._attempts.values()) >= kind.at_once
        rests = self._ports.clock.boottime() < self._resting.get(job.id, 0.0)
        if attempt is not None or busy or rests:
            return
        content = await self._table.take(job, self._ports.node)
        if content is not None:
            job = replace(job, state="running", node=self._ports.node, attempts=job.attempts + 1)
            await self._begin_attempt(job, kind, work, content)

    async def _begin_attempt(
        self, job: JobRecord, kind: JobKind, work: JobWork, content: str
    ) -> None:
        position = self._open_content(job, "position", content)
        if position is None:
            await self._keep_failure(job, JobBroken("what the gate kept of the job was changed"))
            return
        if job.attempts > MOST_ATTEMPTS:
            text = f"it was begun {MOST_ATTEMPTS} times and never ended"
            await self._keep_failure(job, JobBroken(text))
            return
        if job.attempts == 1:
            log.info("job %s (%s) started", job.id, job.kind)
        elif position:
            text = "job %s (%s) is resumed at %d of %d"
            log.info(text, job.id, job.kind, job.done, job.total)
        else:
            log.info("job %s (%s) is begun anew", job.id, job.kind)

        async def keep(job: JobRecord, at: bytes | None) -> bool:
            return await self._table.put(
                job, None if at is None else self._seal_content(job, "position", at)
            )

        passed = (job.now - job.begun_at) / 1_000_000 if job.begun_at else 0.0
        progress = JobProgress(job, position, kind.position_bytes, self._ports.clock, keep)
        attempted = self._run_attempt(kind, work, progress, kind.seconds - max(0.0, passed))
        task = asyncio.get_running_loop().create_task(attempted)
        task.add_done_callback(lambda _: self._due.set())
        self._attempts[job.id] = _Attempt(kind, progress, task)

    @staticmethod
    async def _run_attempt(
        kind: JobKind, work: JobWork, progress: JobProgress, seconds: float
    ) -> bytes:
        """The result of the work. Raises LimitReached when it takes too long or holds too much."""
        try:
            async with asyncio.timeout(seconds):
                result = msgspec.to_builtins(await work(progress))
        except TimeoutError:
            raise LimitReached(f"it took longer than {kind.seconds:.0f} s") from None
        body = msgspec.json.encode(JobEnd(result=result))
        if len(body) > kind.result_bytes:
            raise LimitReached(f"its result has more than {kind.result_bytes} bytes")
        return body

    def _halt_attempt(self, each: _Attempt, why: str) -> None:
        """Let an attempt stop at its next wait; it counts until it has."""
        if not each.halted and not each.task.done():
            job = each.progress.job
            log.info("job %s (%s) stops here: %s", job.id, job.kind, why)
            each.task.cancel()
        each.halted = True

    async def _keep_ended(self) -> None:
        """Keep how attempts ended; one that cannot be kept is tried again at the next look."""
        for name, each in list(self._attempts.items()):
            if not each.task.done():
                continue
            if not each.halted:
                await self._keep_end(each)
            elif not each.task.cancelled():
                each.task.exception()  # looked at, or the loop would tell of it as forgotten
            # Two that both believe to lead must not take it from each other again and again.
            self._resting[name] = self._ports.clock.boottime() + _REST_SECONDS
            del self._attempts[name]

    async def _keep_end(self, each: _Attempt) -> None:
        job = each.progress.job
        fault = JobBroken("it was cut off") if each.task.cancelled() else each.task.exception()
        if fault is None:
            sealed = self._seal_content(job, "finished", each.task.result())
            if await self._table.put(replace(job, state="finished"), sealed):
                log.info("job %s (%s) finished", job.id, job.kind)
        elif isinstance(fault, Unavailable | JobLost):
            log.warning("job %s (%s) is cut off: %s", job.id, job.kind, fault)
        elif isinstance(fault, HouseError):
            await self._keep_failure(job, fault)
        else:
            # The type alone: the words of a foreign error may hold what somebody sent.
            died = JobBroken(f"its work died of {type(fault).__name__}")
            log.error("job %s died of %s", job.id, type(fault).__name__, exc_info=fault)
            await self._keep_failure(job, died)

    async def _keep_failure(self, job: JobRecord, fault: HouseError) -> None:
        end = JobEnd(error=fault.code, detail=fault.detail, remedy=fault.remedy)
        sealed = self._seal_content(job, "failed", msgspec.json.encode(end))
        if await self._table.put(replace(job, state="failed"), sealed):
            log.warning("job %s (%s) failed: %s", job.id, job.kind, fault.detail)

    def _seal_content(self, job: JobRecord, what: str, plain: bytes) -> str:
        return self._ports.sealer.seal(plain, _seal_context(job, what))

    def _open_content(self, job: JobRecord, what: str, sealed: str) -> bytes | None:
        return self._ports.sealer.open(sealed, _seal_context(job, what))


def _seal_context(job: JobRecord, what: str) -> bytes:
    """What a job keeps belongs to it, in the name of whoever started it, and to nothing else."""
    return msgspec.json.encode(("job", what, job.id, job.kind, job.workspace, job.started_by))


def _may_go_on(job: JobRecord, kind: JobKind, follower: ViewFollower) -> bool | None:
    """Whether who started it may do so still; None while this node cannot know."""
    if is_operator(job.started_by):
        return True
    if not follower.fresh():
        return None
    who = follower.view.principals.get(PrincipalId(job.started_by))
    return who is not None and who.workspace == job.workspace and may(who.role, kind.act)
