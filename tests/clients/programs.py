"""Clients of other makers as programs that do what they are told, a line of JSON each way."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.gate import WAIT, environment

HERE = Path(__file__).parent
NODE = HERE.parent / "node"
JARS = HERE / "java/target"
PROGRAMS: dict[str, tuple[tuple[str, ...], Path]] = {
    "python-sdk": ((sys.executable, str(HERE / "python/commands.py")), HERE),
    "typescript-sdk-1": (("node", str(NODE / "commands.mjs"), "1"), NODE / "node_modules"),
    "typescript-sdk-2": (("node", str(NODE / "commands.mjs"), "2"), NODE / "node_modules"),
    "go-sdk": ((str(HERE / "go/bin/official"),), HERE / "go/bin/official"),
    "mcp-go": ((str(HERE / "go/bin/mcpgo"),), HERE / "go/bin/mcpgo"),
    "rmcp": (
        (str(HERE / "rust/target/debug/gatelodge-test-client"),),
        HERE / "rust/target/debug/gatelodge-test-client",
    ),
    "java-sdk": (("java", "-cp", f"{JARS}/classes:{JARS}/lib/*", "Main"), JARS / "lib"),
}
"""Each program's command, and what has to be there: `make slow` builds those whose tools are."""

TOOLCHAINS = {"go-sdk": "go", "mcp-go": "go", "rmcp": "cargo", "java-sdk": "mvn"}


def missing(name: str) -> str:
    """Why a client cannot be run here; empty when it can. What can be built has to be there."""
    command, there = PROGRAMS[name]
    tool = TOOLCHAINS.get(name, command[0])
    if shutil.which(tool) is None:
        return f"{tool} is not on this machine"
    assert there.exists(), f"{there} is not built: run `make slow`"
    return ""


class Program:
    """A running client; each command waits for its answer."""

    def __init__(self, name: str, url: str, token: str) -> None:
        self.name = name
        command, _ = PROGRAMS[name]
        # The SDK's number stands last on Node's command line, behind what all others are given.
        more = (command[2],) if command[0] == "node" else ()
        base = command[:2] if more else command
        self._process = subprocess.Popen(
            [*base, url, token, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(HOME=os.environ.get("HOME", "/")),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def do(self, do: str, **more: Any) -> dict[str, Any]:
        """What came of a command: `names`, `text` or `error`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        line = self._lines.get(timeout=WAIT)
        assert line, f"it ended at {do}"
        told: dict[str, Any] = json.loads(line)
        return told

    def call(self, tool: str) -> dict[str, Any]:
        """Call a tool without arguments."""
        return self.do("call", tool=tool, arguments={})

    def called_again(self, tool: str) -> dict[str, Any]:
        """Call a tool; when the connection is lost, connect anew once as an application does."""
        told = self.call(tool)
        if "error" in told:
            again = self.do("connect")
            assert "error" not in again, again
            told = self.call(tool)
        return told

    def end(self) -> None:
        """Let it end, and see to it."""
        self._process.kill()
        self._process.wait(WAIT)
        self._reader.join(WAIT)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
