"""Secrets in the file: that there is one and whose values it has, and never a value."""

from collections.abc import Iterator

from gatelodge.core.errors import Invalid
from gatelodge.core.vault.secret import SecretMode, VaultSecret
from gatelodge.flows.nouns.file_table import (
    FileEntry,
    FileNames,
    FilePlan,
    FileTable,
    NounChange,
    WorkspaceRows,
)
from gatelodge.flows.vault.secrets import secret


class WantedSecret(FileEntry, frozen=True, kw_only=True):
    """A secret by its name. Its values are set by `gatelodge secret set`, and stand in no file."""

    name: str
    mode: SecretMode = "shared"
    description: str = ""


class SecretTable(FileTable[WantedSecret]):
    """`[[secrets]]`. One that is there stays as it is, and none ends by a file."""

    noun, entry, reads = secret, WantedSecret, (VaultSecret,)

    def key(self, entry: WantedSecret) -> str:
        """The name."""
        return entry.name

    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[WantedSecret]:  # noqa: ARG002
        """Each, without any value."""
        for row in rows.of(VaultSecret):
            yield WantedSecret(name=row.name, mode=row.mode, description=row.description)

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is not there yet. Raises Invalid for one that has another mode."""
        known = {row.name: row for row in plan.rows.of(VaultSecret)}
        for each in self.entries_of(plan.file):
            row = known.get(each.name)
            if row is None:
                yield self.change(
                    "declare",
                    f"+ secret {each.name} ({each.mode})",
                    name=each.name,
                    mode=each.mode,
                    description=each.description,
                )
            elif row.mode != each.mode:
                raise Invalid(
                    f"the secret {each.name} has the mode {row.mode}, and keeps it for good",
                    remedy=f"Write mode = {row.mode!r}, or take another name.",
                )
