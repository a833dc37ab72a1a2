"""kill -9 under load: nothing reached a server that is not in the log, and every call is closed."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from uuid import uuid4

import pytest
from tests.fault.scene.setting import admit, open_to_everyone, serve
from tests.gate import MODERN, Gate
from tests.leaves import Calls, leaves_of
from tests.postgres import fresh_database
from tests.upstreams.witnessing import Witness

CLIENTS = 4
MOST_SECONDS_OF_LOAD = 0.8
NODE_IS_LOST = 60.0
DURING_THE_START = 0.3
"""The share of rounds in which the gate dies before it is ready."""


class Load:
    """Clients that call one tool over and over until the gate is gone; marks say what came back."""

    def __init__(self, port, token, tool):
        self.port, self.token, self.tool = port, token, tool
        self.succeeded = []
        self.failed = []
        self.threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join(20)
        assert not self.failed, self.failed[:3]
        return self.succeeded

    def _client(self):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            while True:
                mark = uuid4().hex
                status, told = self._call(link, mark)
                if status != 200 or mark not in told:
                    self.failed.append((status, told))
                    return
                self.succeeded.append(mark)
        except (OSError, http.client.HTTPException):
            return  # the gate is gone
        finally:
            link.close()

    def _call(self, link, mark):
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": f"up__{self.tool}", "arguments": {"id": mark}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": params["name"],
        }
        link.request("POST", "/k/main/mcp", body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()


class Strangers:
    """Clients without a good token, until the gate is gone; how many of them were answered 401."""

    def __init__(self, port):
        self.port = port
        self.sent, self.answered, self.others = Counter(), Counter(), []
        self.threads = [threading.Thread(target=self._knock, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join(20)
        assert not self.others, self.others[:3]
        return self.sent.total(), self.answered.total()

    def _knock(self, number):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        headers = {"authorization": "Bearer nobody", "content-type": "application/json"}
        try:
            while True:
                self.sent[number] += 1
                link.request("POST", "/k/main/mcp", b"{}", headers)
                answer = link.getresponse()
                answer.read()
                if answer.status != 401:
                    self.others.append(answer.status)
                    return
                self.answered[number] += 1
        except (OSError, http.client.HTTPException):
            return  # the gate is gone
        finally:
            link.close()


class Killing:
    """A gate that is killed round after round, each round under a tool name of its own."""

    def __init__(self, gate, upstream, rounds):
        self.gate, self.upstream, self.rounds = gate, upstream, rounds
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        self.succeeded = {}
        self.turned_away = []
        self.in_the_start = 0
        self.start_seconds = 0.5
        self.token = ""

    def run(self):
        for number in range(self.rounds):
            if number and self.random.random() < DURING_THE_START:
                self._kill_in_the_start()
            self._kill_under_load(f"t_{number}")

    def _kill_in_the_start(self):
        self.in_the_start += 1
        self.gate.spawn()
        time.sleep(self.random.uniform(0, self.start_seconds))
        self.gate.kill()

    def _kill_under_load(self, tool):
        began = time.monotonic()
        self.gate.start()
        self.start_seconds = time.monotonic() - began
        if not self.token:
            serve(self.gate, "up", self.upstream.url)
            open_to_everyone(self.gate, "up")
            self.token = admit(self.gate, "load")
        load = Load(self.gate.port, self.token, tool)
        strangers = Strangers(self.gate.port)
        time.sleep(self.random.uniform(0.02, MOST_SECONDS_OF_LOAD))
        self.gate.kill()
        self.succeeded[tool] = load.join()
        self.turned_away.append(strangers.join())


def the_log_tells_everything(killing, leaves):
    """Compare the three who know: the clients, the server, and the log."""
    executed = {tool: Counter(marks) for tool, marks in killing.upstream.seen()["calls"].items()}
    calls = Calls(leaves)
    calls.is_paired()
    told = f"seed {killing.seed}"
    for tool, succeeded in killing.succeeded.items():
        marks = executed.get(tool, Counter())
        assert not [mark for mark, times in marks.items() if times > 1], told
        assert set(succeeded) <= set(marks), told
        assert len(marks) <= calls.tools[tool], told
        assert len(succeeded) <= calls.outcomes("ok")[tool], told
    assert not set(executed) - set(killing.succeeded), told
    failed = strangers_are_counted(killing, leaves)
    outcomes = {leaf.get("outcome") for leaf in calls.closers} - {None}
    assert outcomes <= {"ok", "client_gone", "cancelled"}, told
    return {
        "rounds": killing.rounds,
        "killed in the start": killing.in_the_start,
        "intents": len(calls.intents),
        "executed": sum(map(len, executed.values())),
        "succeeded": sum(map(len, killing.succeeded.values())),
        "unresolved": len(calls.unresolved),
        **failed,
    }


def strangers_are_counted(killing, leaves):
    """No round in which somebody was answered 401 is without the first of them, and none is new.

    What a round counts beyond is the last second before the kill: it may be lost.
    """
    told = f"seed {killing.seed}"
    counted = [leaf["count"] for leaf in leaves if leaf["t"] == "auth.failed"]
    firsts = sum(leaf["t"] == "auth.failed" and leaf["window_ms"] == 0 for leaf in leaves)
    knocked = sum(1 for _, answered in killing.turned_away if answered)
    assert firsts >= knocked, told
    assert sum(counted) <= sum(sent for sent, _ in killing.turned_away), told
    return {"rounds answered 401": knocked, "counted": sum(counted)}


def killed_and_sound(gate, rounds, place, last_word=lambda gate: None):
    with Witness(tools=rounds) as upstream:
        killing = Killing(gate, upstream, rounds)
        killing.run()
        with gate.running():
            last_word(gate)
        found = gate.cli("audit", "fsck")
        assert found["sound"], found["findings"]
        return the_log_tells_everything(killing, leaves_of(place))


def every_lost_call_is_closed(gate):
    """Wait for the node to close what nodes left that were seen a moment before it started."""
    url = gate.sets[0].removeprefix("store.url=")
    ends = time.monotonic() + NODE_IS_LOST
    while time.monotonic() < ends:
        calls = Calls(leaves_of(url))
        if len(calls.closers) == len(calls.intents):
            return
        time.sleep(0.2)
    pytest.fail("calls of dead nodes stay open")


@pytest.mark.slow
@pytest.mark.guarantee("audit:intent-before-effect")
@pytest.mark.guarantee("audit:every-request-once")
def test_a_gate_that_is_killed_three_times_lost_no_call(tmp_path, record_property):
    gate = Gate(tmp_path / "data")
    record_property("numbers", killed_and_sound(gate, 3, gate.directory))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.guarantee("audit:intent-before-effect")
@pytest.mark.guarantee("audit:every-request-once")
def test_a_gate_that_is_killed_fifty_times_lost_no_call(tmp_path, record_property):
    gate = Gate(tmp_path / "data")
    record_property("numbers", killed_and_sound(gate, 50, gate.directory))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.guarantee("audit:intent-before-effect")
@pytest.mark.guarantee("audit:every-request-once")
def test_a_gate_on_postgresql_that_is_killed_ten_times_lost_no_call(
    tmp_path, postgres_url, record_property
):
    url = fresh_database(postgres_url)
    gate = Gate(tmp_path / "data", f"store.url={url}")
    record_property("numbers", killed_and_sound(gate, 10, url, every_lost_call_is_closed))
