"""The files of a fleet: looked for by their known names only, within bounds, each read once.

What is collected from laptops is nobody's to trust: no link is followed out of the folder, nothing
but a plain file is opened, and how much is looked at does not grow with what lies there.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from gatelodge.cli.fleet.known_files import HOME_FILES, PROJECT_FILES, KnownFile, known_file
from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.documents import LARGEST_FILE

MOST_OWNERS: Final = 10_000
MOST_DEPTH: Final = 4
MOST_LOOKS: Final = 20_000
"""Names below one owner's folder that are looked at, while projects are looked for."""
MOST_LOOKS_IN_ALL: Final = 1_000_000
_PASSED_BY: Final = frozenset((
    "node_modules", "venv", "site-packages", "__pycache__", "Library", "AppData", "target", "dist",
    "build", "vendor", "Applications", "Pictures", "Music", "Movies", "Videos",
))  # fmt: skip
_FIRST: Final = {each.path.partition("/")[0] for each in PROJECT_FILES}
_OPENED: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW


class FleetFile(Struct, frozen=True, kw_only=True):
    """A file to read: whose, of which client, where, and as it is told (relative to its folder)."""

    owner: str
    known: KnownFile
    path: Path
    root: Path
    told: str


class SkippedFile(Struct, frozen=True, kw_only=True):
    """What was not looked at, and why."""

    file: str
    reason: str


class FleetSearch:
    """Looks for the files of a fleet; `skipped` grows with what was not looked at."""

    def __init__(self, *, client: str = "", owner: str = "") -> None:
        self.skipped: list[SkippedFile] = []
        self._client = client
        self._owner = owner
        self._left = MOST_LOOKS_IN_ALL
        self._seen: set[Path] = set()

    def files_of(self, path: Path) -> Iterator[FleetFile]:
        """Every file below what somebody named. Raises Invalid where nothing is."""
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no path"
            raise Invalid(f"{path} cannot be read ({why})") from None
        root = Path(os.path.realpath(path))
        if not stat.S_ISDIR(mode):
            owner = self._owner or _folder_above(path)
            known = known_file(str(path.absolute()))
            yield from self._one(owner, known, root, root.parent, path.name)
            return
        if self._owner or _is_home(root):
            yield from self._home(self._owner or root.name, root)
            return
        folders = self._folders(root)
        for folder in folders:
            yield from self._home(folder.name, folder)
        yield from self._here(root.name, root, "", PROJECT_FILES)

    def _folders(self, root: Path) -> list[Path]:
        names = [each for each in self._scanned(root, MOST_OWNERS * 4) if _is_folder(each)]
        if len(names) > MOST_OWNERS:
            reason = f"only the first {MOST_OWNERS} folders are looked through"
            self.skipped.append(SkippedFile(file=str(root), reason=reason))
        return [Path(each.path) for each in names[:MOST_OWNERS] if each.name not in _FIRST]

    def _home(self, owner: str, root: Path) -> Iterator[FleetFile]:
        yield from self._here(owner, root, "", HOME_FILES)
        looks, open_folders = MOST_LOOKS, deque([(root, "", 0)])
        while open_folders:
            folder, told, depth = open_folders.popleft()
            found = self._scanned(folder, looks + 1)
            looks -= len(found)
            if looks < 0 or self._left < 0:
                reason = f"more than {MOST_LOOKS} names: its projects are not all looked for"
                self.skipped.append(SkippedFile(file=f"{owner}/{told}", reason=reason))
                found = found[:MOST_LOOKS]
            names = {each.name for each in found}
            if names & _FIRST:
                yield from self._here(owner, folder, told, PROJECT_FILES)
            if looks < 0 or self._left < 0:
                return
            if depth < MOST_DEPTH:
                open_folders += [
                    (Path(each.path), f"{told}{each.name}/", depth + 1)
                    for each in found
                    if _may_hold_projects(each)
                ]

    def _here(
        self, owner: str, folder: Path, told: str, known: Iterable[KnownFile]
    ) -> Iterator[FleetFile]:
        root = folder if not told else Path(os.path.realpath(folder))
        for each in known:
            path = folder / each.path
            try:
                path.lstat()
            except (OSError, ValueError):
                continue
            yield from self._one(owner, each, path, root, told + each.path)

    def _one(
        self, owner: str, known: KnownFile, path: Path, root: Path, told: str
    ) -> Iterator[FleetFile]:
        if self._client and known.client != self._client:
            return
        real = Path(os.path.realpath(path))
        # By its own name too: what is refused is told once, and hides no file of somebody else.
        if real in self._seen or path in self._seen:
            return
        self._seen.add(path)
        if not real.is_relative_to(root):
            reason = "a link out of the folder is not followed"
            self.skipped.append(SkippedFile(file=f"{owner}/{told}", reason=reason))
            return
        self._seen.add(real)
        yield FleetFile(owner=owner, known=known, path=real, root=root, told=told)

    def _scanned(self, folder: Path, most: int) -> list[os.DirEntry[str]]:
        """The names of a folder in order, at most so many; none of one that cannot be read."""
        found = list[os.DirEntry[str]]()
        try:
            with os.scandir(folder) as entries:
                for each in entries:
                    found.append(each)
                    if len(found) >= most:
                        break
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            self.skipped.append(SkippedFile(file=str(folder), reason=reason))
        self._left -= len(found)
        return sorted(found, key=lambda each: each.name)


def read_octets(file: FleetFile) -> bytes:
    """What a file holds. Raises Invalid for what is no plain file, too large or unreadable."""
    try:
        # A pipe is not even opened: whoever writes into it would be woken.
        if not stat.S_ISREG(file.path.lstat().st_mode):
            raise Invalid("is no plain file")
        # Not to wait for what may stand there by now, and no link that came meanwhile.
        opened = os.open(file.path, _OPENED)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise Invalid("is no plain file")
            if found.st_size > LARGEST_FILE:
                raise Invalid(f"is larger than {LARGEST_FILE >> 20} MiB")
            return _read_bounded(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise Invalid(f"cannot be read ({error.strerror})") from None


def _read_bounded(opened: int) -> bytes:
    parts, left = list[bytes](), LARGEST_FILE + 1
    while left > 0 and (part := os.read(opened, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _is_home(folder: Path) -> bool:
    return any((folder / each.path).is_file() for each in (*HOME_FILES, *PROJECT_FILES))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _may_hold_projects(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".")
    return not hidden and entry.name not in _PASSED_BY and _is_folder(entry)


def _folder_above(path: Path) -> str:
    """Whose a named file is, by the folder in which its known path begins."""
    whole = Path(os.path.realpath(path.parent)) / path.name
    known = known_file(str(whole))
    above = whole.parents[known.path.count("/")] if known.client else whole.parent
    return above.name or "-"
