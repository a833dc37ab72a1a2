"""The tables of governance state: one for each field of `core.state.State`, of the same name.

Columns are the fields of the struct, of the same name and order. Times are BIGINT microseconds,
transports and tags JSON text. The ledger's tables stand in its own room; the migrations make both.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _truth(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _workspace() -> Column[str]:
    return Column("workspace", Text, ForeignKey("workspaces.id"), nullable=False)


def _of_workspace(column: str, table: str) -> ForeignKeyConstraint:
    """What a row points at stands in the row's own workspace."""
    return ForeignKeyConstraint(["workspace", column], [f"{table}.workspace", f"{table}.id"])


workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    _text("name"),
    _number("created_at"),
)

members = Table(
    "members",
    metadata,
    _text("id"),
    _workspace(),
    _text("email"),
    _text("display"),
    _text("role"),
    _text("status"),
    _number("generation"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("members_email", "workspace", "email"),
)

agents = Table(
    "agents",
    metadata,
    _text("id"),
    _workspace(),
    _text("name"),
    _text("owner"),
    _text("status"),
    _number("generation"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    _of_workspace("owner", "members"),
)

groups = Table(
    "groups",
    metadata,
    _text("id"),
    _workspace(),
    _text("name"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("groups_name", "workspace", "name", unique=True),
)

group_members = Table(
    "group_members",
    metadata,
    _text("workspace"),
    _text("group"),
    _text("principal"),
    PrimaryKeyConstraint("workspace", "group", "principal"),
    _of_workspace("group", "groups"),
)

credentials = Table(
    "credentials",
    metadata,
    _text("id"),
    _workspace(),
    _text("principal"),
    _text("kind"),
    _text("label"),
    Column("digest", Text, nullable=False, unique=True),
    _text("pepper"),
    _text("last4"),
    _number("generation"),
    _number("created_at"),
    _number("expires_at"),
    _number("revoked_at", null=True),
    _text("parent"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("credentials_principal", "workspace", "principal"),
)

servers = Table(
    "servers",
    metadata,
    _text("id"),
    _workspace(),
    _text("alias"),
    _text("transport"),
    _text("status"),
    _text("era"),
    _text("tags"),
    _text("withheld"),
    _number("revision"),
    _text("instructions"),
    _text("approved_instructions"),
    _text("timing"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    Index("servers_alias", "workspace", "alias", unique=True),
)

tools = Table(
    "tools",
    metadata,
    _text("workspace"),
    _text("server"),
    _text("name"),
    _text("definition"),
    _text("observed"),
    _text("approved"),
    _number("position"),
    _truth("read_only"),
    _truth("destructive"),
    _truth("open_world"),
    _truth("present"),
    _truth("reviewed"),
    _text("observed_use"),
    _text("approved_use"),
    _text("approved_definition"),
    _text("reviewed_use"),
    _truth("blocked"),
    PrimaryKeyConstraint("workspace", "server", "name"),
    _of_workspace("server", "servers"),
)

grants = Table(
    "grants",
    metadata,
    _text("id"),
    _workspace(),
    _text("grantee_kind"),
    _text("grantee"),
    _text("server"),
    _text("tool"),
    _text("level"),
    _number("expires_at", null=True),
    _text("ticket"),
    _text("created_by"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
    _of_workspace("server", "servers"),
)

guardrails = Table(
    "guardrails",
    metadata,
    _text("id"),
    _text("workspace"),  # empty = the whole organization, so no foreign key
    _text("name"),
    _text("text"),
    _text("written"),
    _text("digest"),
    _text("mode"),
    _text("created_by"),
    _number("created_at"),
    PrimaryKeyConstraint("workspace", "id"),
)

epoch = Table(
    "epoch",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _text("value"),
    CheckConstraint("id = 1", name="epoch_is_one_row"),
)
"""One row: the name of this history of the log. A restore from backup writes a new one."""

nodes = Table(
    "nodes",
    metadata,
    Column("node", Text, primary_key=True),
    _text("boot"),
    _number("applied"),
    _number("seen_at"),
    _number("lease_ms"),
    _number("cut_streams"),
    _number("cut_calls"),
)
"""What each node has acknowledged; `seen_at` is the database's own clock, microseconds."""
