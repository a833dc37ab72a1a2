"""A real gate with an image of a small server in its store, and what this machine can isolate."""

import asyncio
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gate import CACHES, Gate
from tests.integration.admin_house import House, W
from tests.stage import all_of
from tests.upstreams.pools import STDIO

from gatelodge.adapters.images.store import image_store
from gatelodge.adapters.keys.system import SystemClock
from gatelodge.ports.images import ImageRecipe

can_contain = os.geteuid() == 0 and shutil.which("runc") is not None
"""True where containers of the standard tier can be started."""
SOURCE = "pypi:stub@1.0"


def hosting_gate(directory: Path, *sets: str) -> Gate:
    return Gate(directory, "audit.sequence_ms=50", "hosting.stop_seconds=4", *sets)


def empty_image(gate: Gate) -> str:
    """Keep an image with nothing to start in it, which costs next to nothing; its digest."""
    folder = gate.directory / "nothing"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README").write_text("nothing")
    return _kept_image(gate, folder, (), ("/app/nothing",), "empty")


KEEPING = str(Path(__file__).parent / "keeping_server.py")


def build_image(gate: Gate, mode: str = "modern", program: str = STDIO) -> str:
    """Keep an image of a stdio server that tests have, as a build would; its digest."""
    folder = gate.directory / "app"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, folder / "server.py")
    command = ("/opt/python/bin/python3", "/app/server.py", mode)
    return _kept_image(gate, folder, ("python",), command, f"{Path(program).name} {mode}")


def _kept_image(
    gate: Gate, folder: Path, runtimes: tuple[str, ...], command: tuple[str, ...], wish: str
) -> str:
    store = image_store(gate.directory, CACHES, SystemClock())

    async def compile_nothing(_folder: Path, _place: str) -> None:
        pass

    recipe = ImageRecipe(
        source=SOURCE,
        wish=f"{SOURCE} {wish}",
        runtimes=runtimes,
        folder=folder,
        command=command,
        env={},
        lock=b"",
        materials=(),
    )
    # A test with a browser has a loop of its own on this thread.
    with ThreadPoolExecutor(1) as aside:
        kept = aside.submit(asyncio.run, store.build(recipe, compile_nothing)).result()
    shutil.rmtree(folder)
    return kept.image


def host(house: House, alias: str, image: str, **how: object) -> None:
    """Have the gate host a server from this image, for everybody."""
    approve(house, alias, {"type": "artifact", "source": SOURCE, "image": image, **how})


def run_command(house: House, alias: str) -> None:
    """Have the gate start the same server as a child process."""
    command = [sys.executable, STDIO, "modern"]
    approve(house, alias, {"type": "stdio", "command": command, "run_as": "gateway"})


def approve(house: House, alias: str, transport: dict[str, object]) -> None:
    """Describe a server, look at it, approve what it has, and grant it to everybody."""
    house.gate.api("POST", f"{W}/servers", {"alias": alias, "transport": transport}, local=True)
    seen = house.ok("POST", f"{W}/servers/{alias}/observe")
    house.ok("POST", f"{W}/servers/{alias}/approve", all_of(seen))
    house.ok("POST", f"{W}/grants", {"everyone": True, "server": alias, "level": "all"})
