"""Images of hosted servers: what was built once, is kept whole, and is started from.

An image is named by the digest of its manifest (OCI image specification), which covers every byte
of it: layers, command, and the digests of its lock and of its bill of materials.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.ids import Instant


class ImageConfig(Struct, frozen=True, kw_only=True):
    """How an image is started: its own command and environment, and where it came from."""

    image: str
    source: str
    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/"
    size: int = 0
    """Bytes of all its layers as they are kept, compressed."""


class ImageStore(Protocol):
    """Images by their digest.

    Every method raises UpstreamUnreachable, with what to do about it, for one that is not here, or
    that is not what its digest says.
    """

    async def config(self, image: str) -> ImageConfig:
        """How it is started; its manifest and configuration are verified."""
        ...

    async def root(self, image: str) -> Path:
        """Its files, unpacked below a directory that other uids can pass; nobody writes there.

        They are made and verified once, whoever asks, and are what the layers hold.
        """
        ...

    async def archive(self, image: str) -> Path:
        """One file that container engines load: an OCI layout that is a docker-archive as well."""
        ...


class KeptImage(Struct, frozen=True, kw_only=True):
    """An image as the store lists it. `size` is as it is kept; `built` is on this machine."""

    image: str
    source: str
    size: int
    built: Instant
    command: tuple[str, ...]
    lock: str = ""
    """The digest of its lock; empty where it has none, as one that was loaded."""
    sbom: str = ""
    """The digest of its bill of materials."""
    wish: str = ""
    """All that was asked for when it was built, its source first; equal for equal wishes."""


class ImageRecipe(Struct, frozen=True, kw_only=True):
    """What an image is to be made of.

    `runtimes` are parts of this machine (`python`, `node`, or the name of a program), each a layer
    of its own that images share. `folder` becomes `/app`. `lock` is the text that the packages were
    installed by, `materials` are those packages.
    """

    source: str
    wish: str
    runtimes: tuple[str, ...]
    folder: Path
    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/app"
    lock: bytes
    materials: tuple[ImageMaterial, ...]


BytecodeCompiler = Callable[[Path, str], Awaitable[None]]
"""Writes the bytecode of each Python file below a folder, which stands at that path in the image.

The same files give the same bytecode. Raises UpstreamUnreachable.
"""


class ImageKeeper(ImageStore, Protocol):
    """A store that images are also built into. Raises what ImageStore does."""

    async def build(self, recipe: ImageRecipe, compiler: BytecodeCompiler) -> KeptImage:
        """Build it and keep it; the same recipe on the same machine gives the same digest."""
        ...

    async def load(self, path: Path, source: str, wish: str) -> KeptImage:
        """Take an image that others made: an OCI layout or a docker-archive of this machine.

        Raises Invalid when it is none, or not what its digests say.
        """
        ...

    async def images(self) -> tuple[KeptImage, ...]:
        """All that are kept, newest first."""
        ...

    async def document(self, digest: str) -> bytes:
        """A lock or a bill of materials by its digest."""
        ...

    async def materials(self, image: str) -> tuple[ImageMaterial, ...]:
        """What it is made of, as its bill of materials says; nothing where it has none."""
        ...

    async def remove(self, image: str) -> int:
        """Remove an image with what no other has; bytes freed. Nothing of it may run."""
        ...
