"""Where a package is laid out: a folder of its own, watched for how much it grows.

Tools work in it apart from the gate (`sandbox.py`), so what lies there afterwards is a stranger's:
it is looked through before anything in it is read. A crash leaves the folder, named `build-...`,
which the next start of the gate removes.
"""

import asyncio
import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

from msgspec import Struct

from gatelodge.adapters.runtime.packages.sandbox import ToolRun, ToolSandbox
from gatelodge.adapters.runtime.packages.tools import (
    ToolOutcome,
    base_interpreter,
    bytecode_command,
)
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.core.errors import Invalid, LimitReached

_LOOK_SECONDS: Final = 2.0
_LONGEST_PAUSE: Final = 10.0
_LOOK_SHARE: Final = 30
"""A build is measured so often at most, and no more than this fraction of its time: each look costs
one at each of its files."""
_LINKS: Final = ".bin"
"""Folders in which npm links to programs: these become links in the image, and nothing follows."""
_MOST_BYTES: Final = 64 << 20
_BLOCK: Final = 4096
_ODD: Final = "Take another package; see that the tools of this machine are what they should be."
_LESS: Final = "Take a smaller one, or raise hosting.build_bytes."


class BuildLimits(Struct, frozen=True, kw_only=True):
    """What one build may take: seconds for each tool, bytes of all that it fetches and lays out."""

    seconds: float
    bytes: int


class PackageWorkshop(Struct, frozen=True, kw_only=True):
    """One folder in which tools work; `limits` hold for all of them together.

    `unconfined` is why they run as the gate's own user; empty when they do not.
    """

    folder: Path
    limits: BuildLimits
    sandbox: ToolSandbox
    uid: int = 0
    unconfined: str = ""

    def make_folder(self, name: str) -> Path:
        """A new folder in it that tools can write to. Raises OSError."""
        made = self.folder / name
        made.mkdir()
        self._hand_over(made)
        return made

    def write(self, name: str, data: bytes) -> None:
        """A new file in it that tools can read. Raises OSError, also when there is one."""
        place = self.folder / name
        with place.open("xb") as file:
            file.write(data)
        self._hand_over(place)

    def hand_over(self, name: str) -> None:
        """Let tools change all of a folder that the gate filled. Raises OSError."""
        self._hand_over(self.folder / name)
        for entry in _entries_below(self.folder / name):
            self._hand_over(Path(entry.path))

    def read(self, name: str) -> bytes:
        """A file that a tool left; `looked_through` its folder is. Raises Invalid."""
        try:
            at = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(at, "rb") as file:
                about = os.fstat(at)
                if stat.S_ISREG(about.st_mode) and about.st_size <= _MOST_BYTES:
                    return file.read(_MOST_BYTES)
        except OSError as fault:
            raise Invalid(f"{name} was not left as a file by the tool: {fault.strerror}") from fault
        raise Invalid(f"{name} was not left as a file of a usual size by the tool", remedy=_ODD)

    def rewrite(self, name: str, data: bytes) -> None:
        """Other content for a file that a tool left; `looked_through` its folder is. OSError."""
        (self.folder / name).unlink()
        self.write(name, data)

    def look_through(self, name: str) -> None:
        """See that a folder holds files and folders alone, no way out of it. Raises Invalid.

        Call it when no tool runs: what is read then is what was looked at.
        """
        top = self.folder / name
        try:
            if not stat.S_ISDIR(top.lstat().st_mode):
                raise NotADirectoryError
            for entry in _entries_below(top):
                mode = entry.stat(follow_symlinks=False).st_mode
                linked = stat.S_ISLNK(mode) and Path(entry.path).parent.name == _LINKS
                if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or linked):
                    place = entry.path[len(str(top)) + 1 :]
                    raise Invalid(f"{place[:120]!r} in the package is no file", remedy=_ODD)
        except OSError as fault:
            raise Invalid(f"the package was not laid out: {fault.strerror}", remedy=_ODD) from fault

    async def compile_bytecode(self, name: str, named: str) -> None:
        """Write the bytecode of all Python below a folder, by a tool: strangers wrote that.

        Raises UpstreamUnreachable, LimitReached.
        """
        command = bytecode_command(base_interpreter(), self.folder / name, named)
        # A file that cannot be compiled is one that is not imported, as templates are: no fault.
        await self.run(command, {"PYTHONHASHSEED": "0"}, fetches=False)

    async def run(
        self,
        command: tuple[str, ...],
        env: Mapping[str, str],
        *,
        beside: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
        fetches: bool = True,
        scripts: bool = False,
    ) -> ToolOutcome:
        """Run a tool in the folder. Raises UpstreamUnreachable, LimitReached."""
        given = {"PATH": os.defpath, "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        run = ToolRun(
            command=command,
            env={**given, **env},
            folder=self.folder,
            uid=self.uid,
            seconds=self.limits.seconds,
            file_bytes=self.limits.bytes,
            beside=beside,
            files=files,
            fetches=fetches,
            scripts=scripts,
        )
        working = asyncio.ensure_future(self.sandbox.run(run))
        pause, clock = _LOOK_SECONDS, asyncio.get_running_loop().time
        try:
            while not working.done():
                await asyncio.wait((working,), timeout=pause)
                began = clock()
                await asyncio.to_thread(self._measure)
                pause = min(max(_LOOK_SECONDS, _LOOK_SHARE * (clock() - began)), _LONGEST_PAUSE)
            done = await working
        finally:
            if not working.done():
                working.cancel()
                await asyncio.wait((working,))
        self._check_end(run.name, done)
        return done

    def _measure(self) -> None:
        found = 0
        try:
            for entry in _entries_below(self.folder):
                try:
                    found += max(_BLOCK, entry.stat(follow_symlinks=False).st_blocks * 512)
                except FileNotFoundError:
                    continue  # a tool moved it meanwhile
        except OSError as fault:
            text = f"What the package takes cannot be measured: {fault.strerror}."
            raise LimitReached(text, remedy=_ODD) from fault
        if found > self.limits.bytes:
            text = f"The package takes more than {self.limits.bytes >> 20} MiB."
            raise LimitReached(text, remedy=_LESS)

    def _check_end(self, tool: str, done: ToolOutcome) -> None:
        if done.status == -signal.SIGXFSZ:
            text = f"{tool} was ended: one file became larger than {self.limits.bytes >> 20} MiB."
            raise LimitReached(text, remedy=_LESS)
        if done.status < 0:
            raise LimitReached(
                f"{tool} was ended by {signal.Signals(-done.status).name}: {done.last_words}",
                remedy="It may have wanted more memory or more processes than a build gets. Take "
                "another package.",
            )

    def _hand_over(self, place: Path) -> None:
        if self.uid:
            os.chown(place, self.uid, self.uid, follow_symlinks=False)


