"""How a house that was made beside becomes that of a data directory, also after a crash.

What a crash on each line leaves behind:

    the making     `demo-begun`, which the next start removes: there is no house yet
    rename         `demo-made`: the next start goes on with the moves, with `--demo` or without
    moves          the same; a move that was made is not made again, and the database is the last
"""

import shutil
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Invalid

_BEGUN: Final = "demo-begun"
_MADE: Final = "demo-made"
_DATABASE: Final = "gatelodge.db"
_PASSING: Final = frozenset({"lock", "run", "reserve"})
"""What a node makes anew at each start, and may stand there already."""


def must_be_allowed(settings: Settings) -> None:
    """Return when a demo may be set up here. Raises Invalid."""
    if settings.hosting.production:
        raise Invalid(
            "a gate in production (hosting.production) has no demo",
            remedy="Leave --demo out, or try it in another data directory.",
        )


def is_new(settings: Settings) -> bool:
    """Say whether no gate was ever started here, on SQLite: elsewhere others may look on."""
    directory = Path(settings.data_dir)
    return not settings.store.url and not any(
        (directory / each).exists() for each in (_DATABASE, "keys")
    )


def is_unfinished(settings: Settings) -> bool:
    """Say whether a start was killed while it made a history here."""
    directory = Path(settings.data_dir)
    return (directory / _BEGUN).exists() or (directory / _MADE).exists()


def locked(settings: Settings) -> DirectoryLock:
    """The lock of the data directory, made where it is not there. Raises Conflict, Invalid."""
    return DirectoryLock(Path(settings.data_dir))


def tidy(settings: Settings) -> None:
    """Remove what a start left that was killed while it made one; move in one that was made."""
    directory = Path(settings.data_dir)
    begun = directory / _BEGUN
    if begun.exists():
        shutil.rmtree(begun)
    if (directory / _MADE).exists():
        _move(directory / _MADE, directory)


def beside(settings: Settings) -> Settings:
    """The settings of a house that is made there first."""
    return replace(settings, data_dir=str(Path(settings.data_dir).absolute() / _BEGUN))


def move_in(settings: Settings) -> None:
    """What was made is whole: it becomes the house of this directory."""
    directory = Path(settings.data_dir)
    made = (directory / _BEGUN).rename(directory / _MADE)
    _move(made, directory)


def _move(made: Path, directory: Path) -> None:
    # Until the database is there, no start takes the directory for a house that lost something.
    for each in sorted(made.iterdir(), key=lambda path: path.name == _DATABASE):
        if each.name not in _PASSING:
            each.rename(directory / each.name)
    shutil.rmtree(made)
