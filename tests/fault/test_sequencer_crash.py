"""The process dies in the middle: nothing acknowledged is lost, doubled or left open."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.ledgers import sqlite_sessions
from tests.logbook import LOG, Logbook

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

_ROOT = Path(__file__).parents[2]

_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.ledgers import sqlite_sessions
from tests.logbook import Logbook

async def caller(book):
    while True:
        call = await book.begun()
        print("i", call, flush=True)
        await book.ended(call)
        print("o", call, flush=True)

async def main():
    place, node = Path(sys.argv[1]), sys.argv[2]
    book = await Logbook.open(place, sqlite_sessions(place / "ledger.db"), node)
    await book.sequencer.recover(frozenset())
    ticking = asyncio.create_task(tick(book))
    await asyncio.gather(book.sequencer.run(), *(caller(book) for _ in range(6)))

async def tick(book):
    while True:
        book.clock.step(0.2)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def told_before_it_was_killed(place: Path, node: str, lines: int) -> list[str]:
    command = [sys.executable, "-c", _CHILD, str(place), node]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().split("\n")[:-1]
    return [line.strip() for line in told]


@pytest.mark.guarantee("audit:every-request-once")
async def test_a_killed_gate_comes_back_with_every_call_closed_once(tmp_path):
    told: list[str] = []
    for turn in range(5):
        told += told_before_it_was_killed(tmp_path, f"nod_{turn}", 60 + turn * 97)
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions, "nod_last")
    await book.sequencer.recover(frozenset())
    leaves = [msgspec.json.decode(body) for body in await book.bodies()]
    of_type: dict[str, list[str]] = {}
    for each in leaves:
        of_type.setdefault(each["t"], []).append(each.get("call", ""))
    begun = {line[2:] for line in told if line.startswith("i ")}
    ended = {line[2:] for line in told if line.startswith("o ")}
    closed = of_type["call.outcome"] + of_type.get("call.unresolved", [])
    assert begun <= set(of_type["call.intent"])
    assert ended <= set(of_type["call.outcome"])
    assert len(set(of_type["call.intent"])) == len(of_type["call.intent"])
    assert sorted(closed) == sorted(of_type["call.intent"])
    assert "call.late" not in of_type
    await book.sequencer.sign()
    examination = await book.examined(frozenset())
    assert examination.findings == ()
    assert {each.log for each in examination.logs} == {LOG}
    await book.journal.close()
    sessions.engine.dispose()


async def test_a_crash_between_append_and_forget_sequences_nothing_twice(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions)
    await book.sequencer.recover(frozenset())
    calls = [await book.called() for _ in range(20)]

    async def dies(_end) -> None:
        raise RuntimeError

    book.journal.forget = dies
    with pytest.raises(RuntimeError):
        await book.sequencer.drain()
    await book.crash()
    again = await Logbook.open(tmp_path, sessions, "nod_2")
    await again.sequencer.recover(frozenset())
    found = [msgspec.json.decode(body).get("call") for body in await again.bodies()]
    assert found == [None, *(call for each in calls for call in (each, each))]
    await again.journal.close()
    sessions.engine.dispose()
