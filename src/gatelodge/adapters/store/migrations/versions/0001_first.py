"""The first schema: governance state, the Merkle logs, and the fence around what they wrote."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table, and name this history of the log."""
    _create_people_tables()
    _create_catalog_tables()
    _create_policy_tables()
    _create_epoch_and_nodes()
    _create_log_tables()
    _create_journal_tables()
    _create_append_only_triggers()


def _text_column(name: str, *, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null)


def _number_column(name: str, *, null: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=null)


def _boolean_column(name: str) -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean, nullable=False)


def _bytes_column(name: str, *, null: bool = False) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary, nullable=null)


def _workspace_column() -> "sa.Column[str]":
    return sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.id"), nullable=False)


def _of_workspace(column: str, table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["workspace", column], [f"{table}.workspace", f"{table}.id"])


def _create_people_tables() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
        _text_column("name"),
        _number_column("created_at"),
    )
    op.create_table(
        "members",
        _text_column("id"),
        _workspace_column(),
        *map(_text_column, ("email", "display", "role", "status")),
        *map(_number_column, ("generation", "created_at")),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("members_email", "members", ["workspace", "email"])
    op.create_table(
        "agents",
        _text_column("id"),
        _workspace_column(),
        *map(_text_column, ("name", "owner", "status")),
        *map(_number_column, ("generation", "created_at")),
        sa.PrimaryKeyConstraint("workspace", "id"),
        _of_workspace("owner", "members"),
    )
    op.create_table(
        "groups",
        _text_column("id"),
        _workspace_column(),
        _text_column("name"),
        _number_column("created_at"),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("groups_name", "groups", ["workspace", "name"], unique=True)
    op.create_table(
        "group_members",
        *map(_text_column, ("workspace", "group", "principal")),
        sa.PrimaryKeyConstraint("workspace", "group", "principal"),
        _of_workspace("group", "groups"),
    )
    op.create_table(
        "credentials",
        _text_column("id"),
        _workspace_column(),
        *map(_text_column, ("principal", "kind", "label")),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        *map(_text_column, ("pepper", "last4")),
        *map(_number_column, ("generation", "created_at", "expires_at")),
        _number_column("revoked_at", null=True),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("credentials_principal", "credentials", ["workspace", "principal"])


def _create_catalog_tables() -> None:
    op.create_table(
        "servers",
        _text_column("id"),
        _workspace_column(),
        *map(_text_column, ("alias", "transport", "status", "era", "tags")),
        _number_column("created_at"),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("servers_alias", "servers", ["workspace", "alias"], unique=True)
    op.create_table(
        "tools",
        *map(_text_column, ("workspace", "server", "name", "definition", "observed", "approved")),
        _number_column("position"),
        *map(_boolean_column, ("read_only", "destructive", "open_world", "present", "reviewed")),
        sa.PrimaryKeyConstraint("workspace", "server", "name"),
        _of_workspace("server", "servers"),
    )


def _create_policy_tables() -> None:
    op.create_table(
        "grants",
        _text_column("id"),
        _workspace_column(),
        *map(_text_column, ("grantee_kind", "grantee", "server", "tool", "level")),
        _number_column("expires_at", null=True),
        *map(_text_column, ("ticket", "created_by")),
        _number_column("created_at"),
        sa.PrimaryKeyConstraint("workspace", "id"),
        _of_workspace("server", "servers"),
    )
    op.create_table(
        "guardrails",
        *map(_text_column, ("id", "workspace", "name", "text", "digest", "mode", "created_by")),
        _number_column("created_at"),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )


def _create_epoch_and_nodes() -> None:
    epoch = op.create_table(
        "epoch",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        _text_column("value"),
        sa.CheckConstraint("id = 1", name="epoch_is_one_row"),
    )
    op.bulk_insert(epoch, [{"id": 1, "value": secrets.token_hex(16)}])
    op.create_table(
        "nodes",
        sa.Column("node", sa.Text, primary_key=True),
        _text_column("boot"),
        *map(_number_column, ("applied", "seen_at", "lease_ms", "cut_streams", "cut_calls")),
    )


def _create_log_tables() -> None:
    def of_log() -> "sa.Column[str]":
        return sa.Column("log", sa.Text, sa.ForeignKey("log.id"), nullable=False)

    op.create_table(
        "log",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False, unique=True),
        _text_column("kind"),
        _number_column("size"),
        _bytes_column("root"),
        _number_column("open_floor"),
    )
    op.create_table(
        "bundle",
        of_log(),
        *map(_number_column, ("n", "width")),
        *map(_text_column, ("first_at", "last_at")),
        *map(_bytes_column, ("entries", "openings")),
        sa.PrimaryKeyConstraint("log", "n"),
    )
    op.create_index("bundle_last_at", "bundle", ["log", "last_at"])
    op.create_table(
        "tile",
        of_log(),
        *map(_number_column, ("level", "n", "width")),
        _bytes_column("hashes"),
        sa.PrimaryKeyConstraint("log", "level", "n"),
    )
    op.create_table(
        "checkpoint",
        of_log(),
        _number_column("size"),
        _bytes_column("note"),
        sa.PrimaryKeyConstraint("log", "size"),
    )


def _create_journal_tables() -> None:
    op.create_table(
        "journal_mark",
        sa.Column("node", sa.Text, primary_key=True),
        *map(_number_column, ("segment", "offset")),
    )
    op.create_table(
        "pending",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(always=True),
            primary_key=True,
        ),
        *map(_text_column, ("node", "log")),
        *map(_bytes_column, ("body", "opening")),
    )
    op.create_table(
        "dek",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text_column, ("member", "period")),
        _bytes_column("wrapped", null=True),
        _number_column("destroyed_at", null=True),
    )
    op.create_index("dek_member_period", "dek", ["member", "period"])


_NEVER = "what a log has written never changes"
_GREW_ONLY = {
    "bundle": (
        "NEW.log <> OLD.log OR NEW.n <> OLD.n OR NEW.width < OLD.width"
        " OR {start}(NEW.entries, 1, length(OLD.entries)) <> OLD.entries"
        " OR (OLD.width = 256 AND NEW.entries <> OLD.entries)"
    ),
    "tile": (
        "NEW.log <> OLD.log OR NEW.level <> OLD.level OR NEW.n <> OLD.n OR NEW.width < OLD.width"
        " OR {start}(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes"
    ),
    "log": "NEW.id <> OLD.id OR NEW.origin <> OLD.origin OR NEW.size < OLD.size",
    "checkpoint": "true",
}


def _create_append_only_triggers() -> None:
    """Triggers that refuse to rewrite or delete what a log holds."""
    if op.get_bind().dialect.name == "sqlite":
        form = "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {fault} BEGIN {refuse}; END"
        refuse, start = f"SELECT RAISE(ABORT, '{_NEVER}')", "substr"
    else:
        op.execute(
            "CREATE FUNCTION written_stays() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{_NEVER}'; END $$"
        )
        form = (
            "CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW WHEN ({fault}) {refuse}"
        )
        refuse, start = "EXECUTE FUNCTION written_stays()", "substring"
    for table, fault in _GREW_ONLY.items():
        for event, when in (("UPDATE", fault.format(start=start)), ("DELETE", "true")):
            name = f"{table}_{'grows_only' if event == 'UPDATE' else 'stays'}"
            op.execute(form.format(name=name, event=event, table=table, fault=when, refuse=refuse))
