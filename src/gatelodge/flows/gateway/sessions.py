"""What a node remembers of legacy sessions: that one ended, its log level, what it waits for.

Sessions are sealed ids, so nothing has to be kept for most. This memory is of one node: on another
node an ended id is still readable by its own principal and opens nothing that the token does not
open as well, and a level or subscription has to be asked for again. It is bounded for each person,
so that nobody's sessions push out another's; agents count for whoever answers for them.
"""

from collections import OrderedDict

from msgspec import Struct, field

from gatelodge.core.ids import Instant
from gatelodge.flows.gateway.streams import ListenStream
from gatelodge.flows.gateway.subscriptions import Uris

LIFE_MICROSECONDS = 24 * 3600 * 1_000_000
"""How long a session lasts."""
MOST_KEPT = 1_000
"""Sessions of one person that are remembered."""
UNHEARD = 32
"""Sessions of one person that wait for resources and have no stream to hear by."""


class KeptSession(Struct, eq=False):
    """One session: `level` of its log messages, `uris` that it waits for, its open `streams`."""

    ends_at: Instant
    ended: bool = False
    level: str = ""
    uris: Uris = frozenset()
    streams: list[ListenStream] = []


class _Person(Struct, eq=False):
    """The sessions of one person by nonce, oldest first; `waiting` are those that wait.

    `over` is the latest end of an ended session that was forgotten: whatever ends no later was
    begun no later, and counts as ended too, so that none of those lives again.
    """

    kept: OrderedDict[bytes, KeptSession] = field(default_factory=OrderedDict)
    waiting: dict[KeptSession, None] = {}
    over: int = 0

    def make_room(self, now: Instant) -> None:
        """Forget what is over, and the oldest when there are too many."""
        while self.kept:
            nonce, oldest = next(iter(self.kept.items()))
            if oldest.ends_at > now and len(self.kept) < MOST_KEPT:
                break
            del self.kept[nonce]
            self.wait_no_more(oldest)
            if oldest.ended:
                self.over = max(self.over, oldest.ends_at)

    def wait_no_more(self, kept: KeptSession) -> None:
        """Let a session wait for nothing."""
        kept.uris = frozenset()
        self.waiting.pop(kept, None)


class SessionTable:
    """The sessions of every person. Owned by the event loop."""

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}

    def of(self, nonce: bytes, ends_at: int, now: Instant, person: str = "") -> KeptSession:
        """What is kept of this session, to be changed; made when there is nothing yet."""
        mine = self._people.setdefault(person, _Person())
        found = mine.kept.get(nonce)
        if found is None:
            mine.make_room(now)
            found = mine.kept[nonce] = KeptSession(Instant(ends_at))
        return found

    def level(self, nonce: bytes, person: str = "") -> str:
        """The level that the client set, empty when it set none."""
        mine = self._people.get(person)
        # `of` is not asked: it makes an entry, and may forget another session for it.
        found = None if mine is None else mine.kept.get(nonce)
        return "" if found is None else found.level

    def wait_for(self, person: str, kept: KeptSession, uris: Uris) -> None:
        """Let a session of this person wait for exactly these from now on.

        A client that begins anew again and again leaves sessions that nobody hears: of those the
        ones that were asked first are let go.
        """
        mine = self._people.setdefault(person, _Person())
        mine.wait_no_more(kept)
        kept.uris = uris
        if uris:
            mine.waiting[kept] = None
        unheard = [each for each in mine.waiting if not each.streams]
        for each in unheard[:-UNHEARD]:
            mine.wait_no_more(each)

    def waited_for(self, person: str) -> int:
        """How many resources this person's sessions wait for."""
        mine = self._people.get(person)
        return 0 if mine is None else sum(len(each.uris) for each in mine.waiting)

    def end(self, nonce: bytes, ends_at: int, now: Instant, person: str = "") -> None:
        """Remember that this session is over."""
        # An entry is made even where nothing was kept: the sealed id stays readable until it runs
        # out, and on this node nothing but the entry says that the session ended.
        kept = self.of(nonce, ends_at, now, person)
        kept.ended = True
        self._people[person].wait_no_more(kept)

    def ended(self, nonce: bytes, ends_at: int = 0, person: str = "") -> bool:
        """Say whether this session was ended, or one that began no earlier and was forgotten."""
        mine = self._people.get(person)
        if mine is None:
            return False
        found = mine.kept.get(nonce)
        return found.ended if found is not None else 0 < ends_at <= mine.over
