"""Nodes that share a table of jobs, and work that goes on a step at a time."""

import asyncio
from functools import partial

from msgspec import Struct
from tests.fakes.world import CountedIds, StillClock
from tests.gate import WAIT
from tests.unit.view.rows import member, view

from gatelodge.adapters.keys.sealing import AesSealer
from gatelodge.adapters.store.shared.jobs import SqlJobs
from gatelodge.flows.jobs.kinds import KEEP_SECONDS, JobKind
from gatelodge.flows.jobs.runner import JobPorts, JobRunner

COUNT = JobKind(
    name="count", act="audit.export", seconds=3_600, position_bytes=100, result_bytes=200
)
OPERATOR = "local:1000"


class Counted(Struct):
    """How far was counted."""

    total: int


class Counting:
    """Counts to ten: each step when it is let on, its position what it has counted."""

    def __init__(self, clock):
        self.clock = clock
        self.on = asyncio.Semaphore(0)
        self.fault = None
        self.words = b""
        self.began = []
        self.counted = 0

    async def run(self, progress):
        done = int(progress.position or b"0")
        self.began.append(done)
        while done < 10:
            await self.on.acquire()
            if self.fault is not None:
                raise self.fault
            done += 1
            self.counted += 1
            self.clock.step(KEEP_SECONDS)
            at = str(done).encode() + self.words
            await progress.reached("counting", done, 10, partial(bytes, at))
        return Counted(done)

    def step(self, times):
        for _ in range(times):
            self.on.release()


class Followed:
    """The view as every node has it."""

    def __init__(self):
        self.proven = True
        self.view = view(member("mem_ann", role="owner"))

    def fresh(self):
        return self.proven


class Leadership:
    """What a sequencer knows of who leads."""

    def __init__(self, nodes, name):
        self.nodes, self.name = nodes, name

    async def leads(self):
        return self.nodes.leader == self.name


class Nodes:
    """Nodes that share a table; which one leads is said by the test."""

    def __init__(self, database):
        self.database = database
        self.table = SqlJobs(database)
        self.clock, self.ids = StillClock(), CountedIds()
        self.sealer = AesSealer(b"s" * 32)
        self.leader = "nod_1"
        self.follower = Followed()
        self.work = {}
        self.runners = {}
        self.kept = []

    def node(self, name="nod_1", kind=COUNT):
        ports = JobPorts(
            table=self.table,
            sealer=self.sealer,
            clock=self.clock,
            ids=self.ids,
            node=name,
            sequencer=Leadership(self, name),
        )
        self.work[name] = Counting(self.clock)
        self.runners[name] = JobRunner(ports, {kind: self.work[name].run})
        return self.runners[name], self.work[name]

    async def until(self, runner, wanted):
        """Let the runner look until it is so."""
        async with asyncio.timeout(WAIT):
            while not await wanted():
                await runner.step(self.follower)
                await asyncio.sleep(0.01)

    async def ended(self, runner, job):
        async def over():
            return (await self.table.get(job))[0].ended_at > 0

        await self.until(runner, over)
        return await runner.get(job)

    async def counted(self, runner, work, many):
        async def so_far():
            kept = await self.table.get((await self.table.listed(None))[0].id)
            return work.counted == many and kept[0].done == many

        await self.until(runner, so_far)
