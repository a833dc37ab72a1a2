"""A check that takes long is one run, which is joined and told how far it has come."""

import asyncio

import pytest

from gatelodge.flows.audit.fsck import LedgerExamination
from gatelodge.web.api.checkup import LedgerCheckup

pytestmark = pytest.mark.anyio


class Slow:
    """A check that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.looked_at, self.of = 0, 3, 10
        self.end = asyncio.Event()

    async def examine(self, live) -> LedgerExamination:
        self.begun += 1
        await self.end.wait()
        return LedgerExamination((), ())


async def test_whoever_asks_again_joins_the_run_that_goes_on():
    checkup, slow = LedgerCheckup(), Slow()
    assert await checkup.joined(slow, None, 0.001) is None
    assert await checkup.joined(slow, None, 0.001) is None
    assert (slow.begun, checkup.progress) == (1, (3, 10))
    slow.end.set()
    found = await checkup.joined(slow, None, 10)
    assert found is not None
    assert found.sound
    assert await checkup.joined(slow, None, 10) is not None
    assert slow.begun == 2
