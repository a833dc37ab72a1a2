"""Write a log, fill its index, ask: how long each takes, and what it costs of disk and memory."""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import text

from bench import ROOT
from bench.search.written import BEGINS, LOG, MEMBERS, SEAL, YEAR, WrittenLog
from bench.sections import write_section
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.adapters.ledger.deks import SqlDeks
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.search.index import SqlSearchIndex
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.searching.places import CHUNK
from gatelodge.flows.audit.index.filler import IndexFiller
from gatelodge.flows.audit.search import AuditQuery, AuditSearch

TITLE = "## Search of the audit log"
TIMES = 7
_MEMBER, _GONE = "mem_0000", f"mem_{MEMBERS - 1:04d}"
_SERVER, _OTHER = f"srv_{3:022d}", f"grn_{4:022d}"
_RELATIONS = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
_PARTS = {
    "sqlite": (
        "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'index_%'",
        "SELECT sum(pgsize) FROM dbstat WHERE name NOT LIKE 'index_%'",
    ),
    "postgresql": (
        f"{_RELATIONS} AND relname LIKE 'index_%'",
        f"{_RELATIONS} AND relname IN ('bundle', 'tile')",
    ),
}


class SearchFigures(Struct, frozen=True, kw_only=True):
    """What was measured on one engine; times in milliseconds, sizes in bytes."""

    engine: str
    records: int
    leaves: int
    fill_rate: float
    index_bytes: int
    log_bytes: int
    grown_mib: float
    asked: dict[str, tuple[float, ...]]
    found: dict[str, int]


