"""An open stream costs the gate what it is waiting for, not what it was asked with."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.attacks.scene import Modern
from tests.stage import Place
from tests.wire import Wire

pytestmark = pytest.mark.slow

STREAMS, BODY = 24, 4_000_000


def resident(gate: Gate) -> int:
    """The memory that the gate has now, in bytes."""
    assert gate.process is not None
    status = Path(f"/proc/{gate.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_an_open_stream_does_not_keep_the_request_that_opened_it(tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    with gate.running(), ExitStack() as open_:
        client = Modern(Place(gate, "main", gate.token), gate.token)
        wanted = {"notifications": {"toolsListChanged": True}, "padding": "x" * BODY}
        for number in range(STREAMS):
            if number == 1:
                before = resident(gate)
            wire = open_.enter_context(Wire(gate.port))
            wire.send(client.raw("subscriptions/listen", wanted)).head()
            assert b"acknowledged" in wire.event()
        assert resident(gate) - before < STREAMS * BODY / 3
