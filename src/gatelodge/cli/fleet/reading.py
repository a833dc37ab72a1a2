"""Files of a fleet read into entries; the one place that has a secret in its hands, and lets go.

A secret leaves as a mark: a keyed digest under a key of this run, which is kept nowhere. Only where
the values are to be put into the vault are they kept, in memory, until the command ends.
"""

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.keys.system import SystemIds
from gatelodge.cli.fleet.finding import FleetFile, FleetSearch, SkippedFile, read_octets
from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.documents import read_document
from gatelodge.core.fleet.entry import EntryPlace, FleetEntry
from gatelodge.core.fleet.normalise import normalised, safe_name
from gatelodge.core.fleet.places import MOST_ENTRIES, said_entries

MOST_ENTRIES_IN_ALL = 100_000


class SecretMarks:
    """Marks of secrets; with `kept` their values too, by mark. Nothing of it is ever shown."""

    def __init__(self, *, kept: bool = False) -> None:
        self._key = SystemIds().random(32)
        self._values: dict[str, str] | None = {} if kept else None

    def seal(self, value: str) -> str:
        """The mark of a value: equal for equal ones, within this run."""
        mark = hmac.new(self._key, value.encode("utf-8", "replace"), sha256).hexdigest()[:24]
        if self._values is not None:
            self._values[mark] = value
        return mark

    def value(self, mark: str) -> str:
        """The value of a mark; "" where values are not kept."""
        return (self._values or {}).get(mark, "")

    def __repr__(self) -> str:
        return "SecretMarks()"


class ReadFleet(Struct, frozen=True, kw_only=True):
    """All that was read: entries in the order of their places, files, and what was passed by."""

    entries: tuple[FleetEntry, ...]
    files: int
    owners: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def read_fleet(paths: Sequence[Path], search: FleetSearch, marks: SecretMarks) -> ReadFleet:
    """Every entry of every file below these paths. Raises Invalid for a path that is not there."""
    entries, files, owners = list[FleetEntry](), 0, set[str]()
    for path in paths:
        for file in search.files_of(path):
            try:
                entries += _entries_of(file, marks, search)
            except Invalid as fault:
                told = f"{file.owner}/{file.told}"
                search.skipped.append(SkippedFile(file=told, reason=fault.detail))
                continue
            files += 1
            owners.add(file.owner)
            if len(entries) > MOST_ENTRIES_IN_ALL:
                raise Invalid(
                    f"more than {MOST_ENTRIES_IN_ALL} servers are named there",
                    remedy="Import a part of the folders at a time.",
                )
    return ReadFleet(
        entries=tuple(sorted(entries, key=lambda each: each.place)),
        files=files,
        owners=tuple(sorted(owners)),
        skipped=tuple(search.skipped),
    )


def _entries_of(file: FleetFile, marks: SecretMarks, search: FleetSearch) -> Iterable[FleetEntry]:
    document = read_document(read_octets(file), file.known.form)
    said = said_entries(document, file.known.client)
    if len(said) > MOST_ENTRIES:
        reason = f"names more than {MOST_ENTRIES} servers; the rest is not read"
        search.skipped.append(SkippedFile(file=f"{file.owner}/{file.told}", reason=reason))
        said = said[:MOST_ENTRIES]
    found = list[FleetEntry]()
    for each in said:
        place = EntryPlace(
            owner=safe_name(file.owner),
            client=file.known.client,
            file=safe_name(file.told),
            project=each.project,
            name=each.name,
        )
        found.append(normalised(place, each, marks.seal))
    return found
