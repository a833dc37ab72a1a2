"""From commit to cut on two nodes, a hundred times, while everybody else goes on undisturbed."""

import asyncio
import random
import statistics

import pytest
from tests.fault.scene.nodes import two_nodes, until_both_call, until_both_serve
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve
from tests.fault.scene.watching import Probe, Running, Stream, until
from tests.leaves import Calls, leaves_of
from tests.postgres import fresh_database
from tests.upstreams.witnessing import Witness

BYSTANDERS = 20
CALLING = 8
STREAMS_EACH = 2
BOUND = 1.0
POLL_SECONDS = 0.25
KINDS = ("member", "token", "suspend", "server")


class Rounds:
    """Ends one access after the other; `cuts` and `refusals` are seconds after the commit."""

    def __init__(self, gates, upstream):
        self.gates, self.upstream = gates, upstream
        self.cuts, self.refusals, self.from_asking, self.receipts = [], [], [], []
        self.count = 0
        self.resting = {kind: self.someone(kind) for kind in ("token", "suspend", "server")}

    def someone(self, name):
        token = admit(self.gates[0], name)
        until_both_serve(self.gates, token)
        return token

    def api(self, path, body=None):
        return self.gates[self.count % 2].api("POST", f"{MAIN}/{path}", body or {})

    async def run(self, kind):
        self.count += 1
        token, end = await asyncio.to_thread(self.prepare, kind)
        tool = "side__t_0" if kind == "server" else "up__t_0"
        streams, calls, probes = [], [], []
        for gate in self.gates:
            streams += [await Stream.open(gate.port, token) for _ in range(STREAMS_EACH)]
            calls.append(Running(gate.port, token, tool))
            probes.append(Probe(gate.port, token, tool=tool if kind == "server" else ""))
        await until(lambda: all(probe.admitted for probe in probes), "the victim is not admitted")
        await asyncio.to_thread(self.upstream.until, lambda seen: seen["held"] == len(calls))
        # At any moment between two polls, not always a moment after one.
        await asyncio.sleep(random.uniform(0, POLL_SECONDS))
        asked = asyncio.get_running_loop().time()
        receipt = await asyncio.to_thread(end)
        ended = calls if kind == "server" else [*streams, *calls]
        await until(lambda: all(each.ended_at for each in ended), f"{kind}: not all is cut")
        await until(lambda: all(probe.refused > 2 for probe in probes), f"{kind}: not refused")
        self.from_asking.append(asyncio.get_running_loop().time() - asked)
        self.note(kind, receipt, (streams, calls, probes))
        for each in (*streams, *probes):
            await each.close()
        await asyncio.to_thread(self.restore, kind)

    def note(self, kind, receipt, watched):
        streams, calls, probes = watched
        committed = receipt["committed_at"] / 1e6
        assert not any(probe.again for probe in probes), f"{kind}: admitted after a refusal"
        assert all(b"4010" in call.answer[1] for call in calls)
        ended = calls if kind == "server" else [*streams, *calls]
        self.cuts.append(max(each.ended_at for each in ended) - committed)
        self.refusals.append(max(probe.refused_at for probe in probes) - committed)
        nodes = receipt["nodes"]
        assert [node["how"] for node in nodes] == ["acknowledged"] * 2, nodes
        assert receipt["completed_ms"] <= receipt["bound_ms"] == 1000
        cut_streams = sum(node["streams"] for node in nodes)
        cut_calls = sum(node["calls"] for node in nodes)
        if kind == "server":
            # A probe calls the same server, so one of its calls may have been running too.
            assert cut_streams == 0
            assert len(calls) <= cut_calls <= len(calls) + len(probes)
        else:
            assert (cut_streams, cut_calls) == (len(streams), len(calls))
        self.receipts.append(receipt["completed_ms"] / 1000)

    def prepare(self, kind):
        """Whose access ends, and the act that ends it."""
        if kind == "member":
            name = f"m{self.count}"
            return self.someone(name), lambda: self.api(f"members/{name}@example.test/revoke")
        token = self.resting[kind]
        if kind == "token":
            issued = self.api("tokens", {"member": "token@example.test"})
            until_both_serve(self.gates, issued["token"])
            return issued["token"], lambda: self.api(f"tokens/{issued['id']}/revoke")
        if kind == "suspend":
            return token, lambda: self.api("members/suspend@example.test/suspend")
        return token, lambda: self.api("servers/side/disable")

    def restore(self, kind):
        if kind == "suspend":
            self.api("members/suspend@example.test/resume")
        if kind == "server":
            self.api("servers/side/enable")
            until_both_call(self.gates, self.resting["server"], "side__t_0")
        if kind in self.resting:
            until_both_serve(self.gates, self.resting[kind])


