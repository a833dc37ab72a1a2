"""Images as the gate builds them, brought to the node as one brings them to a registry."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.unit.images.layers_of import store_in

from gatelodge.adapters.images.host import NODE, PYTHON
from gatelodge.adapters.runtime.packages.tools import compile_bytecode
from gatelodge.ports.images import ImageRecipe

NAME = "gatelodge.test/mcp"
CONTRACT = Path(__file__).parents[1] / "contract" / "runtimes"
GUEST = (str(CONTRACT / "guest.py"), str(CONTRACT / "probe.py"))
ECHO = """
process.stdin.on("data", (data) => process.stdout.write(data));
process.stdin.on("end", () => process.exit(4));
"""


class ClusterImages:
    """A store below a folder, and its images by what they are."""

    def __init__(self, folder: Path) -> None:
        self.store = store_in(folder)
        self._folder = folder
        self.pause = self.guest = self.broken = ""

    async def build_all(self) -> None:
        """What holds a pod's namespaces, the contract's guest, and one that cannot start."""
        self.pause = await self.build((PYTHON, "-c", "import signal; signal.pause()"))
        self.guest = await self.build((PYTHON, "-u", "/app/guest.py"), *GUEST)
        self.broken = await self.build(("/usr/bin/no-such-program",))

    async def build_node(self) -> str:
        """A server in JavaScript, with the Python that its bridge needs."""
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "echo.js"
            script.write_text(ECHO)
            return await self.build((NODE, "/app/echo.js"), str(script), runtimes=("node",))

    async def build(
        self, command: tuple[str, ...], *files: str, runtimes: tuple[str, ...] = ()
    ) -> str:
        """Build an image with these files in its /app."""
        with tempfile.TemporaryDirectory() as folder:
            for each in files:
                shutil.copy(each, folder)
            recipe = ImageRecipe(
                source="pypi:guest@1",
                wish="pypi:guest@1",
                runtimes=("python", *runtimes),
                folder=Path(folder),
                command=command,
                env={"OF": "image"},
                lock=b"",
                materials=(),
            )
            return (await self.store.build(recipe, compile_bytecode)).image

    async def bring(self, image: str, containerd: Path) -> None:
        """Have the node know it by its digest."""
        bring_archive(await self.store.archive(image), containerd)


def bring_archive(archive: Path, containerd: Path) -> None:
    """Have the node know an image by its digest, under the name of the tests' repository."""
    words = ("ctr", "-a", containerd, "-n", "k8s.io", "images", "import", "--digests")
    command = (*words, "--base-name", NAME, archive)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
