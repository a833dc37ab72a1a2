"""Real servers of both eras, each reached by one way: what it is asked, and what it answers."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.upstreams import pools
from tests.upstreams.pools import call, http, stdio, until

EVERYTHING = (
    Path(__file__).parents[2]
    / "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
)
BIN = Path(sys.executable).parent


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    assert EVERYTHING.exists(), "run `npm ci` in tests/node"
    return found


class Real:
    """One real server: how to reach it, one call, and what the answer holds."""

    def __init__(self, at, era, tools, request, holds):
        self.at, self.era, self.tools, self.request, self.holds = at, era, tools, request, holds


def time_server(era):
    at = stdio(command=(str(BIN / "mcp-server-time"),), era=era)
    asked = call("convert_time", {
        "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo",
    })  # fmt: skip
    return Real(at, era, 2, asked, b"21:00")


def git_server(era, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "leaf.txt").write_text("x")
    at = stdio(command=(str(BIN / "mcp-server-git"), "-r", str(tmp_path)), era=era)
    return Real(at, era, 12, call("git_status", {"repo_path": str(tmp_path)}), b"leaf.txt")


async def sdk_server(era, served):
    port = served(sys.executable, str(pools.HERE / "sdk_server.py"), "PORT")
    await until(lambda: listens(port), "the SDK server listens")
    return Real(
        http(f"http://127.0.0.1:{port}/mcp", era=era), era, 5, call("add", {"a": 2, "b": 3}), b"5"
    )


async def everything_http(served, transport="streamableHttp"):
    port = served(node(), str(EVERYTHING), transport)
    await until(lambda: listens(port), "server-everything listens")
    path = "sse" if transport == "sse" else "mcp"
    at = http(f"http://127.0.0.1:{port}/{path}")
    return Real(at, "legacy", 17, call("echo", {"message": "hi"}), b"hi")


def everything_stdio():
    at = stdio(command=(node(), str(EVERYTHING), "stdio"))
    return Real(at, "legacy", 17, call("echo", {"message": "hi"}), b"hi")


async def everything(way, served):
    if way == "stdio":
        return everything_stdio()
    return await everything_http(served, "sse" if way == "sse" else "streamableHttp")


# In the quick run those that one process serves for a whole file; each of the others is started
# anew, and again for each look at it.
QUICK = ["sdk modern"]
WAYS = ["http", *(pytest.param(way, marks=pytest.mark.slow) for way in ("stdio", "sse"))]
SLOW = [
    "time modern",
    "time legacy",
    "everything stdio",
    "everything http",
    "git modern",
    "git legacy",
    "sdk legacy",
    "everything sse",
]
KINDS = [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
