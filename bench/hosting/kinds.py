"""The ways in which the same server is run, and an image of it."""

import asyncio
import os
import shutil
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.images.store import OciImageStore, image_store
from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.runtime.landlock.runtime import LandlockRuntime
from gatelodge.adapters.runtime.oci.runtime import OciRuntime
from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.ports.images import ImageRecipe
from gatelodge.ports.runtime import Runtime

SERVER = Path(__file__).parent / "server.py"
PYTHON = "/usr/bin/python3"
SOURCE = "pypi:echo@1.0"
_UIDS = UidAllocator(HostingSettings().first_uid)


class HostedKind(Struct, frozen=True):
    """`runtime` is the setting of a gate that runs it so; `program` has to be on the machine."""

    name: str
    title: str
    tier: IsolationTier
    runtime: str
    program: str = ""

    def absent(self) -> str | None:
        """Say why it cannot be measured on this machine; None when it can."""
        if self.runtime == "oci" and os.geteuid():
            return "needs root"
        if self.program and shutil.which(self.program) is None:
            return f"{self.program} is not on this machine"
        return None

    def made(self, images: OciImageStore, folder: Path) -> Runtime:
        settings = HostingSettings()
        uids = _UIDS if os.geteuid() == 0 else None
        if self.runtime == "oci":
            return OciRuntime(settings, images, folder / self.name, names=(self.program,))
        caches = folder / "caches"
        if self.runtime == "landlock":
            return LandlockRuntime(settings, uids=uids, caches=caches, images=images)
        return ProcessRuntime(settings, uids=uids, caches=caches)


KINDS = (
    HostedKind("process", "child process of the gate, not isolated", "none", ""),
    HostedKind("weak", "namespaces, Landlock, seccomp", "weak", "landlock"),
    HostedKind("runc", "container", "standard", "oci", "runc"),
    HostedKind("gvisor", "container with a kernel of its own", "strong", "oci", "runsc"),
)


def image_of_server(directory: Path, caches: str) -> tuple[OciImageStore, str]:
    """The store of a data directory with an image of the server in it, and its digest."""
    app = directory.parent / "app"
    app.mkdir(parents=True)
    shutil.copy(SERVER, app / "server.py")
    store = image_store(directory, caches, SystemClock())

    async def compile_nothing(_folder: Path, _place: str) -> None:
        pass

    recipe = ImageRecipe(
        source=SOURCE,
        wish=SOURCE,
        runtimes=("python",),
        folder=app,
        command=("/opt/python/bin/python3", "/app/server.py"),
        env={},
        lock=b"",
        materials=(),
    )
    return store, asyncio.run(store.build(recipe, compile_nothing)).image
