"""The job `fsck`: the whole check of the logs, and of what is durable and not in them yet."""

from msgspec import Struct

from gatelodge.flows.audit.check.fsck import LedgerFsck, Live
from gatelodge.flows.audit.check.walk import ExaminedLog, FsckFinding
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.jobs.kinds import JobProgress

MOST_FINDINGS = 1_000
MOST_LOGS = 10_000
"""What of a check is kept: the worst damage must not be told least, for want of room."""


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a whole check looked at, and everything that disagrees.

    `left_out` is how many findings, and lines of logs, are not told.
    """

    sound: bool
    logs: tuple[ExaminedLog, ...]
    findings: tuple[FsckFinding, ...]
    left_out: int = 0


class LedgerCheck(Struct, frozen=True):
    """What the check works with; it changes nothing and shows nobody's name."""

    fsck: LedgerFsck
    sequencer: LogSequencer
    live: Live

    async def run(self, progress: JobProgress) -> CheckResult:
        """Derive every hash, root, signature and pair again from the leaves of every log.

        No place to go on from is kept: whoever writes into the database could put an old one back,
        and what was changed before it would not be looked at.
        """

        async def reached(log: str, done: int, of: int) -> None:
            await progress.reached(log, done, of, bytes)

        found = await self.fsck.examine(self.live, reached)
        lost = [FsckFinding("", "journal", each) for each in await self.sequencer.examine()]
        findings = (*found.findings, *lost)
        left_out = len(findings[MOST_FINDINGS:]) + len(found.logs[MOST_LOGS:])
        return CheckResult(
            sound=not findings,
            logs=found.logs[:MOST_LOGS],
            findings=findings[:MOST_FINDINGS],
            left_out=left_out,
        )
