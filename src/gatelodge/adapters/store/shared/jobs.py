"""Jobs on either engine: one table, in which the statement that writes asks whether it still may.

It is logged on PostgreSQL, unlike short-lived entries: a job must not be forgotten half way.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from msgspec.structs import asdict
from sqlalchemy import text

from gatelodge.adapters.store.database import Database
from gatelodge.ports.jobs import KEPT_JOBS, JobRecord

T = TypeVar("T")

_COLUMNS = ", ".join(name for name in JobRecord.__struct_fields__ if name != "now")
_ADD = f"""
    INSERT INTO jobs ({_COLUMNS}, content)
    VALUES (:id, :kind, :workspace, :started_by, 'queued', '', 0, '', 0, 0, {{now}}, 0, 0, :content)
"""  # noqa: S608 - names of columns
_PRUNE = f"""
    DELETE FROM jobs WHERE ended_at > 0 AND id NOT IN
        (SELECT id FROM jobs WHERE ended_at > 0 ORDER BY ended_at DESC, id LIMIT {KEPT_JOBS})
"""  # noqa: S608 - a number of ours
_SELECT = f"SELECT {_COLUMNS}, {{now}} AS now"
_TAKE = """
    UPDATE jobs SET state = 'running', node = :node, attempts = attempts + 1,
        begun_at = CASE WHEN begun_at = 0 THEN {now} ELSE begun_at END
    WHERE id = :id AND attempts = :attempts AND ended_at = 0 RETURNING content
"""
_PUT = """
    UPDATE jobs SET state = :state, stage = :stage, done = :done, total = :total,
        ended_at = CASE WHEN :state = 'running' THEN 0 ELSE {now} END,
        content = coalesce(:content, content)
    WHERE id = :id AND attempts = :attempts AND ended_at = 0
"""
_CANCEL = """
    UPDATE jobs SET state = 'cancelled', ended_at = {now}, content = ''
    WHERE id = :id AND ended_at = 0
"""


class SqlJobs:
    """The port `JobTable` on either engine."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limiter = CapacityLimiter(2)

    async def add(self, job: JobRecord, content: str) -> None:
        """Queue it, and forget the oldest of those that ended. Raises Conflict, StoreDown."""

        def write() -> None:
            with self._database.write() as connection:
                connection.execute(self._bound_statement(_ADD), {**asdict(job), "content": content})
                connection.execute(text(_PRUNE))

        await self._run_in_thread(write)

    async def listed(self, workspace: str | None) -> tuple[JobRecord, ...]:
        """The jobs of a workspace, newest first; None = of everybody."""
        where = "" if workspace is None else "WHERE workspace = :workspace"
        found = await self._select_jobs(
            f"{_SELECT} FROM jobs {where} ORDER BY asked_at DESC, id", {"workspace": workspace}
        )
        return tuple(JobRecord(**row) for row in found)

    async def active(self) -> tuple[JobRecord, ...]:
        """Those that have not ended, oldest first."""
        found = await self._select_jobs(
            f"{_SELECT} FROM jobs WHERE ended_at = 0 ORDER BY asked_at, id"
        )
        return tuple(JobRecord(**row) for row in found)

    async def get(self, job: str) -> tuple[JobRecord, str] | None:
        """One job with its content."""
        for row in await self._select_jobs(
            f"{_SELECT}, content FROM jobs WHERE id = :id", {"id": job}
        ):
            content = row.pop("content")
            return JobRecord(**row), content
        return None

    async def take(self, job: JobRecord, node: str) -> str | None:
        """Let that node run it from now on; of several that try exactly one does."""

        def write() -> str | None:
            with self._database.write("last") as connection:
                given = {"id": job.id, "attempts": job.attempts, "node": node}
                taken: str | None = connection.execute(
                    self._bound_statement(_TAKE), given
                ).scalar_one_or_none()
                return taken

        return await self._run_in_thread(write)

    async def put(self, job: JobRecord, content: str | None) -> bool:
        """Keep how far it is, or how it ended; false if this attempt is not the one that runs."""
        given = {**asdict(job), "content": content}
        return await self._change_row(_PUT, given)

    async def cancel(self, job: str) -> bool:
        """End it, whoever runs it; false when it had ended."""
        return await self._change_row(_CANCEL, {"id": job})

    async def _select_jobs(
        self, template: str, given: dict[str, str | None] | None = None
    ) -> list[dict[str, Any]]:
        def look() -> list[dict[str, Any]]:
            with self._database.read() as connection:
                found = connection.execute(self._bound_statement(template), given or {})
                return [dict(row) for row in found.mappings()]

        return await self._run_in_thread(look)

    async def _change_row(self, template: str, given: dict[str, Any]) -> bool:
        def write() -> bool:
            # Behind everybody's changes: how far a job is can wait.
            with self._database.write("last") as connection:
                return connection.execute(self._bound_statement(template), given).rowcount == 1

        return await self._run_in_thread(write)

    def _bound_statement(self, template: str) -> Any:
        return text(template.format(now=self._database.now))

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
