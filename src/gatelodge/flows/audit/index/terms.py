"""The words that the index has for a record, and those that a question asks for.

A person is there by the id of the data key alone, which stands beside the leaf anyway: whose key it
is says a row that an erasure takes the key from. No name, address or client's text is a term.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.searching.places import CHUNK, packed_ends, packed_places
from gatelodge.flows.audit.outcome import outcome_of, parts_of_outcome
from gatelodge.ports.journal import LeafAt
from gatelodge.ports.search_index import EndedLater, IndexedChunk

OPEN: Final = "outcome:open"
_ENDED_BY: Final = " ended by "
_LONGEST: Final = 512
"""Characters of a term; what is longer is cut, and finds more than it names."""


def term(facet: str, value: str) -> str:
    """The word for a value of a facet."""
    # PostgreSQL keeps no NUL in a text; the leaf itself says whether it is the one.
    return f"{facet}:{value}"[:_LONGEST].replace("\x00", "?")


def asked_outcome(text: str, facet: str = "outcome") -> str:
    """The word for an outcome as a question has it: `denied`, or `denied: guardrail`."""
    word, reason = parts_of_outcome(text)
    return term(facet, f"{word}: {reason}" if reason else word)


def terms_of_outcome(shown: str, facet: str = "outcome") -> tuple[str, ...]:
    """The words for how a record ended: the one before the colon, and the whole."""
    word, reason = parts_of_outcome(shown)
    whole = term(facet, f"{word}: {reason}")
    return (term(facet, word), whole) if reason else (term(facet, word),)


class _SeenLeaf(Struct, gc=False):
    """What the index has to know of a leaf, in the types that leaves have."""

    t: str = ""
    server: str = ""
    tool: str = ""
    rule: str = ""
    credential: str = ""
    call: str = ""
    stream: str = ""
    instance: str = ""
    connection: str = ""
    outcome: str = ""
    reason: str = ""

    @property
    def pair(self) -> str:
        """What it opens or closes."""
        return self.call or self.stream or self.instance or self.connection


_seen = msgspec.json.Decoder(_SeenLeaf).decode


def _seen_leaf(body: bytes) -> _SeenLeaf:
    try:
        return _seen(body)
    except msgspec.MsgspecError:
        return _SeenLeaf()  # `fsck` tells of it; no question can name it


class ChunkDraft:
    """One chunk on its way into the index; `take` its leaves in their order."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._places: dict[tuple[str, str], list[int]] = {}
        self._ended: dict[tuple[str, str, str], list[int]] = {}
        """Places by what says how they ended: type, outcome, reason."""
        self._openers: dict[str, int] = {}
        self._ends: dict[int, int] = {}
        self._later: dict[str, EndedLater] = {}

    def take(self, leaves: Iterable[LeafAt]) -> None:
        """Take up some of its leaves."""
        first, stand, ended = self._number * CHUNK, self._stand, self._ended
        for leaf in leaves:
            here, at = _seen_leaf(leaf.body), leaf.index - first
            t = here.t
            stand("type", t, at)
            if here.server:
                stand("server", here.server, at)
            if here.tool:
                stand("tool", here.tool, at)
            if here.rule:
                stand("rule", here.rule, at)
            if here.credential:
                stand("credential", here.credential, at)
            if leaf.opening is not None:
                stand("key", leaf.opening.dek, at)
            if t in OPENS:
                self._openers[here.pair] = at
                self._ends[at] = 0
                continue
            ended.setdefault((t, here.outcome, here.reason), []).append(at)
            if t in CLOSES:
                self._close(at, here)

    def chunk(self, root: bytes) -> IndexedChunk:
        """What was taken up; `root` is that over all leaves to the end of this chunk."""
        places: dict[str, list[int]] = {}
        for (facet, value), found in self._places.items():
            places.setdefault(term(facet, value), []).extend(found)
        for ended, found in self._ended.items():
            for name in _terms_of_ended(*ended):
                places.setdefault(name, []).extend(found)
        if self._openers:
            places.setdefault(OPEN, []).extend(self._openers.values())
        return IndexedChunk(
            number=self._number,
            postings={name: packed_places(sorted({*each})) for name, each in places.items()},
            ends=packed_ends(sorted(self._ends.items())),
            opened={pair: self._number * CHUNK + at for pair, at in self._openers.items()},
            ended=self._later,
            root=root,
        )

    def _close(self, at: int, here: _SeenLeaf) -> None:
        # Of the opener only the kind counts for how it ended, and that follows from the closer's.
        kind = "call.intent" if CLOSES[here.t] == "call" else "stream.opened"
        ended = (f"{kind}{_ENDED_BY}{here.t}", here.outcome, here.reason)
        opener = self._openers.pop(here.pair, None)
        if opener is None:
            place = self._number * CHUNK + at
            self._later[here.pair] = EndedLater(place, _terms_of_ended(*ended))
        else:
            self._ends[opener] = at - opener
            self._ended.setdefault(ended, []).append(opener)

    def _stand(self, facet: str, value: str, at: int) -> None:
        key = (facet, value)
        there = self._places.get(key)
        if there is None:
            self._places[key] = [at]
        else:
            there.append(at)


def _terms_of_ended(t: str, outcome: str, reason: str) -> tuple[str, ...]:
    """The words for how a leaf of this type, or a pair that one closed, ended."""
    opener, pair, closer = t.partition(_ENDED_BY)
    said = {name: value for name, value in (("outcome", outcome), ("reason", reason)) if value}
    if pair:
        return terms_of_outcome(outcome_of({"t": opener}, {"t": closer, **said}))
    facet = "end" if t in CLOSES else "outcome"
    return terms_of_outcome(outcome_of({"t": t, **said}, None), facet)
