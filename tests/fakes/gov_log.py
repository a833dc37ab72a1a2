"""The smallest gov log that a governance transaction can append to: one table, no tree."""

from sqlalchemy import text

from gatelodge.adapters.store.store import GovLog


def open_tiny_log(database) -> GovLog:
    """Make its tables in the database; leaves live and die with the transaction that wrote them."""
    blob = "BYTEA" if database.dialect == "postgresql" else "BLOB"
    with database.write() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS log (id TEXT PRIMARY KEY, size INT)"))
        connection.execute(
            text(f"CREATE TABLE IF NOT EXISTS tiny_leaf (idx BIGINT PRIMARY KEY, body {blob})")
        )
        connection.execute(text("INSERT INTO log VALUES ('gov', 0) ON CONFLICT DO NOTHING"))
    return GovLog(append=_append, read=_read, head=_head)


def _head(connection) -> int:
    return connection.execute(text("SELECT size FROM log WHERE id = 'gov'")).scalar_one()


def _append(connection, bodies) -> int:
    size = _head(connection)
    for index, body in enumerate(bodies, size):
        connection.execute(
            text("INSERT INTO tiny_leaf VALUES (:index, :body)"), {"index": index, "body": body}
        )
    size += len(bodies)
    connection.execute(text("UPDATE log SET size = :size WHERE id = 'gov'"), {"size": size})
    return size


def _read(connection, start, stop) -> list[bytes]:
    rows = connection.execute(
        text("SELECT body FROM tiny_leaf WHERE idx >= :start AND idx < :stop ORDER BY idx"),
        {"start": start, "stop": stop},
    )
    return [bytes(row[0]) for row in rows]
