"""Jobs: start one, look at them, cancel one.

Whoever may do what a kind does may start, see and cancel its jobs in their workspace; for all
others there are none. The operator on the gate's own machine sees every job.
"""

from typing import Any, Final

from litestar import get, post
from msgspec import Struct

from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.flows.jobs.kinds import FSCK, KINDS, name_of_kind
from gatelodge.flows.jobs.runner import JobEnd
from gatelodge.ports.jobs import JobRecord
from gatelodge.web.api.authentication import forbidden_to
from gatelodge.web.api.context import AdminCaller, AdminContext
from gatelodge.web.api.operators import operator_name
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, JSONBody, Limits, Named, TheCaller, TheGate

_ACTS: Final = {kind.name: kind.act for kind in KINDS}
_START: Final = {"act": tuple(dict.fromkeys(_ACTS.values()))}
"""The door opens to whoever may do what some kind does; which one is asked behind it."""
_READ: Final = {"act": "job.read"}


class NewJob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done."""

    kind: str


class JobShape(Struct, frozen=True, kw_only=True):
    """One job. Of `total` things `done` were done, `stage` says where; a time is empty before.

    `workspace` is empty for the whole organization; `attempts` = how often a node took it up.
    """

    id: str
    kind: str
    workspace: str
    started_by: str
    state: str
    node: str
    attempts: int
    stage: str
    done: int
    total: int
    asked_at: str
    begun_at: str
    ended_at: str


class JobFailure(Struct, frozen=True, kw_only=True):
    """The error that a job failed of, as a problem document has it."""

    code: str
    detail: str
    remedy: str


class JobDetail(JobShape, frozen=True, kw_only=True):
    """One job with its result, whose form is its kind's, or with why it failed."""

    result: dict[str, Any] | None = None
    failure: JobFailure | None = None


@post("/jobs", opt=_START, status_code=202)
async def start(gate: TheGate, caller: TheCaller, data: JSONBody[NewJob]) -> JobShape:
    """Start a job, or join the one of its kind that has not ended."""
    if data.kind not in _ACTS:
        raise Invalid(f"there is no such kind of job; there are: {', '.join(_ACTS)}")
    if data.kind != FSCK.name:
        raise Invalid(
            f"a job {data.kind} is started with what it is to do",
            remedy="Ask for it where that can be said: POST /workspaces/{workspace}/artifacts.",
        )
    if not caller.may(FSCK.act):
        raise forbidden_to(caller.role, FSCK.act)
    return shape_of_job(await gate.jobs.start(FSCK, caller.by, caller.workspace))


@get("/jobs", opt=_READ)
async def listed(
    gate: TheGate, caller: TheCaller, limit: Limits = PAGE, cursor: Asks = ""
) -> ItemPage[JobShape]:
    """List the jobs, newest first; of those that have ended the newest hundred are kept."""
    rows = await gate.jobs.listed(None if caller.local else caller.workspace)
    mine = [job for job in rows if _may_see(caller, job)]
    return page(mine, lambda job: job.id, shape_of_job, PageRequest(limit, cursor))


@get("/jobs/{job:str}", opt=_READ)
async def show(gate: TheGate, caller: TheCaller, job: Named) -> JobDetail:
    """Show one job, with its result once it has ended."""
    return _detail_of_job(*await _visible_job(gate, caller, job))


@post("/jobs/{job:str}/cancel", opt=_START, status_code=200)
async def cancel(gate: TheGate, caller: TheCaller, job: Named) -> JobShape:
    """Cancel a job, whichever node runs it: nothing of it is kept from now on."""
    await _visible_job(gate, caller, job)
    return shape_of_job(await gate.jobs.cancel(job))


async def _visible_job(
    gate: AdminContext, caller: AdminCaller, job: str
) -> tuple[JobRecord, JobEnd]:
    found = await gate.jobs.get(job)
    if not _may_see(caller, found[0]):
        raise NotFound(f"there is no job {job!r}", remedy="See `gatelodge job list`.")
    return found


def _may_see(caller: AdminCaller, job: JobRecord) -> bool:
    # A kind that this version does not know is seen by no role.
    may = caller.may(_ACTS.get(name_of_kind(job.kind), ""))
    return caller.local or (may and job.workspace == caller.workspace)


def shape_of_job(job: JobRecord) -> JobShape:
    """A job as it is shown."""
    return JobShape(**_fields_of_job(job))


def _detail_of_job(job: JobRecord, end: JobEnd) -> JobDetail:
    failure = JobFailure(code=end.error, detail=end.detail, remedy=end.remedy)
    return JobDetail(
        **_fields_of_job(job), result=end.result, failure=failure if end.error else None
    )


def _fields_of_job(job: JobRecord) -> dict[str, Any]:
    known = {name: getattr(job, name) for name in JobShape.__struct_fields__}
    times = {name: at for name, at in known.items() if name.endswith("_at")}
    told = {name: rfc3339(Instant(at)) if at else "" for name, at in times.items()}
    return {**known, **told, "started_by": operator_name(job.started_by)}


ROUTES = (start, listed, show, cancel)
