"""How long a question about the past takes: the first one, and those after it.

A real ledger in SQLite, read by the very flow that the admin API reads. Times are those of the
processor, so that what else runs on the machine does not count.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from msgspec import Struct

from bench import ROOT
from bench.access.leaves import BEGINS, DAY, WrittenYear
from bench.sections import write_section
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.core.access.difference import differences
from gatelodge.core.ids import Instant, PrincipalId, WorkspaceId
from gatelodge.flows.past.kept import KeptFolds
from gatelodge.flows.past.past_access import PastAccess

TITLE = "## Questions about past access"
NOW = Instant(BEGINS + 366 * DAY)
_SEAL = HeadSeal(b"k" * 32)
_PORTION = 500
_HOME = WorkspaceId("wsp_home")


class PastPlan(Struct, frozen=True):
    """How large the house is."""

    leaves: int
    people: int
    servers: int


class Timings(Struct, frozen=True):
    """Milliseconds of the first question of a kind, and of those that came after."""

    name: str
    first: float
    later: tuple[float, ...]

    def row(self) -> str:
        """As a row of a table."""
        middle, longest = statistics.median(self.later), max(self.later)
        return f"| {self.name} | {self.first:,.0f} | {middle:,.0f} | {longest:,.0f} |"


@contextmanager
def _ledger(year: WrittenYear) -> Iterator[SqlLedger]:
    with tempfile.TemporaryDirectory() as at:
        database = open_database("", Path(at))
        migrate(database)
        with database.write() as connection:
            logs.open_log(connection, "gov", "localhost/gov")
        bodies = list(year.leaves())
        for start in range(0, len(bodies), _PORTION):
            with database.write() as connection:
                logs.append_leaves(connection, _SEAL, "gov", bodies[start : start + _PORTION])
        yield SqlLedger(database.write, database.read, _SEAL)
        database.close()


class PastQuestioner:
    """Asks about moments and people of a year, drawn at random."""

    def __init__(self, past: PastAccess, year: WrittenYear) -> None:
        self._past, self._year = past, year
        self._dice = random.Random(3)
        self._who = PrincipalId(year.people[-1])

    def _moment(self) -> Instant:
        return Instant(BEGINS + self._dice.randrange(30 * DAY, 365 * DAY))

    async def at(self) -> None:
        await self._past.view(self._moment(), NOW)

    async def diff(self) -> None:
        one, other = sorted((self._moment(), self._moment()))
        earlier, later = await self._past.view(one, NOW), await self._past.view(other, NOW)
        list(differences((earlier, one), (later, other), _HOME))

    async def history(self) -> None:
        self._who = PrincipalId(self._dice.choice(self._year.people))
        await self._past.history(self._who, NOW)

    async def history_again(self) -> None:
        await self._past.history(self._who, NOW)


async def _measure(plan: PastPlan) -> tuple[list[Timings], int]:
    year = WrittenYear(plan.leaves, plan.people, plan.servers)
    with _ledger(year) as ledger:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        past = PastAccess(ledger, anyio.Lock(), anyio.CapacityLimiter(1), 64, KeptFolds())
        asks = PastQuestioner(past, year)
        found = []
        for name, ask, times in (
            ("who could use what (`access at`)", asks.at, 20),
            ("what differs (`access diff`)", asks.diff, 10),
            ("one person's history, each time of another", asks.history, 10),
            ("the same person's history again", asks.history_again, 10),
        ):
            took = []
            for _ in range(times):
                began = time.process_time()
                await ask()
                took.append((time.process_time() - began) * 1000)
            found.append(Timings(name, took[0], tuple(took[1:])))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return found, grown // 1024


def _told(plan: PastPlan, grown: int) -> str:
    return (
        f"A gov log of {plan.leaves:,} changes in a year, of {plan.people} people and "
        f"{plan.servers} servers with 10 tools each, in SQLite. Milliseconds of processor time: "
        "the first question after a start folds the log, those after it begin at a kept fold. "
        f"The process grew by {grown} MiB."
    )


def measure_past(words: list[str]) -> None:
    """Measure, and print the section or write it into the page."""
    parser = argparse.ArgumentParser(prog="bench access")
    parser.add_argument("--leaves", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--servers", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(words)
    plan = PastPlan(given.leaves, given.people, given.servers)
    found, grown = anyio.run(_measure, plan)
    lines = [
        TITLE,
        "",
        f"Written by `python -m bench access --write` on {time.strftime('%Y-%m-%d')}. Do not edit.",
        "",
        _told(plan, grown),
        "",
        "| question | first | later, median | later, longest |",
        "|---|---:|---:|---:|",
        *(each.row() for each in found),
    ]
    section = "\n".join(lines) + "\n"
    if given.write:
        write_section(ROOT / "docs" / "performance.md", TITLE, section)
    print(section)
