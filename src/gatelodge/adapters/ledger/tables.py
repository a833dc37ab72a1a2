"""The tables of the Merkle logs; migration 0001 adds the triggers that keep written leaves.

A bundle holds 256 leaves as C2SP tlog-tiles packs them, so a leaf costs no row of its own; only the
last, partial bundle and tiles of a log are ever written again. The triggers are a fence against
accidents and casual edits. Proof against an editor who drops them is the tree, not the fence.
Hashes are 32 bytes each, end to end. Times `*_at` are RFC 3339 as in the leaves, others BIGINT
microseconds. `pending` is the journal of several nodes; a file journal leaves it empty.
"""

from sqlalchemy import (
    BigInteger,
    Column,
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
