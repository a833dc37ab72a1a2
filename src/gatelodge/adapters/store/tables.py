"""The tables of governance state: one for each field of `core.state.State`, of the same name.

Their columns follow from the fields of the structs, so a new field costs its line there and a
migration; what a struct cannot say, keys, indexes and where a row points, stands here. Times are
BIGINT microseconds, and what is neither text, number nor truth value is kept as JSON text.
`epoch`, `nodes`, `ephemeral` and `jobs` are no part of that state. The ledger's tables stand in its
own room; the migrations make both.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import inspect
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.state import Row
from gatelodge.core.trust.card import TrustCard
from gatelodge.core.vault.secret import SealedValue, VaultSecret

metadata = MetaData()

_TYPES: dict[type[inspect.Type], type[Any]] = {
    inspect.StrType: Text,
    inspect.LiteralType: Text,
    inspect.IntType: BigInteger,
    inspect.BoolType: Boolean,
}


def _kinds_of(field: inspect.Field) -> set[type[inspect.Type]]:
    found = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    return {type(each) for each in found}


def _fields_of(noun: type[Row]) -> tuple[inspect.Field, ...]:
    found = inspect.type_info(noun)
    assert isinstance(found, inspect.StructType)
    return found.fields


def kept_as_json(noun: type[Row]) -> frozenset[str]:
    """The columns that hold their field as JSON text."""
    return frozenset(
        each.name for each in _fields_of(noun) if not _kinds_of(each) <= {*_TYPES, inspect.NoneType}
    )


def _columns_of_noun(noun: type[Row]) -> Iterable[Column[Any]]:
    for each in _fields_of(noun):
        kinds = _kinds_of(each)
        # A field of two forms would find no column that sorts and compares it as the struct does.
        (form,) = {_TYPES.get(kind, Text) for kind in kinds - {inspect.NoneType}}
        yield Column(each.name, form, nullable=inspect.NoneType in kinds)


def _declare_table(name: str, noun: type[Row], *rules: SchemaItem) -> Table:
    return Table(name, metadata, *_columns_of_noun(noun), *rules)


def _owned_table(name: str, noun: type[Row], *rules: SchemaItem) -> Table:
    """A table whose rows stand in a workspace and are known there by their id."""
    key = PrimaryKeyConstraint("workspace", "id")
    return _declare_table(
        name, noun, key, ForeignKeyConstraint(["workspace"], ["workspaces.id"]), *rules
    )


def _of_workspace(column: str, table: str) -> ForeignKeyConstraint:
    """What a row points at stands in the row's own workspace."""
    return ForeignKeyConstraint(["workspace", column], [f"{table}.workspace", f"{table}.id"])


def _text_column(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _number_column(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


_declare_table("workspaces", Workspace, PrimaryKeyConstraint("id"), UniqueConstraint("slug"))
_owned_table("members", Member, Index("members_email", "workspace", "email"))
_owned_table("agents", Agent, _of_workspace("owner", "members"))
_owned_table("groups", Group, Index("groups_name", "workspace", "name", unique=True))
_declare_table(
    "group_members",
    GroupMember,
    PrimaryKeyConstraint("workspace", "group", "principal"),
    _of_workspace("group", "groups"),
)
_owned_table(
    "credentials",
    Credential,
    UniqueConstraint("digest"),
    Index("credentials_principal", "workspace", "principal"),
)
_owned_table("servers", Server, Index("servers_alias", "workspace", "alias", unique=True))
_declare_table(
    "tools",
    Tool,
    PrimaryKeyConstraint("workspace", "server", "name"),
    _of_workspace("server", "servers"),
)
_owned_table("grants", Grant, _of_workspace("server", "servers"))
# The workspace of a guardrail is empty for the whole organization, so it is no foreign key.
_declare_table("guardrails", Guardrail, PrimaryKeyConstraint("workspace", "id"))
_owned_table("secrets", VaultSecret, Index("secrets_name", "workspace", "name", unique=True))
_declare_table(
    "secret_values",
    SealedValue,
    PrimaryKeyConstraint("workspace", "secret", "holder"),
    _of_workspace("secret", "secrets"),
)
_owned_table("cards", TrustCard, Index("cards_image", "workspace", "image"))

evidence = Table(
    "evidence",
    metadata,
    Column("digest", Text, primary_key=True),
    _text_column("body"),
)
"""Evidence of cards under its SHA-256: written once, never changed, no part of that state."""

epoch = Table(
    "epoch",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _text_column("value"),
    CheckConstraint("id = 1", name="epoch_is_one_row"),
)
"""One row: the name of this history of the log. A restore from backup writes a new one."""

nodes = Table(
    "nodes",
    metadata,
    Column("node", Text, primary_key=True),
    _text_column("boot"),
    _number_column("applied"),
    _number_column("seen_at"),
    _number_column("lease_ms"),
    _number_column("cut_streams"),
    _number_column("cut_calls"),
)
"""What each node has acknowledged; `seen_at` is the database's own clock, microseconds."""

ephemeral = Table(
    "ephemeral",
    metadata,
    _text_column("kind"),
    _text_column("digest"),
    _text_column("principal"),
    _number_column("made_at"),
    _number_column("expires_at"),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("kind", "digest"),
    Index("ephemeral_principal", "principal"),
    Index("ephemeral_made", "made_at"),
    Index("ephemeral_expiry", "expires_at"),
)
"""Short-lived entries; unlogged on PostgreSQL. Times are by the database's own clock."""

_ACTIVE = text("ended_at = 0")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    _text_column("kind"),
    _text_column("workspace"),
    _text_column("started_by"),
    _text_column("state"),
    _text_column("node"),
    _number_column("attempts"),
    _text_column("stage"),
    _number_column("done"),
    _number_column("total"),
    _number_column("asked_at"),
    _number_column("begun_at"),
    _number_column("ended_at"),
    _text_column("content"),
    Index(
        "jobs_active",
        "kind",
        "workspace",
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    ),
)
"""Work longer than a request; `content` is sealed. Times are by the database's own clock."""
