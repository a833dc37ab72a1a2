"""Where a guest with egress runs: a bare network namespace, entered in each way, or a runtime."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.contract.egress.images import IMAGE, GuestPrograms
from tests.upstreams.pools import ROOT, until

from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.landlock.runtime import LandlockRuntime
from gatelodge.adapters.runtime.network import gate as gate_module
from gatelodge.adapters.runtime.network.gate import EgressBounds, EgressGate, open_egress_gate
from gatelodge.adapters.runtime.network.resolver import RESOLV_CONF
from gatelodge.adapters.runtime.oci.runtime import OciRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import LedgerDown, UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.ports.runtime import EgressEvent, LaunchSpec, Runtime

GUEST = Path(__file__).parent / "guest.py"
PYTHON = "/usr/bin/python3"
_PLAIN = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")
_OWN = ("unshare", "--user", "--map-root-user")


class SiteKind(msgspec.Struct, frozen=True):
    """How the guest's namespace is made, and what may be used here.

    `before` are the words of a bare one, which `helper` has entered by a program; `runtime` makes
    what starts the guest in the others.
    """

    before: tuple[str, ...] = ("unshare",)
    helper: bool = False
    runtime: Callable[[HostingSettings, Path, GuestPrograms], Runtime] | None = None
    tier: IsolationTier = "weak"
    usable: bool = True


def _landlock(settings: HostingSettings, folder: Path, images: GuestPrograms) -> Runtime:
    uids = UidAllocator(ROOT.first_uid) if os.geteuid() == 0 else None
    return LandlockRuntime(settings, uids=uids, caches=folder, images=images)


def _oci(settings: HostingSettings, folder: Path, images: GuestPrograms) -> Runtime:
    return OciRuntime(settings, images, folder, names=("runc",))


_ROOT = os.geteuid() == 0 and shutil.which("unshare") is not None
SITES = {
    "of the machine": SiteKind(usable=_ROOT),
    "of a plain uid": SiteKind(before=(*_PLAIN, *_OWN), usable=_ROOT),
    "entered by a program": SiteKind(before=(*_PLAIN, *_OWN), helper=True, usable=_ROOT),
    "of runc": SiteKind(
        runtime=_oci, tier="standard", usable=_ROOT and shutil.which("runc") is not None
    ),
    "of landlock": SiteKind(runtime=_landlock, usable=landlock_version() > 0),
}


class GuestLines(asyncio.Protocol):
    """What a guest says, line by line."""

    def __init__(self) -> None:
        self._rest = b""
        self.lines: asyncio.Queue[Any] = asyncio.Queue()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.lines.put_nowait(msgspec.json.decode(line))


class EgressSite:
    """One guest, its gate, what was recorded of it, and the servers that there are outside."""

    def __init__(self) -> None:
        self.events: list[EgressEvent] = []
        self.addresses: dict[str, list[str]] = {}
        self.record_down = False
        self.gate: EgressGate
        self.said = GuestLines()
        self.tell: Callable[[bytes], None]
        self.echo_port = self.page_port = 0

    async def report(self, event: EgressEvent) -> None:
        await asyncio.sleep(0)
        if self.record_down:
            raise LedgerDown("The disk is full.")
        self.events.append(event)

    async def resolve(self, host: str, port: int) -> list[str]:
        if host not in self.addresses:
            raise UpstreamUnreachable("The server's name cannot be resolved.")
        return self.addresses[host]

    async def ask(self, *words: Any) -> Any:
        self.tell(msgspec.json.encode(words) + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        async with asyncio.timeout(60):
            return await self.said.lines.get()

    def told(self, kind: str) -> list[EgressEvent]:
        return [each for each in self.events if each.kind == kind]

    async def hears(self, kind: str, count: int = 1) -> list[EgressEvent]:
        await until(lambda: len(self.told(kind)) >= count, f"{count} {kind} recorded")
        return self.told(kind)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        await writer.drain()
    writer.close()


async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def egress_site(
    kind: SiteKind,
    monkeypatch: Any,
    root: Path,
    *places: str,
    private: tuple[str, ...] | None = None,
    bounds: EgressBounds | None = None,
) -> AsyncIterator[EgressSite]:
    """A guest that may reach `places`; `echo` and `page` in one stand for the ports of ours."""
    site = EgressSite()
    monkeypatch.setattr(gate_module, "resolve_apart", site.resolve)
    if kind.helper:
        monkeypatch.setattr("gatelodge.adapters.runtime.network.inside.enter_network", _refused)
    servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (echo, page)]
    site.echo_port, site.page_port = (s.sockets[0].getsockname()[1] for s in servers)
    egress = tuple(
        place.replace(":echo", f":{site.echo_port}").replace(":page", f":{site.page_port}")
        for place in places
    )
    site.addresses = {place.rpartition(":")[0]: ["127.0.0.1"] for place in egress}
    meant = egress if private is None else private
    with tempfile.TemporaryDirectory() as folder:
        prepare_folder(Path(folder))
        started = (
            _in_namespace(site, kind, folder, egress, meant, bounds or EgressBounds())
            if kind.runtime is None
            else _in_runtime(site, kind, Path(folder), root, egress, meant)
        )
        try:
            async with started:
                assert await site.answer() == "up"
                yield site
        finally:
            for server in servers:
                server.close()


@contextlib.asynccontextmanager
async def _in_namespace(
    site: EgressSite,
    kind: SiteKind,
    folder: str,
    egress: tuple[str, ...],
    private: tuple[str, ...],
    bounds: EgressBounds,
) -> AsyncIterator[None]:
    script = f"mount --bind {folder}/resolv.conf /etc/resolv.conf && echo '\"made\"' && read go"
    script += f" && exec {PYTHON} {folder}/guest.py"
    guest = await asyncio.create_subprocess_exec(
        *(*kind.before, "--net", "--mount", "sh", "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert guest.stdout is not None
    assert guest.stdin is not None
    hearing = asyncio.create_task(_hear(guest.stdout, site.said))
    site.tell = guest.stdin.write
    assert await site.answer() == "made"
    namespace = os.open(f"/proc/{guest.pid}/ns/net", os.O_RDONLY)
    try:
        site.gate = await open_egress_gate(
            namespace, egress, site.report, private=private, bounds=bounds
        )
        site.tell(b"go\n")
        yield
    finally:
        os.close(namespace)
        with contextlib.suppress(ProcessLookupError, AttributeError):
            guest.kill()
        await guest.wait()
        await hearing
        if hasattr(site, "gate"):
            await site.gate.close()


async def _hear(reader: asyncio.StreamReader, said: GuestLines) -> None:
    while data := await reader.read(65_536):
        said.data_received(data)


@contextlib.asynccontextmanager
async def _in_runtime(
    site: EgressSite,
    kind: SiteKind,
    folder: Path,
    root: Path,
    egress: tuple[str, ...],
    private: tuple[str, ...],
) -> AsyncIterator[None]:
    assert kind.runtime is not None
    settings = HostingSettings(stop_seconds=0.2, egress_private=private)
    runtime = kind.runtime(settings, folder / "data", GuestPrograms(root, "egress_guest.py"))
    spec = LaunchSpec(
        server="srv_one", image=IMAGE, command=(), env={}, egress=egress, tier=kind.tier
    )
    instance: Any = await runtime.start(spec, site.said, asyncio.Protocol(), site.report)
    site.gate, site.tell = instance.network.gate, instance.write
    try:
        yield
    finally:
        await instance.stop(0.0)
        await runtime.close()


def prepare_folder(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "resolv.conf").write_text(RESOLV_CONF)
    shutil.copy(GUEST, folder)


def _refused(namespace: int) -> None:
    raise PermissionError(1, "not permitted")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port
