"""Packages fetched and laid out for an image: no code of theirs runs that nobody asked for."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.images import KeptImage

StageReport = Callable[[str], Awaitable[None]]
"""Is told which step begins, in one word, and behind it how far that is.

What it raises ends the work.
"""


class LaidPackage(Struct, frozen=True, kw_only=True):
    """A package with all that it needs, in a folder that becomes `/app`; how it is started there.

    `runtime` is the part of this machine that runs it (`python`, `node`), empty for a program of
    its own. `lock` names every package with its hash. `unconfined` is why the tools ran as the
    gate's own user; empty when they were kept apart from it.
    """

    folder: Path
    runtime: str
    command: tuple[str, ...]
    env: dict[str, str]
    lock: bytes
    materials: tuple[ImageMaterial, ...]
    unconfined: str = ""


class PackageInstaller(Protocol):
    """Fetches packages of one kind, bounded in time and bytes."""

    def laid_out(
        self,
        source: ArtifactSource,
        script: str,
        report: StageReport,
        *,
        run_scripts: tuple[str, ...] = (),
    ) -> AbstractAsyncContextManager[LaidPackage]:
        """The package, until the context ends; `script` is the program of it to start.

        An empty one stands for the program of its own name, or the only one. `run_scripts` are the
        packages whose own scripts run when they are installed: of all others none does.

        Raises Invalid (no such program, or none that is prepared without running its code),
        UpstreamUnreachable (where packages come from does not answer, or a tool is missing),
        LimitReached.
        """
        ...

    async def compile_bytecode(self, directory: Path, named: str) -> None:
        """Write the bytecode of Python files (`BytecodeCompiler`)."""
        ...


class ImagePuller(Protocol):
    """Fetches images that others made from registries, bounded in time and bytes."""

    async def pull(self, source: ArtifactSource, wish: str, report: StageReport) -> KeptImage:
        """Have it in the store of images, under a source that names its digest.

        Raises Invalid (it is refused, by the registry or here), UpstreamUnreachable, LimitReached.
        """
        ...


class FileFetcher(Protocol):
    """Fetches files by URL, bounded in time and bytes."""

    def fetched(
        self, source: ArtifactSource, report: StageReport
    ) -> AbstractAsyncContextManager[Path]:
        """The file, which is what the source's digest says, until the context ends.

        Raises Invalid (it is something else, or refused), UpstreamUnreachable, LimitReached.
        """
        ...
