"""The official TypeScript SDK's client (@modelcontextprotocol/client 2.4) on its whole journey.

The script `tests/node/client.mjs` is the client; what it writes is looked at here.
"""

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gate import WAIT, environment
from tests.integration.clients.conftest import NODE, House
from tests.wire import until

CLIENTS = Path(__file__).parents[3] / "docs/clients.md"
PRINTED = "http://127.0.0.1:8720/k/main/mcp"
LONG = "trigger-long-running-operation"


class Journey:
    """A running script."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def step(self, name: str) -> dict[str, Any]:
        """What it says of its next step, which has to be this one."""
        line = self._lines.get(timeout=WAIT)
        assert line, f"ended before {name!r}"
        told = json.loads(line)
        assert told["step"] == name, told
        return told

    def go_on(self, word: str) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """Let it end; its exit code."""
        self.go_on("end")
        code = self._process.wait(WAIT)
        self._reader.join(WAIT)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


@contextmanager
def journey(house: House, token: str, mode: str) -> Iterator[Journey]:
    process = subprocess.Popen(
        ["node", str(NODE / "client.mjs"), house.url(), token, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        try:
            yield Journey(process)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "version"),
    [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")],
)
def test_the_whole_journey(house, mode, version):
    before, streams = len(house.outcomes(LONG)), house.streams_opened()
    email, token = house.guest("all", "web")
    git = house.grant(member=email, server="git", level="all")
    with journey(house, token, mode) as client:
        connected = client.step("connected")
        assert (connected["version"], connected["server"]) == (version, "gatelodge")
        assert (connected["session"] is None) == (version == "2026-07-28")
        listed = client.step("tools")["names"]
        assert len(listed) == len(set(listed)) == 38
        assert client.step("time")["structuredContent"]["timezone"] == "UTC"
        weather = client.step("structured")["structuredContent"]
        assert set(weather) == {"conditions", "humidity", "temperature"}
        failed = client.step("tool error")
        assert (failed["isError"], "Nowhere/At_all" in failed["content"][0]["text"]) == (True, True)
        unknown = client.step("unknown")
        assert (unknown["code"], unknown["message"]) == (-32602, "Unknown tool: time__no_such_tool")
        denied = client.step("denied")
        assert denied["isError"]
        assert "history is kept. What to do: Make a new branch." in denied["content"][0]["text"]
        ping = client.step("ping")
        assert ("result" in ping) == (version != "2026-07-28"), ping
        assert client.step("progress")["heard"] == [[1, 3], [2, 3], [3, 3]]
        assert "enough" in client.step("given up")["message"]
        client.step("listening")
        until(lambda: house.streams_opened() > streams)
        _change(house, client, email, git)
        assert client.end() == 0
    until(lambda: len(house.outcomes(LONG)) == before + 2)
    ended = "client_gone" if version == "2026-07-28" else "cancelled"
    assert house.outcomes(LONG)[before:] == ["ok", ended]


def _change(house: House, client: Journey, email: str, grant: str) -> None:
    """Take a grant away and give it back; the client hears of each and sees the new list."""
    client.go_on("listen")
    client.step("go on")
    house.api("DELETE", f"/grants/{grant}")
    assert not any(name.startswith("git__") for name in client.step("changed")["names"])
    client.go_on("listen")
    client.step("go on")
    house.grant(member=email, server="git", level="all")
    assert sum(name.startswith("git__") for name in client.step("changed")["names"]) == 12


@pytest.mark.slow
def test_the_example_of_the_manual_lists_the_tools(small_house):
    (example,) = re.findall("```ts\n(.*?)```", CLIENTS.read_text(), re.DOTALL)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", example.replace(PRINTED, small_house.url())],
        cwd=NODE,
        env=environment(GATE_TOKEN=small_house.ben),
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "time__get_current_time" in done.stdout
