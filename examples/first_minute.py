"""The first minute: a gate with demo servers, two people, one call, and the proof of it.

    python examples/first_minute.py [--once] [--data-dir DIR] [--port N]

Starts `gatelodge up --demo` as a child, calls a tool through it as Alice with the MCP Python SDK,
lets Bob try what he may not, proves Alice's call with the command line, and then serves until
Ctrl-C. A second run goes on with the same data.
"""

import argparse
import asyncio
import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from gatelodge.cli.up import command_for, snippets

ALICE, BOB = "alice@example.test", "bob@example.test"
CALL, ARGUMENTS = "time__get_current_time", {"timezone": "UTC"}
FORBIDDEN = "git__git_reset"
DATA = "gatelodge-data"
PROOF, KEY = "call.proof.json", Path("gate.key")
STOP_SECONDS = 60
RECORD_SECONDS = 30


class Gate:
    """`gatelodge up --demo` as a child process, and the other commands against its data."""

    def __init__(self, directory: Path, port: int) -> None:
        self._command = [sys.executable, "-m", "gatelodge"]
        if directory != Path(DATA):
            self._command += ["--data-dir", str(directory)]
        quiet = ["--set", "telemetry.log_level=warning"]
        self._child = subprocess.Popen(
            [*self._command, *quiet, "up", "--demo", "--json", "--port", str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = ""
        self.command = command_for(str(directory), ".venv/bin/gatelodge")

    def start(self) -> None:
        """Tell each step until the demo stands. What is wrong is said by the child itself."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self.endpoint = event["endpoint"]
                print(f"gatelodge {version('gatelodge')} serves {self.endpoint}")
            elif event["event"] == "step":
                print(f"  {event['text'].removeprefix('demo: ')}")
            elif event["event"] == "demonstrated":
                return
        raise SystemExit(self._child.wait())

    def run(self, *command: str, lines: int = 0) -> str:
        """Show a command and what it prints, or its first lines; returns all of it."""
        shown = shlex.join([*self._command[3:], *command])
        print(f"\n$ gatelodge {shown}{f' | head -{lines}' if lines else ''}")
        printed = self._run(*command)
        print("".join(printed.splitlines(keepends=True)[: lines or None]), end="", flush=True)
        return printed

    def ask(self, *command: str) -> Any:
        """What a command answers with `--json`, without showing it."""
        return json.loads(self._run("--json", *command))

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*self._command, *command], check=False, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit(done.returncode)
        return done.stdout

    def serve(self) -> int:
        """Wait until the gate ends, by itself or by Ctrl-C; returns its exit code."""
        return self._child.wait()

    def stop(self) -> int:
        """End it in order: running calls finish, records are closed. Returns its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
        return self._child.wait(STOP_SECONDS)


def main() -> int:
    """Show it all; the exit code is the gate's."""
    given = _arguments()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    gate = Gate(given.data_dir, given.port)
    try:
        gate.start()
        began = datetime.now(UTC).isoformat()
        asyncio.run(_two_people(gate))
        _proof(gate, began)
        if not given.once:
            print(snippets(gate.endpoint, gate.command, member=ALICE))
            print(f"Its pages in a browser: {gate.command} console")
            print("Commands: .venv/bin/gatelodge --help. Ctrl-C stops the gate.", flush=True)
            return gate.serve()
    except KeyboardInterrupt:
        print()
    finally:
        code = gate.stop()
    print("\nstopped; every record is closed, and the next run goes on from here")
    return code


async def _two_people(gate: Gate) -> None:
    """Alice calls a tool; Bob tries one that only engineers have."""
    alice = gate.ask("token", "create", "--member", ALICE, "--days", "1")["token"]
    bob = gate.ask("token", "create", "--member", BOB, "--days", "1")["token"]
    sdk = f"MCP Python SDK {version('mcp')}"
    await _person(gate.endpoint, f"Alice, an engineer, connects ({sdk})", alice, CALL)
    await _person(gate.endpoint, "Bob, who is no engineer, connects", bob, FORBIDDEN)


async def _person(endpoint: str, who: str, token: str, tool: str) -> None:
    """Connect with a token, show which tools there are, and call one."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(endpoint, http_client=http)) as client,
    ):
        tools = [each.name for each in (await client.list_tools()).tools]
        servers = Counter(name.partition("__")[0] for name in tools)
        counts = ", ".join(f"{alias} {count}" for alias, count in sorted(servers.items()))
        print(f"\n{who}\n  sees {len(tools)} tools: {counts}")
        print(f"  calls {tool}: {await _answer(client, tool)}")


async def _answer(client: Client, tool: str) -> str:
    """What a call is answered, on one line."""
    try:
        result = await client.call_tool(tool, ARGUMENTS)
    except MCPError as refused:
        return f"error {refused.code}, {refused.message}"
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return " ".join(" ".join(texts).split())


def _call_on_record(gate: Gate, began: str) -> str:
    """The call that Alice made since then: it stands in the log a moment after its answer."""
    ends = time.monotonic() + RECORD_SECONDS
    tool = CALL.partition("__")[2]
    search = ("audit", "search", "--member", ALICE, "--tool", tool, "--since", began)
    while not (found := gate.ask(*search)["items"]):
        if time.monotonic() > ends:
            raise SystemExit(f"no call of {ALICE} came into the log within {RECORD_SECONDS} s")
    return str(found[0]["call"])


def _proof(gate: Gate, began: str) -> None:
    """What was written down, and the proof of Alice's call, checked without the gate."""
    call = _call_on_record(gate, began)
    gate.run("audit", "tail", "-n", "4")
    Path(PROOF).unlink(missing_ok=True)  # That of the run before: `prove` replaces no file.
    gate.run("audit", "prove", call, "-o", PROOF)
    KEY.write_text(gate.run("audit", "key"))
    gate.run("audit", "verify", PROOF, "--key", str(KEY), lines=2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The first minute with gatelodge.")
    parser.add_argument("--once", action="store_true", help="end after the proof")
    parser.add_argument("--data-dir", type=Path, default=Path(DATA), help="where state is kept")
    parser.add_argument("--port", type=int, default=8720, help="0 = any free one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
