"""A gate whose servers run in containers of an engine: built, called, killed, and nothing left."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.contract.runtimes.engines.started import SEEN_BY_BOTH, can_start, started_engine
from tests.contract.runtimes.kinds import check_required
from tests.gate import Client, Gate
from tests.integration.admin_house import House, W
from tests.integration.clients.sdk import MODERN, speaking
from tests.integration.hosting.gates import hosting_gate
from tests.leaves import leaves_of

from gatelodge.adapters.runtime.docker.engine import ContainerEngine
from gatelodge.adapters.runtime.docker.secrets import memory_directory

pytestmark = pytest.mark.slow

SOURCE = "pypi:mcp-server-time@2026.10.19"
TOOL = "time__get_current_time"
KILLS = 4
"""Fewer than take a server out of use."""


@pytest.fixture(scope="module", params=["dockerd", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    if not can_start(request.param):
        check_required(f"docker {request.param}")
        pytest.skip("this machine cannot start an engine of this kind")
    with started_engine(request.param) as place:
        yield place


@pytest.fixture(scope="module")
def gate(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("engine") / "data"
    sets = (
        "hosting.runtime=docker",
        f"hosting.docker_url={engine}",
        "upstream.backoff_seconds=0.05",
    )
    gate = hosting_gate(directory, *sets)
    gate.env.update(SEEN_BY_BOTH)
    with gate.running() as made:
        yield made
        assert made.process is not None
        assert made.process.poll() in (None, 0), made.stderr[-4000:]


@pytest.fixture(scope="module")
def house(gate: Gate) -> House:
    """The server was added as a person adds it: its package is built, and asked for its tools."""
    added = gate.cli("server", "add", SOURCE)
    assert "get_current_time" in {each["name"] for each in added["tools"]}
    made = House(gate)
    gate.cli("server", "approve", "time", "--yes")
    gate.cli("grant", "add", "--everyone", "--server", "time", "--level", "all")
    return made


def containers(engine: str) -> set[str]:
    """The names of all that the engine has of a gate, whether it runs or not."""

    async def ask() -> set[str]:
        asked = ContainerEngine(engine)
        try:
            return await asked.labelled("dev.gatelodge.mark")
        finally:
            await asked.close()

    return asyncio.run(ask())


def folders_in_memory(container: str) -> set[Path]:
    """What the gate of this container holds in memory: files of secrets, a profile."""
    mark = container.split("-")[1]
    return set(memory_directory().glob(f"gatelodge-{mark}-*"))


def call(house: House) -> str:
    """What the server answers to the client of the official SDK."""

    async def ask() -> str:
        url = f"http://127.0.0.1:{house.gate.port}/k/main/mcp"
        async with speaking(MODERN, url, house.tokens["member"]) as session:
            await session.list_tools()
            told = await session.call_tool(TOOL, {"timezone": "Asia/Tokyo"})
            assert not told.is_error, told
            return told.content[0].text

    return asyncio.run(ask())


def until(seen):
    end = time.monotonic() + 30
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def instances(house: House) -> list[dict]:
    return house.ok("GET", f"{W}/instances?server=time")["items"]


def leaves(house: House, kind: str, ident: str) -> list[dict]:
    found = leaves_of(house.gate.directory)
    return [each for each in found if (each["t"], each.get("instance")) == (kind, ident)]


@pytest.mark.guarantee("isolation:attested")
def test_a_package_answers_from_a_container_whose_isolation_is_on_record(house, engine):
    assert "Asia/Tokyo" in call(house)
    (found,) = instances(house)
    assert found["tier"] == "standard"
    assert len(containers(engine)) == 1
    told = house.ok("GET", f"{W}/instances/{found['id']}")
    assert told["deviations"] == []
    for fact in ("source=kernel", "seccomp=yes", "interfaces=lo", "no_new_privileges=yes"):
        assert fact in told["facts"]
    (leaf,) = until(lambda: leaves(house, "instance.started", found["id"]))
    assert (leaf["tier"], leaf["facts"]) == ("standard", told["facts"])


def test_one_that_is_killed_is_gone_on_record_and_another_takes_its_place(house, engine):
    call(house)
    (found,) = instances(house)
    (container,) = containers(engine)
    house.gate.cli("instance", "kill", found["id"])
    assert not Path(f"/proc/{found['pid']}").exists()
    assert container not in containers(engine)
    (leaf,) = until(lambda: leaves(house, "instance.stopped", found["id"]))
    assert leaf["reason"] == "killed"
    until(lambda: house.ok("GET", f"{W}/servers/time")["health"] == "ready")
    assert "Asia/Tokyo" in call(house)
    assert found["id"] not in {each["id"] for each in instances(house)}


def test_a_gate_whose_server_is_killed_while_it_is_used_and_looked_at_goes_on(house):
    """Killed just after it was met, so that the gate looks at it while it is being ended."""
    over = threading.Event()
    with ThreadPoolExecutor(2) as aside:
        callers = [aside.submit(call_until, house, over) for _ in range(2)]
        try:
            for _ in range(KILLS):
                (found,) = until(lambda: instances(house))
                until(lambda: house.ok("GET", f"{W}/servers/time")["health"] == "ready")
                house.gate.cli("instance", "kill", found["id"])
        finally:
            over.set()
        answers = [each for caller in callers for each in caller.result(60)]
    assert answers
    assert not [each for each in answers if b"incident" in each]
    assert house.gate.process is not None
    assert house.gate.process.poll() is None
    assert b"incident" not in house.gate.stderr.encode()
    until(lambda: house.ok("GET", f"{W}/servers/time")["health"] == "ready")
    assert "Asia/Tokyo" in call(house)


def call_until(house: House, over: threading.Event) -> list[bytes]:
    """What a client hears that calls one time after another."""
    client = house.gate.client(house.tokens["member"])
    heard = []
    while not over.is_set():
        heard.append(client.call(TOOL, {"timezone": "Asia/Tokyo"}).body)
    return heard


def test_a_call_whose_server_dies_is_told_at_once_and_another_takes_its_place(house):
    call(house)
    (found,) = instances(house)
    client = house.gate.client(house.tokens["member"])
    os.kill(found["pid"], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as aside:
        asked = aside.submit(client.call, TOOL, {"timezone": "Asia/Tokyo"})
        until(lambda: calls_in_flight(house))
        os.kill(found["pid"], signal.SIGKILL)
        answer = asked.result(30).json
    assert "error" in answer or answer["result"]["isError"], answer
    (leaf,) = until(lambda: leaves(house, "instance.stopped", found["id"]))
    assert leaf["reason"] == "signal"
    until(lambda: house.ok("GET", f"{W}/servers/time")["health"] == "ready")
    assert "Asia/Tokyo" in call(house)


def calls_in_flight(house: House) -> bool:
    asked = Client(house.gate.port, "", "/metrics")
    told = asked.send("GET", b"", {"authorization": f"Bearer {house.tokens['owner']}"})
    lines = told.body.decode().splitlines()
    numbers = [each.split()[-1] for each in lines if each.startswith("gatelodge_calls_in_flight{")]
    return any(float(each) for each in numbers)


def test_what_a_killed_gate_left_ends_and_the_next_one_removes_and_records_it(house, engine):
    call(house)
    (found,) = instances(house)
    before, (container,) = folders_in_memory(*containers(engine)), containers(engine)
    house.gate.kill()
    # Its input ends with its gate; what stays is for the next one.
    until(lambda: not Path(f"/proc/{found['pid']}").exists())
    house.gate.start()
    until(lambda: container not in containers(engine))
    until(lambda: not before & folders_in_memory(container))
    (leaf,) = until(lambda: leaves(house, "instance.stopped", found["id"]))
    assert leaf["reason"] == "gateway_restart"
    assert "Asia/Tokyo" in call(house)
    assert len(containers(engine)) == 1
    checked = house.gate.command("audit", "fsck")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_gate_that_ends_leaves_no_container_and_nothing_in_memory(house, engine):
    call(house)
    (found,) = instances(house)
    (container,) = containers(engine)
    assert house.gate.stop() == 0
    assert not Path(f"/proc/{found['pid']}").exists()
    assert containers(engine) == set()
    assert folders_in_memory(container) == set()
