"""What is running for somebody ends with their access, also where it is running for their agent."""

import asyncio

import pytest
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve, until_admitted
from tests.fault.scene.watching import Probe, Running, Stream, until
from tests.gate import Gate
from tests.upstreams.witnessing import Witness


@pytest.fixture(scope="module")
def upstream():
    with Witness() as witness:
        yield witness


@pytest.fixture(scope="module")
def gate(tmp_path_factory, upstream):
    gate = Gate(tmp_path_factory.mktemp("gate") / "data").prepared()
    with gate.running():
        serve(gate, "up", upstream.url)
        open_to_everyone(gate, "up")
        yield gate
    assert gate.cli("audit", "fsck")["sound"]


def agent_of(gate, owner, name):
    gate.api("POST", f"{MAIN}/agents", {"name": name, "owner": f"{owner}@example.test"})
    token = gate.api("POST", f"{MAIN}/tokens", {"agent": name})["token"]
    until_admitted(gate, token)
    return token


def end(gate, path, body=None):
    return asyncio.to_thread(gate.api, "POST", f"{MAIN}/{path}", body or {})


async def running_for(gate, upstream, token):
    stream = await Stream.open(gate.port, token)
    call = Running(gate.port, token, "up__t_0")
    await asyncio.to_thread(upstream.until_running, 1)
    return stream, call


def streams_and_calls(receipt):
    (node,) = receipt["nodes"]
    return node["how"], node["streams"], node["calls"]


async def a_suspended_member(gate, upstream):
    admit(gate, "ada")
    token = agent_of(gate, "ada", "ada-bot")
    bystander = Probe(gate.port, admit(gate, "bea"))
    stream, call = await running_for(gate, upstream, token)
    receipt = await end(gate, "members/ada@example.test/suspend")
    await until(lambda: stream.ended_at and call.ended_at, "the agent's work goes on", 2)
    assert b'"complete"' in stream.read
    assert b"4010" in call.answer[1]
    assert streams_and_calls(receipt) == ("acknowledged", 1, 1)
    assert gate.client(token).request("tools/list", {}).status == 401
    await asyncio.to_thread(upstream.until_running, 0)
    assert bystander.refused == 0
    await bystander.close()


@pytest.mark.slow
@pytest.mark.guarantee("revoke:under-a-second")
def test_what_runs_for_the_agent_of_a_suspended_member_is_cut(gate, upstream):
    asyncio.run(a_suspended_member(gate, upstream))
