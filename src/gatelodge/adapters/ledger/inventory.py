"""Which journal segments were made, as the database states it."""

from sqlalchemy import bindparam, select, update

from gatelodge.adapters.ledger import tables
from gatelodge.adapters.ledger.ledger import Session
from gatelodge.ports.journal import SegmentRange

_made = tables.journal_made
_MINE = update(_made).where(_made.c.node == bindparam("journal"))
_STATED = select(_made.c.first, _made.c.newest).where(_made.c.node == bindparam("journal"))


class SqlInventory:
    """The port `Inventory`. A crash before `state` leaves a file that nothing was written to."""

    def __init__(self, write: Session, read: Session, *, journal: str = "file") -> None:
        self._write, self._read = write, read
        self._journal = journal

    def made(self) -> SegmentRange | None:
        """What was stated; None when nothing was."""
        with self._read() as connection:
            row = connection.execute(_STATED, {"journal": self._journal}).one_or_none()
        return None if row is None else SegmentRange(row.first, row.newest)

    def state(self, number: int) -> None:
        """A segment of this number was made and is about to be used."""
        stated = self.made()
        # A segment that is made ready once more, after a fault, was stated the first time.
        if stated is not None and number <= stated.newest:
            return
        with self._write() as connection:
            if stated is None:
                row = {"node": self._journal, "first": number, "newest": number}
                connection.execute(_made.insert(), row)
            else:
                connection.execute(_MINE, {"journal": self._journal, "newest": number})

    def rest(self, number: int) -> None:
        """Everything up to the end of this segment is in the log, and no more will come."""
        if self.made() is None:
            return
        with self._write() as connection:
            # An empty range: the next start wants none of the files up to there.
            nothing = {"journal": self._journal, "first": number + 1, "newest": number}
            connection.execute(_MINE, nothing)
