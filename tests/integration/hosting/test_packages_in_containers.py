"""Servers of real packages in containers: what they see, and what works without any network."""

import ctypes
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.gate import Answer, Gate
from tests.integration.hosting.gates import can_contain
from tests.integration.packages.wheels import NEEDS, publish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_contain, reason="needs root and runc"),
]

EVERYTHING = "npm:@modelcontextprotocol/server-everything@2026.8.31"
TINY = "pypi:mcp-server-tiny@1.0"
MEMBER = "kay@example.test"
NEW_NETWORK = 0x40000000
TIER = ("--tier", "standard")


class OfflineGate(Gate):
    """A gate in a network of its own that has nothing but a loopback."""

    def arguments(self, *command: str) -> list[str]:
        words = super().arguments(*command)
        if command[0] != "up":
            return words
        return ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *words]

    def called(self, token: str, tool: str) -> Answer:
        """Call a tool from within that network: only one thread goes there, and ends."""
        assert self.process is not None
        with (
            Path(f"/proc/{self.process.pid}/ns/net").open() as network,
            ThreadPoolExecutor(1) as thread,
        ):
            entered = thread.submit(
                ctypes.CDLL(None, use_errno=True).setns, network.fileno(), NEW_NETWORK
            )
            assert entered.result() == 0
            return thread.submit(self.client(token).call, tool).result()


@pytest.mark.timeout(400)  # it fetches a package; the job itself is bounded
@pytest.mark.guarantee("secrets:stay-here")
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_a_server_of_a_package_sees_its_image_s_variables_and_its_own_secret_alone(tmp_path: Path):
    own, other = "canary-of-its-own", "canary-of-another"
    env = {"OWN_KEY": own, "OTHER_KEY": other, "GATE_CANARY": "canary-of-the-gate"}
    with Gate(tmp_path / "data", **env).running() as gate:
        asked = {"source": EVERYTHING}
        job = gate.api("POST", "/workspaces/main/artifacts", asked, local=True)["id"]
        while not (told := gate.api("GET", f"/jobs/{job}", local=True))["ended_at"]:
            time.sleep(0.2)
        assert told["result"], told
        gate.cli("server", "add", "one", EVERYTHING, *TIER, "--env", "KEY=env:OWN_KEY")
        gate.cli("server", "add", "two", EVERYTHING, *TIER, "--env", "KEY=env:OTHER_KEY")
        for alias in ("one", "two"):
            gate.cli("server", "approve", alias, "--yes")
        token = gate.member(MEMBER, "one", "two")
        answer = gate.client(token).call("one__get-env")
        seen = json.loads(answer.json["result"]["content"][0]["text"])
        assert seen.pop("KEY") == own
        assert seen == {
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "NODE_ENV": "production",
            "PATH": seen["PATH"],
            "TMPDIR": "/tmp",
        }
        assert b"canary-of" not in answer.body.replace(own.encode(), b"")
        theirs = gate.client(token).call("two__get-env")
        assert json.loads(theirs.json["result"]["content"][0]["text"])["KEY"] == other


def test_without_any_network_a_kept_package_is_added_and_a_restarted_gate_serves_it(
    tmp_path: Path,
):
    place = tmp_path / "place"
    publish(place, NEEDS, "1.0")
    publish(place, "mcp-server-tiny", "1.0", f"{NEEDS}==1.0")
    data = tmp_path / "data"
    with Gate(data, UV_FIND_LINKS=str(place), UV_OFFLINE="1").running() as gate:
        gate.cli("server", "add", TINY, *TIER)
        gate.cli("server", "approve", "tiny", "--yes")
        token = gate.member(MEMBER, "tiny")
        assert "result" in gate.client(token).call("tiny__count").json
    shutil.rmtree(place)
    with OfflineGate(data).running() as gate:
        assert "result" in gate.called(token, "tiny__count").json
        gate.cli("server", "add", "again", TINY, *TIER)
        gate.cli("server", "approve", "again", "--yes")
        gate.cli("grant", "add", "--member", MEMBER, "--server", "again", "--level", "all")
        answer = gate.called(token, "again__count")
        assert not answer.json["result"].get("isError"), answer.body
        assert {each["tier"] for each in gate.cli("ps")} == {"standard"}
