"""A token that runs out ends what was opened with it, as a revocation would."""

import sqlite3
import time
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.attacks.scene import Modern, Old, told
from tests.leaves import leaves_of
from tests.stage import Place
from tests.wire import Wire

LEFT = 8.0
"""In this time the gate starts again and the streams are opened, on a slow machine too."""


@pytest.mark.slow
@pytest.mark.guarantee("revoke:under-a-second")
def test_a_stream_ends_with_the_token_that_it_was_opened_with(tmp_path: Path):
    gate = Gate(tmp_path / "gate", "audit.sequence_ms=50")
    with gate.running():
        place = Place(gate, "main", gate.token)
        short, long = place.admit("ada"), place.admit("bob")
        tokens = place.api("GET", "/tokens?limit=100")["items"]
        (ident,) = [each["id"] for each in tokens if each["principal"] == "ada@example.test"]
    with sqlite3.connect(gate.directory / "gatelodge.db") as database:
        ends = time.time() + LEFT
        query = "UPDATE credentials SET expires_at = ? WHERE id = ?"
        assert database.execute(query, (int(ends * 1_000_000), ident)).rowcount == 1
    database.close()
    with (
        gate.running(),
        Wire(gate.port) as listens,
        Wire(gate.port) as old,
        Wire(gate.port) as hers,
    ):
        wanted = {"notifications": {"toolsListChanged": True}}
        for wire, token in ((listens, short), (hers, long)):
            wire.send(Modern(place, token).raw("subscriptions/listen", wanted)).head()
            told(wire)
        legacy = Old(place, short)
        old.send(legacy.stream()).head()
        assert time.time() < ends
        assert told(listens)["result"]["resultType"] == "complete"
        assert listens.is_over()
        assert old.is_over()
        assert abs(time.time() - ends) < 1
        assert legacy.request("ping", {}).status == 401
        assert hers.is_silent(0.1)
    closed = [leaf["reason"] for leaf in leaves_of(gate.directory) if leaf["t"] == "stream.closed"]
    assert closed[:2] == ["expired", "expired"]
