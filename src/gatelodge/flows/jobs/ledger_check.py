"""The job `fsck`: the whole check of the logs, and of what is durable and not in them yet."""

from msgspec import Struct

from gatelodge.flows.audit.check.fsck import LedgerFsck, Live
from gatelodge.flows.audit.check.walk import ExaminedLog, FsckFinding
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.jobs.kinds import JobProgress


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a whole check looked at, and everything that disagrees."""

    sound: bool
    logs: tuple[ExaminedLog, ...]
    findings: tuple[FsckFinding, ...]


class LedgerCheck(Struct, frozen=True):
    """What the check works with; it changes nothing and shows nobody's name."""

    fsck: LedgerFsck
    sequencer: LogSequencer
    live: Live

    async def run(self, progress: JobProgress) -> CheckResult:
        """Derive every hash, root, signature and pair again from the leaves of every log."""
        found = await self.fsck.examine(self.live, progress.position, progress.reached)
        lost = [FsckFinding("", "journal", each) for each in await self.sequencer.examine()]
        return CheckResult(
            sound=found.sound and not lost,
            logs=found.logs,
            findings=(*found.findings, *lost),
        )
