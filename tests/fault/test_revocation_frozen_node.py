"""A busy node that was asleep over the end of an access does nothing more for whom it ended.

Whatever waits in its sockets when it wakes, requests and results, comes too late: the receipt says
that its lease has run out. GATELODGE_ROUNDS sets how often that is tried (300 take ten minutes).
"""

import asyncio
import contextlib
import os
import random
import signal
import time

import pytest
from tests.fault.scene.nodes import two_nodes, until_both_call, until_both_serve
from tests.fault.scene.setting import MAIN, admit, serve
from tests.fault.scene.watching import _answer, _request
from tests.leaves import Calls, leaves_of
from tests.postgres import fresh_database
from tests.upstreams.witnessing import Witness

ROUNDS = int(os.environ.get("GATELODGE_ROUNDS", "16"))
KINDS = ("member", "suspend", "server", "grant")
CONNECTIONS = 16
WARM_SECONDS = 0.3
AFTER_SECONDS = 0.3
TAKES = (0.0, 0.0, 0.15)
"""How long the server needs: some results come while the node sleeps."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.guarantee("revoke:under-a-second"),
]


class Load:
    """One member's calls on one node, over many connections, as fast as it goes."""

    def __init__(self, port, token, tool, mark):
        self.port, self.token, self.tool, self.mark = port, token, tool, mark
        self.results = []
        """When each result came."""
        self.tasks = [asyncio.create_task(self._call(n)) for n in range(CONNECTIONS)]

    async def _call(self, number):
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    await self._over(reader, writer, TAKES[number % len(TAKES)])
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    async def _over(self, reader, writer, takes):
        params = {"name": self.tool, "arguments": {"for": takes, "id": self.mark}}
        while True:
            writer.write(_request(self.token, "tools/call", params))
            status, body = await _answer(reader)
            if status == 200 and b'"content"' in body and b'"isError":true' not in body:
                self.results.append(time.time())
            else:
                await asyncio.sleep(0.01)

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Frozen:
    """Rounds, and what went wrong in them."""

    def __init__(self, gates, upstream):
        self.first, self.second = self.gates = gates
        self.upstream = upstream
        self.forwards, self.results, self.calls = [], [], 0

    async def run(self, number):
        kind = KINDS[number % len(KINDS)]
        mark, tool = f"r{number}", "side__t_0" if kind == "server" else "up__t_0"
        token, end = await asyncio.to_thread(self.prepare, kind, mark)
        load = Load(self.second.port, token, tool, mark)
        await asyncio.sleep(WARM_SECONDS + random.uniform(0, 0.1))
        assert load.results, f"{kind}: nothing runs"
        os.kill(self.second.process.pid, signal.SIGSTOP)
        try:
            receipt = await asyncio.to_thread(end)
            received = time.time()
            await asyncio.sleep(random.uniform(0, 0.2))
        finally:
            os.kill(self.second.process.pid, signal.SIGCONT)
        await asyncio.sleep(AFTER_SECONDS)
        await load.end()
        how = {node["how"] for node in receipt["nodes"]}
        assert how == {"acknowledged", "lease_expired"}, receipt
        seen = await asyncio.to_thread(self.upstream.seen)
        self.calls += len(load.results)
        if seen["last"][mark] > received:
            self.forwards.append((kind, seen["last"][mark] - received))
        late = [when - received for when in load.results if when > received]
        if late:
            self.results.append((kind, len(late), max(late)))
        if kind == "server":
            await asyncio.to_thread(self.first.api, "POST", f"{MAIN}/servers/side/enable", {})

    def prepare(self, kind, mark):
        """Who calls, and the act that ends it."""
        token = admit(self.first, mark)
        email, server = f"{mark}@example.test", "side" if kind == "server" else "up"
        asked = {"member": email, "server": server, "level": "all"}
        grant = self.first.api("POST", f"{MAIN}/grants", asked)["id"]
        until_both_serve(self.gates, token)
        until_both_call(self.gates, token, f"{server}__t_0")
        verb, path = {
            "member": ("POST", f"members/{email}/revoke"),
            "suspend": ("POST", f"members/{email}/suspend"),
            "server": ("POST", "servers/side/disable"),
            "grant": ("DELETE", f"grants/{grant}"),
        }[kind]
        body = None if verb == "DELETE" else {}
        return token, lambda: self.first.api(verb, f"{MAIN}/{path}", body)


async def rounds(frozen):
    for number in range(ROUNDS):
        await frozen.run(number)


def test_a_busy_node_that_slept_over_the_end_forwards_and_answers_nothing_after_the_receipt(
    tmp_path, postgres_url, record_property
):
    url = fresh_database(postgres_url)
    with Witness() as upstream, two_nodes(tmp_path, url) as gates:
        serve(gates[0], "up", upstream.url)
        serve(gates[0], "side", upstream.url)
        frozen = Frozen(gates, upstream)
        asyncio.run(rounds(frozen))
    told = {
        "rounds": ROUNDS,
        "results before": frozen.calls,
        "forwards after": len(frozen.forwards),
        "rounds with results after": len(frozen.results),
    }
    record_property("numbers", told)
    assert not frozen.forwards, frozen.forwards
    assert not frozen.results, frozen.results
    Calls(leaves_of(url)).is_paired()
