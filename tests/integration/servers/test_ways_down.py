"""Servers that die, one or all, and the gate's own end: who feels it, and what is left."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.gate import WAIT, Answer, Client
from tests.integration.servers.fleet import EVERYTHING, KNOWN, REMOTE, Fleet
from tests.integration.servers.kin import Process, alive, family, homed
from tests.leaves import Calls
from tests.wire import until

pytestmark = pytest.mark.slow
LONG = "trigger-long-running-operation"
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


def clients(fleet: Fleet) -> tuple[Client, Client]:
    """Ada's clients of both eras."""
    return fleet.client(fleet.ada), fleet.legacy(fleet.ada)


def lists(client: Client) -> list[Any]:
    """Everything on every page of every list, but for what a server made for its session."""
    found = []
    for method in LISTS:
        params: dict[str, Any] | None = {}
        while params is not None:
            result = client.request(method, params).json["result"]
            cursor = result.pop("nextCursor", None)
            params = None if cursor is None else {"cursor": cursor}
            if method == "resources/list":
                kept = [each for each in result["resources"] if "/session/" not in each["uri"]]
                result["resources"] = kept
            found.append(result)
    return found


def call(fleet: Fleet, client: Client, alias: str) -> Answer:
    """The call whose right answer is known."""
    known = KNOWN[alias]
    return client.call(f"{alias}__{known.tool}", known.arguments(fleet.scene))


def right(fleet: Fleet, client: Client, alias: str) -> bool:
    """Say whether a server answers as it should."""
    result = call(fleet, client, alias).json["result"]
    return not result.get("isError") and KNOWN[alias].says in result["content"][0]["text"]


def fault(answer: Answer) -> str:
    """The code of the error in a failed call's result."""
    result = answer.json["result"]
    assert result["isError"] is True
    return str(result["_meta"]["dev.gatelodge/decision"]["error"])


def is_up(fleet: Fleet) -> bool:
    """Say whether the gate runs."""
    return fleet.gate.process is not None and fleet.gate.process.poll() is None


@pytest.fixture(autouse=True)
def every_call_is_closed(fleet: Fleet) -> Iterator[None]:
    yield
    if is_up(fleet):
        Calls(fleet.leaves()).is_paired()


def test_a_server_killed_in_a_call_fails_that_call_and_nothing_else(fleet: Fleet):
    modern, legacy = clients(fleet)
    whole, before = lists(modern), len(fleet.leaves())
    with ThreadPoolExecutor(1) as aside:
        arguments = {"duration": 600, "steps": 6}
        running = aside.submit(modern.call, f"all__{LONG}", arguments)
        until(lambda: fleet.calls(before), why="the call is under way")
        os.kill(fleet.pid("all"), signal.SIGKILL)
        assert fault(running.result()) == "error.upstream.protocol"
    for client in (modern, legacy):
        assert client.tools() == fleet.shown_to_all()
        assert all(right(fleet, client, alias) for alias in fleet.aliases if alias != "all")
    assert lists(modern) == whole
    until(lambda: right(fleet, modern, "all"), why="the server is started again")
    ended = Calls(fleet.since(before))
    assert ended.outcomes("upstream_protocol") == {LONG: 1}


def test_with_every_child_killed_lists_stay_whole_and_each_child_comes_back(fleet: Fleet):
    modern, legacy = clients(fleet)
    assert all(right(fleet, client, a) for client in (modern, legacy) for a in fleet.aliases)
    whole = [lists(client) for client in (modern, legacy)]
    pids = {alias: fleet.pid(alias) for alias in fleet.stdio}
    orphans = set().union(*(family(pid) for pid in pids.values()))
    assert orphans or "browser" not in fleet.aliases
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    assert [lists(client) for client in (modern, legacy)] == whole
    assert all(right(fleet, client, alias) for client in (modern, legacy) for alias in REMOTE)
    for alias in fleet.stdio:
        until(lambda: right(fleet, modern, alias), why=f"{alias} comes back")  # noqa: B023
        assert right(fleet, legacy, alias)
        assert fleet.pid(alias) != pids[alias]
    assert [lists(client) for client in (modern, legacy)] == whole
    until(lambda: not alive(orphans), why="what the dead had started is gone")


@pytest.mark.parametrize("alias", REMOTE)
def test_a_remote_server_that_is_away_fails_its_own_calls_until_it_is_back(
    fleet: Fleet, alias: str
):
    modern, legacy = clients(fleet)
    whole = [lists(client) for client in (modern, legacy)]
    fleet.end(alias)
    for client in (modern, legacy):
        assert fault(call(fleet, client, alias)).startswith("error.upstream.")
    assert [lists(client) for client in (modern, legacy)] == whole
    assert all(right(fleet, modern, other) for other in fleet.aliases if other != alias)
    fleet.launch(alias)
    for client in (modern, legacy):
        until(lambda: right(fleet, client, alias), why=f"{alias} is met again")  # noqa: B023


def children(fleet: Fleet, homes: Path) -> set[Process]:
    """Every process that the gate, or a child of it, started."""
    assert fleet.gate.process is not None
    found = family(fleet.gate.process.pid) | homed(homes)
    assert {fleet.pid(alias) for alias in fleet.stdio} <= {each.pid for each in found}
    return found


def everythings(homes: Path) -> list[Process]:
    """The processes of server-everything that are the gate's children."""
    found = []
    for each in homed(homes):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended since
            if str(EVERYTHING) in Path(f"/proc/{each.pid}/cmdline").read_text():
                found.append(each)
    return found


def test_after_an_orderly_end_no_process_and_no_home_is_left(fleet: Fleet, homes: Path):
    modern, legacy = clients(fleet)
    assert all(right(fleet, client, a) for client in (modern, legacy) for a in fleet.aliases)
    started = children(fleet, homes)
    assert fleet.gate.stop() == 0
    if os.geteuid() == 0:
        assert not alive(started | homed(homes))
        assert list(homes.iterdir()) == []
    else:  # what a browser put in sessions of its own ends by itself
        until(lambda: not alive(started | homed(homes)), why="nothing runs on")


def test_after_a_crash_no_process_is_left_and_the_next_start_serves_the_same(
    fleet: Fleet, homes: Path
):
    if is_up(fleet):
        fleet.gate.stop()
    fleet.gate.start()
    until(lambda: all(fleet.state(alias) == "ready" for alias in fleet.aliases))
    modern, legacy = clients(fleet)
    # Until it is known again which tools need a capability, they are shown to every client.
    until(lambda: modern.tools() == legacy.tools() == fleet.shown_to_all(), 30)
    assert all(right(fleet, client, a) for client in (modern, legacy) for a in fleet.aliases)
    # A copy that only showed its tools may still wait, for a minute, for an answer of its own.
    until(lambda: len(everythings(homes)) == 1, why="the copies have ended")
    started = children(fleet, homes)
    fleet.gate.kill()
    gone = "children see that their gate is gone"
    until(lambda: not alive(started | homed(homes)), WAIT * 1.5, gone)
