"""What was approved is kept whole: definitions of tools, instructions of servers.

Of a tool that is pinned now the definition is at hand. Of one that has drifted only the digest is
known, as it always was. No instructions were ever approved, so none are told until they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TEXTS = {
    "tools": ("observed_use", "approved_use", "approved_definition", "reviewed_use"),
    "servers": ("instructions", "approved_instructions"),
}


def upgrade() -> None:
    """Add the columns, and fill in what is known."""
    for table, names in _TEXTS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Text, nullable=False, server_default=""))
    revision_ = sa.Column("revision", sa.BigInteger, nullable=False, server_default="1")
    op.add_column("servers", revision_)
    blocked = sa.Column("blocked", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("tools", blocked)
    op.execute(
        "UPDATE tools SET approved_definition = definition"
        " WHERE approved <> '' AND approved = observed"
    )
