"""Whatever bytes come: no crash, no stall, each request told once, and no memory is kept."""

import contextlib
import random
import socket
import time
from pathlib import Path

import pytest
from tests.fuzz.http_bytes import fuzz, mutated, request_bytes
from tests.fuzz.oracles import back_within, cpu_seconds, rss_mib, seconds_to_fuzz, seed_to_fuzz
from tests.gate import Gate

SECONDS = seconds_to_fuzz()


@pytest.mark.anyio
async def test_a_second_of_odd_bytes_finds_nothing():
    assert await fuzz(1.0, seed=1) == []


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(SECONDS + 120)
async def test_the_reader_stands_whatever_comes():
    assert await fuzz(SECONDS, seed=seed_to_fuzz()) == []


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_a_gate_stands_whatever_comes_and_gives_memory_back(tmp_path: Path):
    gate, seed = Gate(tmp_path / "gate"), seed_to_fuzz()
    with gate.running():
        client = gate.client(gate.token)
        client.tools()
        assert gate.process is not None
        pid = gate.process.pid
        before, ends, number = rss_mib(pid), time.monotonic() + SECONDS, 0
        while time.monotonic() < ends:
            number += 1
            throw(gate, random.Random(f"{seed}:{number}"))
        assert back_within(before, 48, lambda: rss_mib(pid)), f"seed {seed}: memory is kept"
        used = cpu_seconds(pid)
        assert client.tools() == [], f"seed {seed}"
        assert cpu_seconds(pid) - used < 1, f"seed {seed}: it is still at work"
        assert "incident" not in gate.stderr, f"seed {seed}"
        assert "Traceback" not in gate.stderr, f"seed {seed}"
        assert len(gate.stderr) < 100_000, f"seed {seed}: strangers fill standard error"


def throw(gate: Gate, dice: random.Random) -> None:
    """One connection with odd requests, some with a good token, that leaves in some way."""
    token = b"Bearer " + gate.token.encode()
    odd = [mutated(dice, request_bytes(dice)) for _ in range(dice.choice((1, 1, 3, 30)))]
    sent = b"".join(odd).replace(b"Bearer ada", token)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", gate.port), 5) as to:
        to.sendall(sent)
        if dice.random() < 0.5:
            to.shutdown(socket.SHUT_WR)
        if dice.random() < 0.5:
            to.settimeout(0.05)
            to.recv(65_536)
