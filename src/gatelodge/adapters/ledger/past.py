"""Logs left behind: after a restore every log becomes one of the past, under another id."""

import secrets

from sqlalchemy import Connection, select, text

from gatelodge.adapters.ledger import logs, tables
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.core.errors import LogForked
from gatelodge.core.records.origin import belongs, is_past, past
from gatelodge.ports.journal import LedgerHead

_INDEX = ("index_open", "index_posting", "index_term", "index_log")
"""It follows from the logs under their old ids; the new house makes it anew."""


def leave_behind(connection: Connection, shard: int) -> None:
    """Every log becomes one of the past; nodes, journal and epoch begin anew."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    fences = connection.execute(text(query)).all()
    # The rows of a log bear its new id for a moment before the log itself does.
    connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    # The triggers refuse a new id. They go within the transaction: a crash brings them back.
    for name, _ in fences:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    present = [
        each
        for each in connection.execute(text("SELECT id FROM log")).scalars()
        if not is_past(each)
    ]
    for log in present:
        names = {"old": log, "new": past(log, shard)}
        for table, column in (("bundle", "log"), ("tile", "log"), ("checkpoint", "log")):
            change = f"UPDATE {table} SET {column} = :new WHERE {column} = :old"  # noqa: S608
            connection.execute(text(change), names)
        connection.execute(text("UPDATE log SET id = :new WHERE id = :old"), names)
    # They speak of the nodes and the journal of the house that the backup was made of.
    for table in ("nodes", "journal_mark", "journal_made", "pending", *_INDEX):
        connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    fresh = {"value": secrets.token_hex(16)}
    # Whoever followed the old history has to see that this is another one (decision 0007).
    connection.execute(text("UPDATE epoch SET value = :value"), fresh)
    for _, sql in fences:
        connection.exec_driver_sql(sql)


def past_heads(connection: Connection) -> list[LedgerHead]:
    """The heads of the logs that were left behind."""
    rows = connection.execute(select(tables.log)).all()
    return [logs.head_of(row) for row in rows if is_past(row.id) and row.size]


def check_sealed(connection: Connection, seal: HeadSeal) -> None:
    """Raise LogForked for a backup that no gate would start on: nothing is moved aside for it."""
    for head in logs.heads(connection, seal):
        if not head.sealed or not belongs(head.log, head.origin):
            raise LogForked(
                f"the last leaves of {head.log} in the backup were not appended by this gate",
                remedy="Take an older backup, and keep this one: somebody wrote into it, or into "
                "the database that it was made from.",
            )
