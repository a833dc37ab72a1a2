"""Documents of sources of evidence: asked for once within their time of keeping, and bounded.

What is kept is what was read of a document, never its bytes. A source that is away is asked again
after a minute, so that a page of many cards does not wait for each of them.
"""

import asyncio
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import unquote, urlsplit, urlunsplit
from weakref import WeakValueDictionary

from msgspec import Struct

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest
from gatelodge.core.errors import HouseError, Invalid
from gatelodge.core.http.endpoint import read_url
from gatelodge.core.ids import Instant
from gatelodge.ports.trust.evidence import EvidenceGap
from gatelodge.ports.world import Clock

OPENS: Final = "The operator names it in hosting.private_origins, such as https://HOST:PORT."
GONE: Final = "It was installed from this index, which does not list this version any more."
DAY_SECONDS: Final = 86_400.0
_AWAY_SECONDS: Final = 60.0
_MOST_KEPT: Final = 256
_MOST_WEIGHT: Final = 100_000
_REDIRECTS: Final = 3
_ABSENT: Final = frozenset((404, 410))
_LOGINS: Final = frozenset((401, 403, 407))

D = TypeVar("D")


class SourceAddress(Struct, frozen=True):
    """Where a source is, without the login that stood in its address; `words` name it on a card."""

    url: str
    login: str = ""

    @property
    def words(self) -> str:
        """Its host alone: a path may hold a key."""
        return urlsplit(self.url).netloc

    def __repr__(self) -> str:
        """Neither path nor login, wherever it is shown."""
        return f"SourceAddress({self.words})"


class SourceDocument(Struct, frozen=True):
    """What was read of an answer, and when it came; `weight` counts what it holds."""

    read: object
    at: Instant
    weight: int = 1


class AnswerForm(Struct, Generic[D], frozen=True):
    """How a document is asked for, and read: `read` gives None for one that is none."""

    read: Callable[[bytes], D | None]
    accept: str = "application/json"
    most_bytes: int = 4 << 20
    weight: Callable[[D], int] = lambda _: 1


def read_address(text: str, known: str = "") -> SourceAddress | None:
    """An address as settings or a lock name it; None for what is none.

    `known` is the address of this machine's settings: whose host it shares, its login is for.
    """
    try:
        parts = urlsplit(text.strip().removesuffix("/"))
        own = urlsplit(known.strip())
        host = parts.netloc.rpartition("@")[2]
        login = parts.netloc.rpartition("@")[0]
        if not login and (own.scheme, own.netloc.rpartition("@")[2]) == (parts.scheme, host):
            login = own.netloc.rpartition("@")[0]
        url = urlunsplit((parts.scheme, host, parts.path, "", ""))
        read_url(url, private=True, opens=OPENS)
    except (ValueError, Invalid):
        return None
    return SourceAddress(url, login)


class EvidenceAnswers:
    """Documents by their address, kept for a time; `private` are origins on own networks."""

    def __init__(
        self,
        client: GuardedClient,
        clock: Clock,
        private: frozenset[str] = frozenset(),
        seconds: float = 10.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self._private = private
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, SourceDocument | EvidenceGap | None]]
        self._kept = OrderedDict()
        self._weight = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def now(self) -> Instant:
        """The wall clock."""
        return self._clock.now()

    async def document(
        self, address: SourceAddress, path: str, form: AnswerForm[D], keep: float = DAY_SECONDS
    ) -> tuple[D, Instant] | EvidenceGap | None:
        """What is there, and when it was asked for; None where the source says that it has none.

        Never raises for a source that is away, or answers what nobody can read: that is a gap.
        """
        key = f"{address.url}{path} {form.accept}"
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._kept.get(key)
            if known is None or known[0] <= self._clock.boottime():
                found = await self._ask(address, path, form)
                self._keep(key, found, keep)
            else:
                found = known[1]
                self._kept.move_to_end(key)
        if isinstance(found, SourceDocument):
            return cast("D", found.read), found.at
        return found

    async def _ask(
        self, address: SourceAddress, path: str, form: AnswerForm[Any]
    ) -> SourceDocument | EvidenceGap | None:
        words, at = address.words, self._clock.now()
        try:
            reply = await self._client.fetch(self._request(address, path, form))
        except HouseError as fault:
            return EvidenceGap(f"{words} could not be asked: {fault.detail}")
        if reply.status in _ABSENT:
            return None
        if reply.status in _LOGINS:
            return EvidenceGap(f"{words} wants a login (HTTP {reply.status}).")
        if reply.status != 200:
            return EvidenceGap(f"{words} gave no answer (HTTP {reply.status}).")
        # On a thread: a large document would hold up everybody's calls.
        read = await opened_aside(lambda: form.read(reply.body), lambda _: None)
        if read is None:
            return EvidenceGap(f"{words} answers what is no such document.")
        return SourceDocument(read, at, form.weight(read))

    def _request(self, address: SourceAddress, path: str, form: AnswerForm[Any]) -> OutboundRequest:
        url = f"{address.url}{path}"
        return OutboundRequest(
            url=url,
            accept=form.accept,
            headers=_authorization(address.login),
            seconds=self._seconds,
            max_bytes=form.most_bytes,
            ports=frozenset((443, read_url(url, private=True, opens=OPENS).port)),
            private_origins=self._private,
            opens=OPENS,
            redirects=_REDIRECTS,
        )

    def _keep(self, key: str, found: SourceDocument | EvidenceGap | None, keep: float) -> None:
        old = self._kept.pop(key, None)
        self._weight -= _weight(old[1]) if old else 0
        ends = min(keep, _AWAY_SECONDS) if isinstance(found, EvidenceGap) else keep
        self._kept[key] = (self._clock.boottime() + ends, found)
        self._weight += _weight(found)
        while len(self._kept) > _MOST_KEPT or (self._weight > _MOST_WEIGHT and len(self._kept) > 1):
            _, (_, gone) = self._kept.popitem(last=False)
            self._weight -= _weight(gone)


def _weight(found: SourceDocument | EvidenceGap | None) -> int:
    return found.weight if isinstance(found, SourceDocument) else 1


def _authorization(login: str) -> Mapping[str, str]:
    if not login:
        return {}
    name, _, secret = login.partition(":")
    pair = f"{unquote(name)}:{unquote(secret)}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}
