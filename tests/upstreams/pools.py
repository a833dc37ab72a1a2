"""What every test of the pool needs: a pool, servers for it, calls, and bounded waiting."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.config.schema import HostingSettings, LimitSettings, UpstreamSettings
from gatelodge.core.catalog.server import HttpTransport, Server, StdioTransport, Transport
from gatelodge.core.errors import KeyUnreachable
from gatelodge.core.ids import Instant, ServerId, WorkspaceId
from gatelodge.ports.upstream import ObservedOffer, OnBehalfOf, UpstreamReply, UpstreamRequest

HERE = Path(__file__).parent
STDIO = str(HERE / "stdio_server.py")
ASKING = str(HERE / "asking" / "server.py")
WAIT = 20.0
UPSTREAM = UpstreamSettings(start_seconds=15.0, backoff_seconds=0.2)
HOSTING = HostingSettings(stop_seconds=1.0)

LOOPS = ("uvloop", pytest.param("asyncio", marks=pytest.mark.slow))
"""The gate runs on the first; nothing that it does may need it."""
each_loop = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio", marks=pytest.mark.slow),
    ],
)

ROOT = msgspec.structs.replace(HOSTING, first_uid=1_000_000 + os.getpid() * 8)
"""For pools that are root: with the same uids, a run beside this one would kill its children."""


class Secrets:
    """`env:NAME` stands for what `known` holds; asked for more, it cannot be read."""

    def __init__(self, **known: str) -> None:
        self.known = known

    def resolve(self, value: str) -> str:
        if not value.startswith("env:"):
            return value
        if value[4:] not in self.known:
            raise KeyUnreachable(f"{value} cannot be read.")
        return self.known[value[4:]]

    async def resolve_all(self, values: dict[str, str], *_whose: str) -> dict[str, str]:
        return {name: self.resolve(value) for name, value in values.items()}

    def edition(self, *_about: object) -> object:
        return None


def make_pool(secrets: Secrets | None = None, **settings: Any) -> UpstreamPool:
    hosting = settings.pop("hosting", HOSTING)
    root, caches = settings.pop("root", False), settings.pop("caches", None)
    uids = UidAllocator(hosting.first_uid) if root else None
    return UpstreamPool(
        secrets=secrets or Secrets(),
        limits=settings.pop("limits", LimitSettings()),
        upstream=settings.pop("upstream", UPSTREAM),
        version="9.9",
        runtime=ProcessRuntime(hosting, uids=uids, caches=caches),
        **settings,
    )


@contextlib.contextmanager
def reachable(script: str) -> Iterator[str]:
    """A copy that every uid can read; not below pytest's folder, which each run closes again."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield shutil.copy(script, f"{folder}/server.py")


def server(name: str, transport: Transport, **fields: Any) -> Server:
    return Server(
        id=ServerId(f"srv_{name}"),
        workspace=WorkspaceId("wsp_1"),
        alias=name,
        transport=transport,
        created_at=Instant(0),
        **{"status": "approved", **fields},
    )


def stdio(mode: str = "modern", name: str = "one", **fields: Any) -> Server:
    wanted = {key: fields.pop(key) for key in ("env", "cwd", "run_as") if key in fields}
    command = fields.pop("command", (sys.executable, STDIO, mode))
    transport = StdioTransport(command=command, **{"run_as": "gateway", **wanted})
    return server(name, transport, **fields)


def asking(era: str = "legacy", name: str = "one", **fields: Any) -> Server:
    return stdio(name=name, command=(sys.executable, ASKING, era), **fields)


def asker(principal: str = "ann", level: str = "", **capabilities: Any) -> OnBehalfOf:
    """Somebody whose client declares these capabilities."""
    said = json.dumps(capabilities, separators=(",", ":")).encode()
    return OnBehalfOf(principal=principal, capabilities=said, level=level)


def http(url: str, name: str = "one", **fields: Any) -> Server:
    wanted = {key: fields.pop(key) for key in ("headers", "allow_private") if key in fields}
    return server(name, HttpTransport(url=url, **{"allow_private": True, **wanted}), **fields)


def call(tool: str, arguments: Any = None, **fields: Any) -> UpstreamRequest:
    raw = Raw(json.dumps({} if arguments is None else arguments).encode())
    params = {"name": Raw(json.dumps(tool).encode()), "arguments": raw}
    return UpstreamRequest(
        method="tools/call", name=tool, params=params, **{"seconds": WAIT, **fields}
    )


async def ask(
    pool: UpstreamPool, at: Server, request: UpstreamRequest, heard: Any = None
) -> UpstreamReply:
    async with asyncio.timeout(WAIT):
        return await pool.begin(at.id, request, heard).reply


def text(reply: UpstreamReply) -> Any:
    """What the test servers say in their first text."""
    assert reply.result is not None, reply
    return json.loads(json.loads(bytes(reply.result))["content"][0]["text"])


async def until(seen: Callable[[], Any], what: str = "") -> Any:
    """Poll until it is true, for a bounded time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT
    while not (found := seen()):
        if loop.time() > deadline:
            pytest.fail(f"never came true: {what or seen}")
        await asyncio.sleep(0.01)
    return found


async def ready(pool: UpstreamPool, at: Server) -> None:
    await pool.reconcile((at,))
    await until(lambda: pool.health(at.id).state == "ready", "ready")


def names(observed: ObservedOffer) -> list[str]:
    return [json.loads(bytes(tool))["name"] for tool in observed.tools]


def alive(pid: int) -> bool:
    """True while the process runs; a zombie is gone, and so is one that ends while it is read."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
