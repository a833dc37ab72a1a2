"""Short-lived entries that no log keeps (decision 0023)."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the table; on PostgreSQL neither its WAL, nor its replicas, nor a restore holds a row."""
    op.create_table(
        "ephemeral",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest"),
    )
    op.create_index("ephemeral_principal", "ephemeral", ["principal"])
    op.create_index("ephemeral_made", "ephemeral", ["made_at"])
    op.create_index("ephemeral_expiry", "ephemeral", ["expires_at"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE ephemeral SET UNLOGGED")
