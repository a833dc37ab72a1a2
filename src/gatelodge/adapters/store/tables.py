"""The tables of governance state: one for each field of `core.state.State`, of the same name.

Columns are the fields of the struct, of the same name and order. Times are BIGINT microseconds,
transports and tags JSON text. `epoch`, `nodes` and `ephemeral` are no part of that state. The
ledger's tables stand in its own room; the migrations make both.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()


def _text_column(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _number_column(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _boolean_column(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _workspace_column() -> Column[str]:
    return Column("workspace", Text, ForeignKey("workspaces.id"), nullable=False)


def _of_workspace(column: str, table: str) -> ForeignKeyConstraint:
    """What a row points at stands in the row's own workspace."""
    return ForeignKeyConstraint(["workspace", column], [f"{table}.workspace", f"{table}.id"])


workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    _text_column("name"),
    _number_column("created_at"),
)

members = Table(
    "members",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("email"),
    _text_column("display"),
    _text_column("role"),
    _text_column("status"),
    _number_column("generation"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("members_email", "workspace", "email"),
)

agents = Table(
    "agents",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("name"),
    _text_column("owner"),
    _text_column("status"),
    _number_column("generation"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    _of_workspace("owner", "members"),
)

groups = Table(
    "groups",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("name"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("groups_name", "workspace", "name", unique=True),
)

group_members = Table(
    "group_members",
    metadata,
    _text_column("workspace"),
    _text_column("group"),
    _text_column("principal"),
    PrimaryKeyConstraint("workspace", "group", "principal"),
    _of_workspace("group", "groups"),
)

credentials = Table(
    "credentials",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("principal"),
    _text_column("kind"),
    _text_column("label"),
    Column("digest", Text, nullable=False, unique=True),
    _text_column("pepper"),
    _text_column("last4"),
    _number_column("generation"),
    _number_column("created_at"),
    _number_column("expires_at"),
    _number_column("revoked_at", null=True),
    _text_column("parent"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("credentials_principal", "workspace", "principal"),
)

servers = Table(
    "servers",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("alias"),
    _text_column("transport"),
    _text_column("status"),
    _text_column("era"),
    _text_column("tags"),
    _text_column("hidden_capabilities"),
    _number_column("revision"),
    _text_column("instructions"),
    _text_column("approved_instructions"),
    _text_column("timing"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("servers_alias", "workspace", "alias", unique=True),
)

tools = Table(
    "tools",
    metadata,
    _text_column("workspace"),
    _text_column("server"),
    _text_column("name"),
    _text_column("definition"),
    _text_column("observed"),
    _text_column("approved"),
    _number_column("position"),
    _boolean_column("read_only"),
    _boolean_column("destructive"),
    _boolean_column("open_world"),
    _boolean_column("present"),
    _boolean_column("reviewed"),
    _text_column("observed_use"),
    _text_column("approved_use"),
    _text_column("approved_definition"),
    _text_column("reviewed_use"),
    _boolean_column("blocked"),
    PrimaryKeyConstraint("workspace", "server", "name"),
    _of_workspace("server", "servers"),
)

grants = Table(
    "grants",
    metadata,
    _text_column("id"),
    _workspace_column(),
    _text_column("grantee_kind"),
    _text_column("grantee"),
    _text_column("server"),
    _text_column("tool"),
    _text_column("level"),
    _number_column("expires_at", null=True),
    _text_column("ticket"),
    _text_column("created_by"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    _of_workspace("server", "servers"),
)

guardrails = Table(
    "guardrails",
    metadata,
    _text_column("id"),
    _text_column("workspace"),  # empty = the whole organization, so no foreign key
    _text_column("name"),
    _text_column("text"),
    _text_column("written"),
    _text_column("digest"),
    _text_column("mode"),
    _text_column("created_by"),
    _number_column("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
)

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
