"""Images for guests with a network: this machine's Python, and one program of ours."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.contract.runtimes.guest_image import make_root

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.images import ImageConfig

IMAGE = "sha256:" + "a" * 64
HERE = Path(__file__).parent


class GuestPrograms:
    """Implements `ImageStore`: one image, which runs one of the programs beside this file."""

    def __init__(self, root: Path, program: str) -> None:
        self._root, self._program = root, program

    async def config(self, image: str) -> ImageConfig:
        command = ("/usr/bin/python3", f"/srv/{self._program}")
        return ImageConfig(image=image, source="", command=command, env={})

    async def root(self, image: str) -> Path:
        return self._root

    async def archive(self, image: str) -> Path:
        raise UpstreamUnreachable("There is none.")


@contextlib.contextmanager
def made_root() -> Iterator[Path]:
    """The files of the image; its list of name servers is another machine's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "root"
        make_root(root)
        (root / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
        for each in HERE.glob("*.py"):
            shutil.copy(each, root / "srv" / f"egress_{each.name}")
        yield root
