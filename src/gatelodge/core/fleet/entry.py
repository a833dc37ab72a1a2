"""One server as one client's file names it, with no secret in it: what all else here works on."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from gatelodge.core.fleet.launcher import LaunchedCommand
from gatelodge.core.fleet.looks import AskedValue

SecretPlace = Literal["env", "header", "argument", "url"]

Seal = Callable[[str], str]
"""Makes a mark of a secret: the same for the same value within one run, and of no use after it."""


class FoundSecret(Struct, frozen=True, kw_only=True):
    """A literal that looks like a key: where it stood, what it is called there, how long it is.

    `sure` when its name or its form is that of a key; else it is only not known to be none.
    `mark` tells equal values apart from others, within one run only. `before` is the word in front
    of it, which is none (`Bearer `). Nothing here holds the value.
    """

    place: SecretPlace
    name: str
    length: int
    mark: str
    before: str = ""
    sure: bool = True

    def __str__(self) -> str:
        return f"{self.name or self.place} ({self.length} characters)"


EntryValue = str | FoundSecret | AskedValue
"""A value of a variable or a header."""


class EntryPlace(Struct, frozen=True, kw_only=True, order=True):
    """Where an entry stands: whose folder, which client, which file, which project of it, its name.

    `file` is relative to the folder that was looked through.
    """

    owner: str
    client: str
    file: str
    project: str = ""
    name: str

    def __str__(self) -> str:
        inside = f" ({self.project})" if self.project else ""
        return f"{self.owner}: {self.file}{inside}: {self.name}"


class ToolFilter(Struct, frozen=True):
    """Which tools a client lets through: `only` these (None = all), but `never` those."""

    only: tuple[str, ...] | None = None
    never: tuple[str, ...] = ()


class FleetEntry(Struct, frozen=True, kw_only=True):
    """One server of one file. `fault` says why it could not be read; "" when it could.

    `launched` says what it starts or where it leads; its words, and `url`, hold stars where
    `misplaced` secrets stood: words that everybody can see. `env` and `headers` are by name.
    """

    place: EntryPlace
    launched: LaunchedCommand = LaunchedCommand(kind="program")
    env: dict[str, EntryValue] = {}
    headers: dict[str, EntryValue] = {}
    misplaced: tuple[FoundSecret, ...] = ()
    cwd: str = ""
    off: bool = False
    tools: ToolFilter = ToolFilter()
    fault: str = ""

    @property
    def secrets(self) -> tuple[FoundSecret, ...]:
        """Each literal that looks like a key."""
        values = (*self.env.values(), *self.headers.values())
        return (*(v for v in values if isinstance(v, FoundSecret)), *self.misplaced)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a placeholder asks for, sorted."""
        values = (*self.env.values(), *self.headers.values())
        return tuple(sorted({v.name for v in values if isinstance(v, AskedValue)}))
