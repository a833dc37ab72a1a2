"""Trust cards, and the evidence that each was made from (decision 0044)."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TEXTS = ("source", "image", "evidence", "method", "grade")


def upgrade() -> None:
    """Add both tables, empty."""
    op.create_table(
        "cards",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("tenths", "coverage")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("exposure", "headline", "status")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("until", "created_at")),
        sa.PrimaryKeyConstraint("workspace", "id"),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"]),
    )
    op.create_index("cards_image", "cards", ["workspace", "image"])
    op.create_table(
        "evidence",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
