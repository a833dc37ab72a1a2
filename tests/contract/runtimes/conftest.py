"""A runtime of each kind, and the guest that it runs."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.loops import leave_second_loop_to_weekly
from tests.contract.runtimes.engines.image import ARCHIVE, make_archive
from tests.contract.runtimes.engines.started import started_engine
from tests.contract.runtimes.guest_image import ROOT, make_root
from tests.contract.runtimes.kinds import GUEST, KINDS, NAMES, RuntimeKind, check_required, spec
from tests.upstreams.pools import LOOPS, until

from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec, Runtime, RuntimeInstance


def pytest_collection_modifyitems(items):
    images = frozenset(name for name, kind in KINDS.items() if kind.image)
    leave_second_loop_to_weekly(items, Path(__file__).parent, images)


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=NAMES)
def kind_name(request, start_engine):
    _check_usable(request.param)
    if KINDS[request.param].engine:
        start_engine(request.param)
    return request.param


def _check_usable(name: str) -> None:
    if not KINDS[name].usable:
        check_required(name)
        pytest.skip("this kind cannot run on this machine")


@pytest.fixture(scope="session")
def start_engine(guest_root):
    """Starts the engine of a kind when it is first wanted, and gives its place."""
    started: dict[str, str] = {}
    with contextlib.ExitStack() as until_end:

        def start(name: str) -> str:
            _check_usable(name)
            if not started:
                archive = Path(os.environ[ROOT]).with_name("image.tar")
                make_archive(Path(os.environ[ROOT]), archive)
                os.environ[ARCHIVE] = str(archive)
            if name not in started:
                started[name] = until_end.enter_context(started_engine(KINDS[name].engine))
            return started[name]

        yield start


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

    def resume(self) -> None:
        self._paused = False
        self._transport.resume_reading()

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
        return spec(self.kind_name, self.script, self.mark, way, *words, **fields)

    async def start(
        self, way: str, *words: str, paused: bool = False, report: Any = None, **fields: Any
    ) -> Guest:
        output, errors = Heard(paused=paused), Heard(paused=paused)
        instance = await self.runtime.start(
            self.spec(way, *words, **fields), output, errors, report
        )
        return Guest(instance, output, errors)

    @property
    def running(self) -> list[int]:
        """All that runs of its guests, descendants included."""
        return self.kind.running(self.runtime, self.mark)


@pytest.fixture
def folder():
    # Not below pytest's folder, which only its own user may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        homes = Path(folder) / "homes"
        homes.mkdir()
        homes.chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="session", autouse=True)
def guest_root():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        make_root(Path(folder) / "root")
        os.environ[ROOT] = f"{folder}/root"
        yield
        del os.environ[ROOT]


@pytest.fixture(scope="session")
def cluster():
    from tests.kubernetes.cluster import running_cluster
    from tests.kubernetes.gate import prepare_cluster

    with running_cluster() as running:
        with running.network():
            prepare_cluster(running)
        yield running


@pytest.fixture
def in_network(kind_name, request):
    """A test of a cluster is in its network, where its instances can be reached."""
    kind = KINDS[kind_name]
    if (kind.engine or kind.elsewhere) and not request.getfixturevalue("anyio_backend")[1][
        "use_uvloop"
    ]:
        # What the gate does with containers, `engines/test_containers.py` does on both loops.
        pytest.skip("nothing there is of one loop alone, and a start takes seconds")
    if not kind.elsewhere:
        yield
        return
    with request.getfixturevalue("cluster").network():
        yield


@pytest.fixture
async def host(kind_name, folder, monkeypatch, in_network):
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "homes"))
    async with open_host(kind_name, folder) as made:
        yield made


@contextlib.asynccontextmanager
async def open_host(kind_name: str, folder: Path) -> AsyncIterator[Host]:
    """One of which nothing is left afterwards."""
    made = Host(kind_name, folder)
    if made.kind.image and not made.kind.engine:
        offer = await made.runtime.probe()
        assert made.kind.tier in offer.tiers, offer.gaps
    yield made
    for each in made.runtime.instances():
        await each.stop(0.0)
    if made.kind.elsewhere:  # of a gate that was killed
        made.runtime.keep(frozenset())
    await made.runtime.close()
    assert made.running == []
    assert made.runtime.instances() == ()
    await until(lambda: not list((folder / "homes").iterdir()), "no home stays")


@pytest.fixture
def kind(kind_name) -> RuntimeKind:
    return KINDS[kind_name]


@pytest.fixture
def on_this_machine(kind):
    """For what is promised of programs of this machine alone: homes, caches, its uids."""
    if kind.image:
        pytest.skip("an image has no home and no cache on this machine, and ids of its own")


@pytest.fixture
def limited(kind):
    """For what is promised of instances that have control groups of their own."""
    if not kind.limits:
        pytest.skip("this kind limits neither memory nor processor, and says so")


@pytest.fixture
def in_image(kind):
    """For what is promised of images alone."""
    if not kind.image:
        pytest.skip("this kind starts programs of this machine")
