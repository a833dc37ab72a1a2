"""An image with Python and the guest in it, made of what this machine has, and its store."""

import re
import shutil
import subprocess
from pathlib import Path

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.images import ImageConfig

HERE = Path(__file__).parent
IMAGE, NO_PROGRAM = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
"""One that runs the guest, and one whose program is not in it."""
ROOT = "GATELODGE_GUEST_ROOT"
"""Where the files of the image are: made once for a run, also for the gates that it kills."""
_LEFT_OUT = ("test", "idlelib", "tkinter", "config-*", "ensurepip")


class GuestImages:
    """Implements `ImageStore`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def config(self, image):
        if image not in (IMAGE, NO_PROGRAM):
            raise UpstreamUnreachable("No such image.", remedy="Build it.")
        program = "/usr/bin/python3" if image == IMAGE else "/usr/bin/no-such-program"
        return ImageConfig(image=image, source="", command=(program, "/srv/guest.py"), env={})

    async def root(self, image):
        return self._root

    async def archive(self, image):
        raise UpstreamUnreachable("There is none.", remedy="Unpack it.")


def make_root(root: Path) -> None:
    """Python of this machine, its standard library, what both are linked to, and the guest."""
    for each in ("usr/bin", "proc", "dev", "tmp", "run", "etc", "srv"):
        (root / each).mkdir(parents=True)
    python = Path("/usr/bin/python3").resolve()
    library = Path(f"/usr/lib/{python.name}")
    shutil.copytree(library, root / library.relative_to("/"), ignore=_ignored)
    shutil.copy(python, root / "usr/bin")
    (root / "usr/bin/python3").symlink_to(python.name)
    for each in _linked(python, *library.glob("lib-dynload/*.so")):
        at = root / each.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(each).resolve(), at)
    (root / "etc/passwd").write_text("root:x:0:0::/:\nmcp:x:10001:10001::/tmp:\n")
    for each in ("guest.py", "probe.py"):
        shutil.copy(HERE / each, root / "srv")


def _ignored(folder, names):
    return shutil.ignore_patterns(*_LEFT_OUT)(folder, names)


def _linked(*files: Path) -> set[str]:
    found = subprocess.run(("ldd", *map(str, files)), capture_output=True, text=True, check=True)
    return set(re.findall(r"(/\S+\.so\S*) \(0x", found.stdout))
