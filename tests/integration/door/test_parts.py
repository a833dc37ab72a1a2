"""Clients that send a part and no more, or many small ones: what becomes of the connection."""

from pathlib import Path

import pytest
from tests.gate import Client, Gate
from tests.integration.endpoint.test_endpoint_http import (
    BODY,
    CHUNKED,
    HEAD,
    LIST,
    PATH,
    ada,
    place,
    signed,
    wire,
)
from tests.stage import Place, Stage
from tests.wire import Wire, until

__all__ = ["ada", "place", "wire"]  # fixtures


ABORTED = [
    ("in the request line", b"POST /k/wires/mcp HTT", 0),
    ("in the head", HEAD + b"Content-Le", 0),
    ("before the body", HEAD + b"Content-Length: 100\r\n\r\n", 0),
    ("in the body", HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 60, 60),
    ("in the chunks", CHUNKED + b"a\r\n0123456789\r\n", 10),
]


@pytest.mark.parametrize(("sent", "size"), [r[1:] for r in ABORTED], ids=[r[0] for r in ABORTED])
def test_a_client_that_leaves_in_the_middle_leaves_one_record(
    stage: Stage, place: Place, ada: str, sent: bytes, size: int
):
    before, door = len(place.leaves()), len(stage.unrouted())
    with stage.wire() as wire:
        wire.send(signed(sent, ada))

    def left():
        found = place.since(before)
        return found + [leaf for leaf in stage.unrouted()[door:] if leaf["t"] == "request.refused"]

    (leaf,) = until(left)
    assert (leaf["reason"], leaf["http"], leaf["bytes_in"]) == ("client_gone", 0, size)


@pytest.mark.slow
def test_a_connection_that_is_idle_or_never_done_asking_is_closed(tmp_path: Path):
    gate = Gate(
        tmp_path / "gate", "limits.keepalive_seconds=0.1", "audit.sequence_ms=50"
    ).prepared()
    with gate.running(), Wire(gate.port) as idle, Wire(gate.port) as asks:
        place = Place(gate, "main", gate.token)
        before = len(place.leaves())
        begun = HEAD.replace(b"wires", b"main") + b"Content-Length: 100\r\n\r\n"
        asks.send(signed(begun, gate.token))
        assert idle.is_closed()
        assert asks.is_closed()
        (leaf,) = until(lambda: place.since(before))
        assert leaf["reason"] == "client_gone"


def test_a_flood_of_tiny_chunks_is_refused_while_others_are_served(stage: Stage, ada: str):
    """A chunk costs the same work however little is in it, and 65,000 would hold everybody up."""
    with stage.wire() as flood:
        flood.send(signed(CHUNKED, ada), b"1\r\n \r\n" * 4000)
        assert Client(stage.gate.port, ada, PATH).post(BODY, LIST).status == 200
        assert flood.send(b"1\r\n \r\n" * 537).answer().status == 400
