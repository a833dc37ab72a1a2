"""Servers as people install them run in the weak tier, with no file, socket or program more."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from tests.contract.runtimes.conftest import Guest, Heard
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.landlock.runtime import LandlockRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BIN = Path(sys.executable).parent
MODULES = Path(__file__).parents[2] / "examples" / "demo" / "node_modules"
NODE = shutil.which("node") or ""
EVERYTHING = MODULES / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
CLIENT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
CONVERT = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
TIME = ("convert_time", CONVERT, "T21:00:00+09:00")
WRITTEN = {"path": "/tmp/note", "content": "kept"}
SERVERS = {
    "python": ((sys.executable, "-m", "mcp_server_time"), *TIME),
    "script": ((str(BIN / "mcp-server-time"),), *TIME),
    "node": ((NODE, str(EVERYTHING)), "get-sum", {"a": 20, "b": 22}, "is 42"),
    "node script": (
        (str(MODULES / ".bin" / "mcp-server-everything"),),
        "get-sum",
        {"a": 20, "b": 22},
        "is 42",
    ),
    "files": (
        (str(MODULES / ".bin" / "mcp-server-filesystem"), "/tmp"),
        "write_file",
        WRITTEN,
        "Successfully",
    ),
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def folder(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        homes = Path(folder) / "homes"
        homes.mkdir()
        homes.chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", str(homes))
        yield Path(folder)


@pytest.fixture
async def runtime(folder):
    settings = HostingSettings()
    uids = UidAllocator(settings.first_uid) if os.geteuid() == 0 else None
    made = LandlockRuntime(settings, uids=uids, caches=folder / "caches")
    yield made
    for each in made.instances():
        await each.stop(0.0)
    await made.close()


async def asked(guest, number, method, **params):
    """The result of a request, whatever the server says before it."""
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    guest.instance.write(json.dumps(message).encode() + b"\n")

    def answers():
        return [each for each in guest.output.lines if each.get("id") == number]

    await until(answers, f"{method} is answered")
    return answers()[0]["result"]


@pytest.mark.parametrize("name", SERVERS)
async def test_a_real_server_does_its_work_in_the_weak_tier(runtime, name):
    command, tool, arguments, says = SERVERS[name]
    if "node" in str(command) and not EVERYTHING.exists():
        pytest.skip("the servers of the demo are not installed")
    output, errors = Heard(), Heard()
    spec = LaunchSpec(server="srv_real", command=command, env={}, tier="weak")
    guest = Guest(await runtime.start(spec, output, errors), output, errors)
    await asked(guest, 1, "initialize", **CLIENT)
    guest.instance.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    assert (await asked(guest, 2, "tools/list"))["tools"]
    result = await asked(guest, 3, "tools/call", name=tool, arguments=arguments)
    assert says in json.dumps(result)
    assert guest.instance.facts.landlock
    await guest.instance.stop(3.0)
