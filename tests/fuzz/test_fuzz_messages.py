"""Whatever is said by clients, servers and admins: no crash, no stall, nothing invalid goes on."""

import contextlib
import random
import time
from pathlib import Path

import pytest
from tests.fuzz import answers, envelopes, guardrails
from tests.fuzz.guardrail_texts import any_text
from tests.fuzz.oracles import back_within, cpu_seconds, rss_mib, seconds_to_fuzz, seed_to_fuzz
from tests.gate import MODERN, Gate

SECONDS = seconds_to_fuzz()
KEPT_MIB = 96


@pytest.mark.anyio
async def test_half_a_second_of_odd_messages_finds_nothing():
    assert await envelopes.fuzz(0.5, seed=1) == []
    assert await answers.fuzz(0.5, seed=1) == []


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(SECONDS + 120)
async def test_whatever_body_comes_is_a_message_or_refused_as_one():
    assert await envelopes.fuzz(SECONDS, seed=seed_to_fuzz()) == []


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(SECONDS + 120)
async def test_whatever_a_server_answers_a_client_gets_what_it_can_read():
    assert await answers.fuzz(SECONDS, seed=seed_to_fuzz()) == []


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(SECONDS + 120)
async def test_whatever_guardrail_is_written_is_judged_in_no_time():
    assert await guardrails.fuzz(SECONDS, seed=seed_to_fuzz()) == []


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_a_gate_stands_whatever_members_and_admins_say(tmp_path: Path):
    gate, seed = Gate(tmp_path / "gate"), seed_to_fuzz()
    with gate.running():
        client = gate.client(gate.token)
        client.tools()
        assert gate.process is not None
        pid = gate.process.pid
        before, ends, number = rss_mib(pid), time.monotonic() + SECONDS, 0
        while time.monotonic() < ends:
            number += 1
            dice = random.Random(f"{seed}:{number}")
            body = envelopes.body(dice)
            headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/list"}
            answer = client.post(body, headers)
            told = f"seed {seed}:{number}: {answer.status} {answer.body[:200]!r}"
            assert answer.status < 500, told
            assert not answer.body or answer.json, told
            if number % 5 == 0:
                _checked(gate, any_text(dice), f"seed {seed}:{number}")
        assert back_within(before, KEPT_MIB, lambda: rss_mib(pid)), f"seed {seed}: memory is kept"
        used = cpu_seconds(pid)
        assert client.tools() == [], f"seed {seed}"
        assert cpu_seconds(pid) - used < 1, f"seed {seed}: it is still at work"
        assert "incident" not in gate.stderr, f"seed {seed}"


def _checked(gate: Gate, text: str, seed: str) -> None:
    with contextlib.suppress(AssertionError):
        gate.api("POST", "/workspaces/main/guardrails/check", {"text": text})
    assert gate.process is not None
    assert gate.process.poll() is None, seed