class Bystanders:
    """Members whom nothing of this concerns."""

    def __init__(self, streams, probes):
        self.streams, self.probes = streams, probes

    @classmethod
    async def gather(cls, gates, tokens):
        streams = [await Stream.open(gate.port, token) for gate in gates for token in tokens]
        probes = [
            Probe(gate.port, token, tool="up__t_1", takes=0.2, pause=0.02)
            for gate in gates
            for token in tokens[:CALLING]
        ]
        return cls(streams, probes)

    async def were_not_disturbed(self):
        assert not [stream for stream in self.streams if stream.ended_at]
        refused = [status for probe in self.probes for status in probe.statuses]
        assert not refused, refused[:5]
        for each in (*self.streams, *self.probes):
            await each.close()
        return {
            "streams": len(self.streams),
            "calls": sum(probe.admitted for probe in self.probes),
            "longest call": round(max(probe.longest for probe in self.probes), 3),
        }


def told(seconds):
    """Median and largest, in milliseconds."""
    return {
        "median ms": round(statistics.median(seconds) * 1000, 1),
        "max ms": round(max(seconds) * 1000, 1),
    }


async def revoked_on_both(gates, upstream, rounds):
    running = await asyncio.to_thread(Rounds, gates, upstream)
    tokens = [await asyncio.to_thread(running.someone, f"by{n}") for n in range(BYSTANDERS)]
    others = await Bystanders.gather(gates, tokens)
    for number in range(rounds):
        await running.run(KINDS[number % len(KINDS)])
    others_told = await others.were_not_disturbed()
    assert max(running.cuts) < BOUND
    assert max(running.refusals) < BOUND
    return {
        "rounds": rounds,
        "commit to last cut": told(running.cuts),
        "commit to refused on both": told(running.refusals),
        "asked to all of it seen": told(running.from_asking),
        "receipt complete": told(running.receipts),
        "bystanders": others_told,
    }


def revoked(tmp_path, url, rounds, *sets):
    with Witness(tools=2) as upstream, two_nodes(tmp_path, url, *sets) as gates:
        serve(gates[0], "up", upstream.url)
        serve(gates[0], "side", upstream.url)
        open_to_everyone(gates[0], "up")
        open_to_everyone(gates[0], "side")
        numbers = asyncio.run(revoked_on_both(gates, upstream, rounds))
    found = gates[0].cli("audit", "fsck")
    assert found["sound"], found["findings"]
    Calls(leaves_of(url)).is_paired()
    return numbers


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.guarantee("revoke:under-a-second")
def test_access_ends_on_both_nodes_within_a_second_of_the_commit(
    tmp_path, postgres_url, record_property
):
    url = fresh_database(postgres_url)
    record_property("numbers", revoked(tmp_path, url, 100))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.guarantee("revoke:under-a-second")
def test_access_ends_within_a_second_though_nobody_is_notified(
    tmp_path, postgres_url, record_property
):
    url = fresh_database(postgres_url)
    record_property("numbers", revoked(tmp_path, url, 100, "store.notify=false"))
