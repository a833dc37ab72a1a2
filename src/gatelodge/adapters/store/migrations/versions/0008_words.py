"""The words of the records (decision 0021): who was revoked, which capabilities are hidden."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Rename the column and the status."""
    op.alter_column("servers", "withheld", new_column_name="hidden_capabilities")
    for table in ("members", "agents"):
        rows = sa.table(table, sa.column("status", sa.Text))
        op.execute(rows.update().where(rows.c.status == "left").values(status="revoked"))
