"""A runtime of each kind, and the guest that it runs."""

import asyncio
import json
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.contract.runtimes.kinds import GUEST, KINDS, RuntimeKind, marked, spec
from tests.upstreams.pools import LOOPS, until

from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec, Runtime, RuntimeInstance


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=KINDS)
def kind_name(request):
    if not KINDS[request.param].usable:
        pytest.skip("this kind cannot run on this machine")
    return request.param


class Heard(asyncio.Protocol):
    """What came from a guest: all of it, or what came before it was paused."""

    def __init__(self, *, paused: bool = False) -> None:
        self.data = bytearray()
        self.ended = False
        self._paused = paused
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self._paused:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in bytes(self.data).split(b"\n")[:-1]]


class Guest:
    """One instance that runs the guest, and what was heard of it."""

    def __init__(self, instance: RuntimeInstance, output: Heard, errors: Heard) -> None:
        self.instance, self.output, self.errors = instance, output, errors

    async def ask(self, *words: Any) -> Any:
        before = len(self.output.lines)
        self.instance.write(json.dumps(words).encode() + b"\n")
        await until(lambda: len(self.output.lines) > before, f"answered {words[0]}")
        return self.output.lines[before]


class Host:
    """A runtime with a directory of its own, and its guests."""

    def __init__(self, kind_name: str, folder: Path) -> None:
        self.kind_name, self.kind = kind_name, KINDS[kind_name]
        self.caches = folder / "caches"
        self.script = shutil.copy(GUEST, folder)
        self.mark = f"mark-{uuid.uuid4().hex}"
        self.settings = HostingSettings(stop_seconds=0.2)
        self.runtime: Runtime = self.again()

    def again(self) -> Runtime:
        """Another runtime in the same place, as a gate that is started again has."""
        return self.kind.make(self.settings, self.caches)

    def spec(self, way: str, *words: str, **fields: Any) -> LaunchSpec:
        return spec(self.script, self.mark, way, *words, **fields)

    async def start(self, way: str, *words: str, paused: bool = False, **fields: Any) -> Guest:
        output, errors = Heard(paused=paused), Heard(paused=paused)
        instance = await self.runtime.start(self.spec(way, *words, **fields), output, errors)
        return Guest(instance, output, errors)

    @property
    def running(self) -> list[int]:
        """All that runs of its guests, descendants included."""
        return marked(self.mark)


@pytest.fixture
def folder():
    # Not below pytest's folder, which only its own user may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        homes = Path(folder) / "homes"
        homes.mkdir()
        homes.chmod(0o777)
        yield Path(folder)


@pytest.fixture
async def host(kind_name, folder, monkeypatch):
    homes = folder / "homes"
    monkeypatch.setattr(tempfile, "tempdir", str(homes))
    made = Host(kind_name, folder)
    yield made
    for each in made.runtime.instances():
        await each.stop(0.0)
    await made.runtime.close()
    assert made.running == []
    assert made.runtime.instances() == ()
    await until(lambda: not list(homes.iterdir()), "no home stays")


@pytest.fixture
def kind(kind_name) -> RuntimeKind:
    return KINDS[kind_name]
