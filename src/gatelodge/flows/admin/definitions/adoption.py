"""Secrets that were typed into the definitions of servers move into the vault.

Where a value is kept is no part of what was approved: the fingerprint of a transport leaves values
out (`proposals.fingerprint`), and the server is sent the very bytes that it was sent before. So its
revision, its digest and its approval stay, which no other change of a definition may do. That it
holds is checked in the transaction: the row is the one that was read, and the fingerprints agree.
"""

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.references import literal, reference
from gatelodge.core.catalog.server import HttpTransport, Server, StdioTransport, Transport
from gatelodge.core.errors import Broken, Conflict
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.vault.secret import VaultSecret
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.definitions.proposals import fingerprint
from gatelodge.flows.vault.values import ValuePlace, put_value
from gatelodge.ports.store import StoreTx
from gatelodge.ports.vault import SealedParts

_SECRET_WORD = re.compile(
    r"TOKEN|KEY|SECRET|PASS|PWD|AUTH|CREDENTIAL|COOKIE|DSN|PRIVATE|CONNECTION_STRING|SIGNATURE",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31} +)(\S+)")


class TypedSecret(Struct, frozen=True, kw_only=True):
    """A value in a definition: of which server, in which part (env, files, headers), by what name.

    `secret` is what it is called in the vault; `before` the word that stays in the definition.
    """

    server: Server
    part: str
    name: str
    secret: str
    before: str
    value: str

    def __repr__(self) -> str:
        """Without its value, wherever it is shown."""
        return f"TypedSecret({self.server.alias}, {self.part}, {self.name})"


def typed_secrets(tx: StoreTx, workspace: WorkspaceId, *, every: bool) -> list[TypedSecret]:
    """The values that stand in definitions and look secret by their name; `every` = all of them."""
    taken = {each.name for each in tx.find(VaultSecret, workspace=workspace)}
    found = []
    for server in tx.find(Server, workspace=workspace):
        for part, name, text in _typed_values(server.transport):
            if text and (every or _SECRET_WORD.search(name)):
                secret = _free_name(f"{server.alias}-{name}", taken)
                before, value = _without_scheme(part, text)
                found.append(
                    TypedSecret(
                        server=server,
                        part=part,
                        name=name,
                        secret=secret,
                        before=before,
                        value=value,
                    )
                )
    return found


def place_of_typed(typed: TypedSecret) -> ValuePlace:
    """Where its value belongs in the vault: a secret of its own, shared as the server is."""
    return ValuePlace(
        workspace=typed.server.workspace,
        name=typed.secret,
        mode="shared",
        holder="",
        version=1,
    )


def adopt_typed(act: GovernanceAct, sealed: list[tuple[TypedSecret, SealedParts]]) -> None:
    """Put sealed values into the vault, and references to them where they stood.

    Raises Conflict when a definition or a name is another one by now.
    """
    by_server: dict[str, list[TypedSecret]] = {}
    for typed, parts in sealed:
        here = typed.server.workspace
        if act.tx.find(VaultSecret, workspace=here, name=typed.secret):
            raise Conflict(f"there is a secret {typed.secret!r} by now", remedy="Try again.")
        put_value(act, place_of_typed(typed), parts, len(typed.value.encode()))
        by_server.setdefault(typed.server.id, []).append(typed)
    for moved in by_server.values():
        _replace_values(act, moved)


def _replace_values(act: GovernanceAct, moved: list[TypedSecret]) -> None:
    before = moved[0].server
    row = act.the(Server, workspace=before.workspace, id=before.id)
    if row.transport != before.transport:
        raise Conflict(f"{row.alias} was changed meanwhile", remedy="Try again.")
    transport = row.transport
    for each in moved:
        values = dict(getattr(transport, each.part))
        values[each.name] = f"{each.before}vault:{each.secret}"
        transport = replace(transport, **{each.part: values})
    if fingerprint(transport) != fingerprint(row.transport):
        raise Broken("a value that moves into the vault would change what was approved")
    # Neither revision nor status: nothing of what an admin was shown is another.
    act.tx.put(replace(row, transport=transport))
    act.record(
        "secret.adopted",
        row.workspace,
        server=row.id,
        names={each.name: each.secret for each in moved},
        transport_sha256=fingerprint(transport),
    )


def _typed_values(transport: Transport) -> Iterator[tuple[str, str, str]]:
    """Part, name and text of each value that is no reference."""
    if isinstance(transport, HttpTransport):
        parts: tuple[str, ...] = ("headers",)
    elif isinstance(transport, StdioTransport):
        parts = ("env",)
    else:
        parts = ("env", "files")
    for part in parts:
        for name, value in getattr(transport, part).items():
            if reference(value) is None:
                yield part, name, literal(value)


def _without_scheme(part: str, text: str) -> tuple[str, str]:
    """The word before a credential, which may stand before a reference, and the rest."""
    found = _SCHEME.fullmatch(text) if part == "headers" else None
    return (found[1], found[2]) if found else ("", text)


def _free_name(wanted: str, taken: set[str]) -> str:
    wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted)[:60]
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    taken.add(name)
    return name