def questions() -> dict[str, AuditQuery]:
    """What is asked, in words and as a question."""
    whole = AuditQuery(log=LOG)
    midsummer = [rfc3339(Instant(BEGINS + YEAR // 2 + day * 86_400_000_000)) for day in (0, 30)]
    return {
        "the newest": whole,
        "one person": replace(whole, members=(_MEMBER,)),
        "a person who left in the first days": replace(whole, members=(_GONE,)),
        "one person on one server, denied": replace(
            whole, members=(_MEMBER,), servers=(_SERVER,), outcome="denied"
        ),
        "one person in one month of last summer": replace(
            whole, members=(_MEMBER,), since=midsummer[0], until=midsummer[1]
        ),
        "one tool, timed out": replace(whole, tool="tool_1", outcome="timeout"),
        "one server, access ended during the call": replace(
            whole, servers=(_SERVER,), outcome="revoked"
        ),
        "what has not ended": replace(whole, outcome="open"),
        "a tool of ten records in all": replace(whole, tool="seldom"),
        "a tool that never was": replace(whole, tool="never"),
        "two frequent words that never meet": replace(whole, servers=(_SERVER,), rules=(_OTHER,)),
        "one server, from the middle of the log on": replace(whole, servers=(_SERVER,), before=-1),
    }


async def _measure(database: Database, records: int) -> SearchFigures:
    ledger = SqlLedger(database.write, database.read, SEAL)
    began = time.monotonic()
    kept = {head.log: head.size for head in await ledger.heads()}
    # A run that was cut off goes on in the same place.
    leaves = kept.get(LOG) or WrittenLog(records).write(database)
    print(f"{leaves:,} leaves in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    index = SqlSearchIndex(partial(database.write, "last"), database.read)
    clock, ids = SystemClock(), SystemIds()

    async def leads() -> bool:
        return True

    filler = IndexFiller(ledger, index, clock, ids, leads)
    # The gate fills it beside its calls, and waits for them; here nobody calls.
    filler.patient = False
    due = leaves - sum(each.position for each in await index.reaches())
    began = time.monotonic()
    while await filler.step():
        pass
    seconds = time.monotonic() - began
    print(f"filled in {seconds:.0f} s", file=sys.stderr, flush=True)
    if database.dialect == "postgresql":
        with database.watch() as connection:
            connection.execute(text("VACUUM ANALYZE"))
    sizes = [_number(database, each) for each in _PARTS[database.dialect]]
    no_key = SqlDeks((database.write, database.read), None, clock, ids)  # type: ignore[arg-type]
    search = AuditSearch(ledger, no_key, index=index)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked, found = await _asked(search, leaves)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return SearchFigures(
        engine=database.dialect,
        records=records,
        leaves=leaves,
        # Less than a chunk is never due: then this run found it filled.
        fill_rate=due / seconds if due >= CHUNK else 0.0,
        index_bytes=sizes[0],
        log_bytes=sizes[1],
        grown_mib=grown / 1024,
        asked=asked,
        found=found,
    )


async def _asked(
    search: AuditSearch, leaves: int
) -> tuple[dict[str, tuple[float, ...]], dict[str, int]]:
    asked: dict[str, tuple[float, ...]] = {}
    found: dict[str, int] = {}
    for name, query in questions().items():
        ready = replace(query, before=leaves // 2) if query.before else query
        took = []
        for _ in range(TIMES):
            began = time.monotonic()
            page = await search.search(ready)
            took.append((time.monotonic() - began) * 1000)
        asked[name], found[name] = tuple(took), len(page.found)
    return asked, found


def _number(database: Database, query: str) -> int:
    with database.read() as connection:
        return int(connection.execute(text(query)).scalar() or 0)


@contextmanager
def _database(engine: str, url: str, place: Path | None) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="gatelodge-search-") as at:
        kept = place if place and engine == "sqlite" else Path(at)
        made = open_database(url if engine == "postgresql" else "", kept)
        try:
            migrate(made)
            yield made
        finally:
            made.close()


def _table(figures: list[SearchFigures]) -> Iterator[str]:
    yield (
        "| engine | records | leaves | filled, leaves/s | index, bytes a record "
        "| log, bytes a record | grew by, MiB |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for each in figures:
        rate, size = each.fill_rate, each.index_bytes / each.records
        log, grown = each.log_bytes / each.records, each.grown_mib
        costs = f"{rate:,.0f} | {size:.0f} | {log:,.0f} | {grown:.0f} |"
        yield f"| {each.engine} | {each.records:,} | {each.leaves:,} | {costs}"
    yield ""
    heads = "".join(f" {each.engine}: first | median | longest |" for each in figures)
    yield f"| question | found |{heads}"
    yield "|---|---:|" + "---:|---:|---:|" * len(figures)
    for name in questions():
        cells = "".join(
            f" {took[0]:,.0f} | {statistics.median(took):,.0f} | {max(took):,.0f} |"
            for took in (each.asked[name] for each in figures)
        )
        yield f"| {name} | {figures[0].found[name]} |{cells}"


def _section(figures: list[SearchFigures]) -> str:
    told = (
        f"A log of one year, of {MEMBERS} people: six of ten are calls, of "
        "two leaves each, one is a denial, three are lists. It is written straight into the "
        "ledger, with the gate's own functions; what is sealed in its openings is random bytes. "
        "Each question asks for a page of 50, seven times, in milliseconds from question to "
        "answer; who called is not opened. `grew by` is what the process took more than it had "
        "while filling. Wall-clock times; the logs were filled while the machine did other work."
    )
    day = time.strftime("%Y-%m-%d")
    lines = [TITLE, "", f"Written by `python -m bench search --write` on {day}. Do not edit.", ""]
    return "\n".join([*lines, told, "", *_table(figures)]) + "\n"


def measure_search(words: list[str]) -> None:
    """Measure, and print the section or write it into the page."""
    parser = argparse.ArgumentParser(prog="bench search")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--postgres", default="", help="the URL of an empty database")
    parser.add_argument("--at", type=Path, help="a directory in which SQLite's file stays")
    parser.add_argument("--json", type=Path, help="add what was measured to this file")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), help="this one alone")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(words)
    figures = []
    for engine in ("sqlite", "postgresql"):
        if given.engine in (None, engine) and (engine == "sqlite" or given.postgres):
            with _database(engine, given.postgres, given.at) as database:
                figures.append(anyio.run(_measure, database, given.records))
    if given.json:
        kept = given.json.read_bytes() if given.json.exists() else b"[]"
        earlier = msgspec.json.decode(kept, type=list[SearchFigures])
        rates = {each.engine: each.fill_rate for each in earlier}
        # Nothing was due where an earlier run had filled it: the rate is that run's.
        figures = [
            each if each.fill_rate else replace(each, fill_rate=rates.get(each.engine, 0.0))
            for each in figures
        ]
        told = {each.engine for each in figures}
        figures = [*(each for each in earlier if each.engine not in told), *figures]
        figures.sort(key=lambda each: each.engine, reverse=True)
        given.json.write_bytes(msgspec.json.encode(figures))
    section = _section(figures)
    if given.write:
        write_section(ROOT / "docs" / "performance.md", TITLE, section)
    print(section)