def remove_leftovers(directory: Path) -> None:
    """Remove what builds of a gate that was killed left; none is under way yet."""
    for each in directory.glob("build-*"):
        remove_tree(str(each))


@asynccontextmanager
async def workshop(
    directory: Path, limits: BuildLimits, sandbox: ToolSandbox
) -> AsyncIterator[PackageWorkshop]:
    """A new folder below `directory`, gone when the context ends.

    Raises OSError, UpstreamUnreachable (tools cannot be kept apart here, and have to be).
    """
    unconfined = await sandbox.unconfined()
    async with build_folder(directory) as folder:
        # Unconfined they have no uid of their own: that could not get into the folder.
        with sandbox.own_uid() if not unconfined else nullcontext(0) as uid:
            if uid:
                os.chown(folder, uid, uid)
            yield PackageWorkshop(
                folder=folder, limits=limits, sandbox=sandbox, uid=uid, unconfined=unconfined
            )


@asynccontextmanager
async def build_folder(directory: Path) -> AsyncIterator[Path]:
    """A new folder of the gate's own, gone when the context ends. Raises OSError."""
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=directory, prefix="build-"))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(remove_tree, str(folder)))


def _entries_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All that lies below it, links not followed. Raises OSError for what cannot be listed."""
    todo = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as found:
                entries = list(found)
        except FileNotFoundError:
            continue  # a tool moved it meanwhile
        for each in entries:
            yield each
            if each.is_dir(follow_symlinks=False):
                todo.append(each.path)
