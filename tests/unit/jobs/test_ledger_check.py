"""What the job of a whole check keeps: all that disagrees counts, and what is told is bounded."""

import msgspec
import pytest

from gatelodge.flows.audit.check.fsck import LedgerExamination
from gatelodge.flows.audit.check.walk import ExaminedLog, FsckFinding
from gatelodge.flows.jobs.kinds import FSCK
from gatelodge.flows.jobs.ledger_check import LedgerCheck

pytestmark = pytest.mark.anyio


class Damaged:
    """A ledger of very many logs, in which everything is wrong."""

    def __init__(self, logs, findings):
        self.found = LedgerExamination(
            tuple(
                ExaminedLog(
                    log=f"calls/wsp_{number:022}",
                    origin=f"gate.example.test/calls/wsp_{number:022}",
                    leaves=1_000_000,
                    checkpoints=10_000,
                    open_pairs=0,
                    openings=1_000_000,
                    erased=0,
                    unknown={},
                )
                for number in range(logs)
            ),
            tuple(
                FsckFinding(f"calls/wsp_{number:022}", "leaf", "not canonical: " + "x" * 80, number)
                for number in range(findings)
            ),
        )

    async def examine(self, *_):
        return self.found


class Sequenced:
    def __init__(self, *lost):
        self.lost = lost

    async def examine(self):
        return self.lost


async def test_the_worst_damage_of_the_largest_house_is_told_as_far_as_there_is_room():
    check = LedgerCheck(Damaged(20_000, 50_000), Sequenced("a frame is gone"), None)
    result = await check.run(None)
    assert not result.sound
    assert result.left_out == 20_000 - len(result.logs) + 50_001 - len(result.findings)
    assert len(msgspec.json.encode(result)) < FSCK.result_bytes


async def test_what_the_journal_lost_is_no_sound_house():
    result = await LedgerCheck(Damaged(1, 0), Sequenced("a frame is gone"), None).run(None)
    assert (result.sound, result.left_out) == (False, 0)
    assert [each.code for each in result.findings] == ["journal"]
