"""Clients of other makers keep every good tool beside bad ones, and outlive what happens.

Python, TypeScript (1.x and 2.x), Go (the official SDK and mcp-go), Rust (rmcp) and Java, each as a
program of its own (`programs.py`); a client whose toolchain is not on the machine is left out.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.expiring import Relay
from tests.clients.programs import PROGRAMS, Program, missing
from tests.gate import Gate
from tests.stage import Place, Servers
from tests.upstreams import bad_offers
from tests.upstreams.http_upstream import HttpUpstream, Talk
from tests.wire import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SCRIPT = Path(bad_offers.__file__)
GOOD = {"odd__first", "odd__last", "good__first", "good__last", "slow__wait"}
SAY_NOTHING = {"java-sdk"}
"""Clients that give up without a word and keep the connection: nobody can know."""
REFUSED = {f"odd__{name}" for name, (_, eras) in bad_offers.BAD_TOOLS.items() if len(eras) == 2}


class House(Place):
    """A workspace with a server of odd offers, one of good ones, and one that never answers."""

    def __init__(self, gate: Gate, slow: HttpUpstream) -> None:
        super().__init__(gate, "main", gate.token)
        self.relay = Relay(gate.port)
        self._guests = 0
        run = (sys.executable, str(SCRIPT), "stdio")
        self.spawn("odd", *run)
        self.spawn("good", *run, "none")
        self.serve("slow", slow.url)

    @property
    def url(self) -> str:
        """The endpoint, behind the relay."""
        return f"http://127.0.0.1:{self.relay.port}{self.path}"

    def guest(self) -> str:
        """A token of a new member who may use everything."""
        self._guests += 1
        return self.admit(f"guest{self._guests}", odd="all", good="all", slow="all")

    def restart(self) -> None:
        """The gate ends in order and starts again."""
        self.gate.stop()
        self.gate.start()
        self.relay.target = self.gate.port


class _Slow:
    """A tool that answers nobody, and knows who gave up."""

    def __init__(self) -> None:
        self.left = 0

    async def wait(self, talk: Talk) -> None:
        await talk.writer._reader.read(1)
        self.left += 1
        talk.close()


@pytest.fixture(scope="module")
def slow() -> _Slow:
    return _Slow()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, slow: _Slow) -> Iterator[House]:
    definitions = [{"name": "wait", "inputSchema": {"type": "object"}}]
    upstream = HttpUpstream(definitions=definitions, tools={"wait": slow.wait})
    gate = Gate(tmp_path_factory.mktemp("others") / "gate", "limits.page_size=5")
    servers = Servers()
    try:
        servers.open(upstream)
        with gate.running():
            made = House(gate, upstream)
            yield made
            made.relay.close()
    finally:
        servers.close()


@pytest.fixture(params=PROGRAMS)
def client(request: pytest.FixtureRequest, house: House) -> Iterator[Program]:
    if why := missing(request.param):
        pytest.skip(why)
    program = Program(request.param, house.url, house.guest())
    try:
        assert "error" not in (told := program.do("connect")), told
        yield program
    finally:
        program.end()


def test_every_good_tool_is_listed_beside_bad_ones_and_can_be_called(client: Program) -> None:
    listed = client.do("list")
    assert "names" in listed, listed
    names = set(listed["names"])
    assert names >= GOOD
    assert not names & REFUSED
    # The one never answers; the others promise structured results and give none.
    for name in sorted(name for name in names if not name.startswith(("slow__", "odd__output"))):
        told = client.call(name)
        assert "error" not in told, (name, told)


def test_a_call_that_is_given_up_ends_at_its_server_and_costs_no_other_call(
    client: Program, slow: _Slow
) -> None:
    before = slow.left
    for ended in (1, 2):
        told = client.do("cancel", tool="slow__wait", arguments={}, after=400)
        assert "error" in told
        assert "text" in client.call("good__first")
        if client.name not in SAY_NOTHING:
            until(lambda ended=ended: slow.left == before + ended)


def test_a_session_that_expired_is_replaced(client: Program, house: House) -> None:
    assert "text" in client.call("good__first")
    house.relay.expire()
    assert "text" in client.called_again("good__first")
    assert "text" in client.call("odd__last")


def test_a_client_goes_on_after_the_gate_was_restarted(client: Program, house: House) -> None:
    assert "text" in client.call("good__first")
    house.restart()
    assert "text" in client.called_again("good__first")
    assert set(client.do("list")["names"]) >= GOOD
