"""The tables of one noun in the file that `apply` reads and `export` writes.

A noun whose rows are kept in version control says in a `FileTable` what one of them may hold, what
an export writes, and which verbs make the rows as the file has them. Reading the file, its faults,
the plan, the export and the reference page follow from it. Pure: rows in, changes out.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant, WorkspaceId
from gatelodge.core.people import folded
from gatelodge.core.policy.naming import NamedEntities
from gatelodge.core.state import Row
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.nouns.noun import Noun

Entry = TypeVar("Entry", bound=Struct)
R = TypeVar("R", bound=Row)


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class NounChange(Struct, frozen=True, kw_only=True):
    """One verb of a noun that a file asks for: `member.role`, on the row `name`, with `given`.

    `line` is the same for people. A verb that makes a row names none.
    """

    verb: str
    name: str = ""
    given: dict[str, Any] = {}
    line: str

    def __str__(self) -> str:
        return self.line


class WorkspaceFile(Struct, frozen=True, kw_only=True):
    """The whole file: the slug of its workspace, and its entries by section."""

    workspace: str
    entries: dict[str, tuple[Any, ...]] = {}


class WorkspaceRows(Struct, frozen=True, kw_only=True):
    """The rows of one workspace, and the present time."""

    at: Instant
    rows: Mapping[type, tuple[Any, ...]]
    bearers: NamedEntities

    def of(self, kind: type[R]) -> tuple[R, ...]:
        """All rows of a kind, oldest first."""
        return self.rows.get(kind, ())


class FileNames:
    """What the file calls each row: `member:EMAIL`, `agent:NAME`, `group:NAME`, `server ALIAS`."""

    def __init__(self, tables: Iterable["FileTable[Any]"], rows: WorkspaceRows) -> None:
        self.by_id: dict[str, str] = {}
        """Of each row that has access, or could have it."""
        self.nameless: set[str] = set()
        """The ids of those that no export names, so that no file ends what is theirs."""
        for table in tables:
            self.by_id |= table.names(rows)
            self.nameless |= table.nameless(rows)

    def exported(self, ident: str) -> str:
        """The name of a row in an export; empty where it has none."""
        # An agent whose owner was revoked has a name, yet no file could say who answers for it.
        return "" if ident in self.nameless else self.by_id.get(ident, "")


class FilePlan:
    """What a table's plan is made of: the file, the rows, their names; `prune` ends what is beside.

    Pruned are grants, places in groups and guardrails that the file does not name.
    """

    def __init__(
        self,
        tables: Collection["FileTable[Any]"],
        file: WorkspaceFile,
        rows: WorkspaceRows,
        *,
        prune: bool,
    ) -> None:
        self._tables, self.file, self.rows, self.prune = tables, file, rows, prune
        self.names = FileNames(tables, rows)

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """What the file names that is not there, or not any more."""
        entries = [(table, each) for table in self._tables for each in table.entries_of(self.file)]
        known = {folded_reference(each) for each in self.names.by_id.values()} | {"everyone"}
        # What the file itself brings counts as there: the order of its tables in the text is free.
        known |= {folded_reference(table.reference(each)) for table, each in entries}
        named = {name for table, each in entries for name in table.named(each)}
        unknown = sorted(each for each in named if folded_reference(each) not in known)
        gone = (fault for table, each in entries for fault in table.gone(each, self.rows))
        return (*(f"there is no {each}" for each in unknown), *gone)

    def changes(self) -> Iterator[NounChange]:
        """The changes in the order in which they can be made. Raises Invalid."""
        # Before the first change, so that the answer names every unknown name and not the first.
        if self.faults:
            raise Invalid("; ".join(self.faults))
        for table in self._tables:
            yield from table.changes(self)
        for table in self._tables:
            # Whoever is suspended too early could not be given an agent any more.
            yield from table.late_changes(self)


class FileTable(ABC, Generic[Entry]):
    """The tables of a noun, `[[section]]`: one `entry` each."""

    noun: ClassVar[Noun[Any]]
    entry: type[Entry]
    reads: tuple[type[Row], ...] = ()
    """The rows that its plan and its export are made from."""

    @property
    def kind(self) -> str:
        """The first word of its changes' verbs."""
        return self.noun.name

    @property
    def section(self) -> str:
        """What its tables are called in the file."""
        return f"{self.kind}s"

    def entries_of(self, file: WorkspaceFile) -> tuple[Entry, ...]:
        """What the file has of it."""
        return file.entries.get(self.section, ())

    @abstractmethod
    def key(self, entry: Entry) -> str:
        """What must not stand twice."""

    def kept(self, entry: Entry) -> Entry:
        """The entry with its names as they are kept: a second time none differs. Raises Invalid."""
        return entry

    def reference(self, _entry: Entry) -> str:
        """What other tables call what it brings; empty where they do not."""
        return ""

    def named(self, _entry: Entry) -> Iterable[str]:
        """What it names of other tables, as `reference` has it."""
        return ()

    def gone(self, _entry: Entry, _rows: WorkspaceRows) -> Iterator[str]:
        """Why no file may bring it back, if it was there once."""
        yield from ()

    def names(self, _rows: WorkspaceRows) -> dict[str, str]:
        """What the file calls each of the rows, by id; what was revoked has no name."""
        return {}

    def nameless(self, _rows: WorkspaceRows) -> set[str]:
        """The ids of rows that an export leaves out, though they were not revoked."""
        return set()

    @abstractmethod
    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[Entry]:
        """What an export writes, in any order."""

    @abstractmethod
    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What makes the rows as the file has them; nothing when they are."""

    def late_changes(self, _plan: FilePlan) -> Iterator[NounChange]:
        """What can only be made once all else is."""
        yield from ()

    def change(self, verb: str, line: str, row: str = "", /, **given: Any) -> NounChange:
        """One verb of the noun: on the row of that name, or none where it makes one."""
        return NounChange(verb=f"{self.kind}.{verb}", name=row, given=given, line=line)

    def make(self, act: GovernanceAct, workspace: WorkspaceId, change: NounChange) -> None:
        """Make one change, by the verb that the noun declares. Raises what the verb raises."""
        name = change.verb.removeprefix(f"{self.kind}.")
        (verb,) = (each for each in self.noun.verbs if each.name == name)
        # A file says only what differs: the verb has to be given what its route would fill in.
        defaults = {each.name: each.default for each in verb.inputs if not each.needed}
        given = SimpleNamespace(**(defaults | change.given))
        # Found now and not by the plan: an earlier change may have written this row, and a verb
        # that began from the old one would undo that.
        about = workspace if verb.makes else self.noun.find(act.tx, workspace, change.name)
        verb.run(act, about, **verb.words(act.tx, workspace, given))

    def redacted(self, change: NounChange) -> NounChange:
        """The change as the outside sees it."""
        return change


def folded_reference(text: str) -> str:
    """A reference in the form in which it is compared."""
    kind, _, name = text.partition(":")
    return f"{kind}:{folded(name)}" if name else text
