"""Secrets of a workspace and their sealed values (decision 0036)."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXTS = ("root", "wrapped", "sealed")


def upgrade() -> None:
    """Add both tables; a value goes before its secret does."""
    op.create_table(
        "secrets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "mode", "description")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"]),
    )
    op.create_index("secrets_name", "secrets", ["workspace", "name"], unique=True)
    op.create_table(
        "secret_values",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("workspace", "secret", "holder")),
        sa.Column("version", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "secret", "holder"),
        sa.ForeignKeyConstraint(["workspace", "secret"], ["secrets.workspace", "secrets.id"]),
    )
