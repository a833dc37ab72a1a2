"""The tables of the Merkle logs, and the triggers that keep written leaves as they are.

A bundle holds 256 leaves as C2SP tlog-tiles packs them, so a leaf costs no row of its own; only the
last, partial bundle and tiles of a log are ever written again. The triggers are a fence against
accidents and casual edits. Proof against an editor who drops them is the tree, not the fence.
Hashes are 32 bytes each, end to end. Times `*_at` are RFC 3339 as in the leaves, others BIGINT
microseconds. `pending` is the journal of several nodes; a file journal leaves it empty.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()


def _text_column(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _number_column(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _bytes_column(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _of_log() -> Column[str]:
    return Column("log", Text, ForeignKey("log.id"), nullable=False)


log = Table(
    "log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("origin", Text, nullable=False, unique=True),
    _text_column("kind"),
    _number_column("size"),
    _bytes_column("root"),
    _number_column("open_floor"),
    Column("seal", LargeBinary, nullable=True),
)

bundle = Table(
    "bundle",
    metadata,
    _of_log(),
    _number_column("n"),
    _number_column("width"),
    _text_column("first_at"),
    _text_column("last_at"),
    _bytes_column("entries"),
    _bytes_column("openings"),
    PrimaryKeyConstraint("log", "n"),
    Index("bundle_last_at", "log", "last_at"),
)

tile = Table(
    "tile",
    metadata,
    _of_log(),
    _number_column("level"),
    _number_column("n"),
    _number_column("width"),
    _bytes_column("hashes"),
    PrimaryKeyConstraint("log", "level", "n"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _of_log(),
    _number_column("size"),
    _bytes_column("note"),
    PrimaryKeyConstraint("log", "size"),
)

journal_mark = Table(
    "journal_mark",
    metadata,
    Column("node", Text, primary_key=True),
    _number_column("segment"),
    Column("offset", BigInteger, nullable=False),
    _number_column("frame"),
)

journal_made = Table(
    "journal_made",
    metadata,
    Column("node", Text, primary_key=True),
    _number_column("first"),
    _number_column("newest"),
)

pending = Table(
    "pending",
    metadata,
    Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        Identity(always=True),
        primary_key=True,
    ),
    _text_column("node"),
    _text_column("log"),
    _bytes_column("body"),
    _bytes_column("opening"),
)

dek = Table(
    "dek",
    metadata,
    Column("id", Text, primary_key=True),
    _text_column("member"),
    _text_column("period"),
    Column("wrapped", LargeBinary, nullable=True),
    Column("destroyed_at", BigInteger, nullable=True),
    Index("dek_member_period", "member", "period"),
)

_SQLITE = [
    """CREATE TRIGGER bundle_grows_only BEFORE UPDATE ON bundle
    WHEN NEW.log <> OLD.log OR NEW.n <> OLD.n OR NEW.width < OLD.width
      OR substr(NEW.entries, 1, length(OLD.entries)) <> OLD.entries
      OR (OLD.width = 256 AND NEW.entries <> OLD.entries)
    BEGIN SELECT RAISE(ABORT, 'a written leaf never changes'); END""",
    """CREATE TRIGGER bundle_stays BEFORE DELETE ON bundle
    BEGIN SELECT RAISE(ABORT, 'a written leaf never goes'); END""",
    """CREATE TRIGGER tile_grows_only BEFORE UPDATE ON tile
    WHEN NEW.log <> OLD.log OR NEW.level <> OLD.level OR NEW.n <> OLD.n OR NEW.width < OLD.width
      OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes
    BEGIN SELECT RAISE(ABORT, 'a written hash never changes'); END""",
    """CREATE TRIGGER tile_stays BEFORE DELETE ON tile
    BEGIN SELECT RAISE(ABORT, 'a written hash never goes'); END""",
    """CREATE TRIGGER checkpoint_same BEFORE UPDATE ON checkpoint
    BEGIN SELECT RAISE(ABORT, 'a signed checkpoint never changes'); END""",
    """CREATE TRIGGER checkpoint_stays BEFORE DELETE ON checkpoint
    BEGIN SELECT RAISE(ABORT, 'a signed checkpoint never goes'); END""",
    """CREATE TRIGGER log_grows_only BEFORE UPDATE ON log
    WHEN NEW.id <> OLD.id OR NEW.origin <> OLD.origin OR NEW.size < OLD.size
    BEGIN SELECT RAISE(ABORT, 'a log only grows'); END""",
    """CREATE TRIGGER log_stays BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'a log only grows'); END""",
]

_POSTGRESQL = [
    """CREATE FUNCTION written_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'what a log has written never changes'; END $$""",
    """CREATE TRIGGER bundle_grows_only BEFORE UPDATE ON bundle FOR EACH ROW
    WHEN (NEW.log <> OLD.log OR NEW.n <> OLD.n OR NEW.width < OLD.width
      OR substring(NEW.entries FOR length(OLD.entries)) <> OLD.entries
      OR (OLD.width = 256 AND NEW.entries <> OLD.entries))
    EXECUTE FUNCTION written_stays()""",
    """CREATE TRIGGER tile_grows_only BEFORE UPDATE ON tile FOR EACH ROW
    WHEN (NEW.log <> OLD.log OR NEW.level <> OLD.level OR NEW.n <> OLD.n
      OR NEW.width < OLD.width
      OR substring(NEW.hashes FOR length(OLD.hashes)) <> OLD.hashes)
    EXECUTE FUNCTION written_stays()""",
    """CREATE TRIGGER log_grows_only BEFORE UPDATE ON log FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.origin <> OLD.origin OR NEW.size < OLD.size)
    EXECUTE FUNCTION written_stays()""",
    """CREATE TRIGGER checkpoint_same BEFORE UPDATE ON checkpoint FOR EACH ROW
    EXECUTE FUNCTION written_stays()""",
    *(
        f"CREATE TRIGGER {name}_stays BEFORE DELETE ON {name} FOR EACH ROW"
        " EXECUTE FUNCTION written_stays()"
        for name in ("log", "bundle", "tile", "checkpoint")
    ),
]

TRIGGERS: dict[str, list[str]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
"""The statements that make the triggers, by the name of the dialect."""


def create(connection: Connection) -> None:
    """Make every table and trigger of this room in an empty schema."""
    metadata.create_all(connection)
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
