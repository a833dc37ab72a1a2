"""The recorder: turns what happens at the gate into leaves and hands them to the journal.

It runs on the event loop in the middle of each call, so it neither waits nor looks anything up:
the caller comes with their data key in memory, random bytes are drawn in blocks, and the journal
gathers. A leaf is whole when it leaves here; nothing later may change it but the sequencer's mark
for an outcome that came too late.
"""

from collections.abc import Callable

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.hosting_leaves import HostingLeaf
from gatelodge.core.records.leaves import (
    AnswerWithheld,
    CallDenied,
    CallIntent,
    CallOutcome,
    CallsLeaf,
    RequestAnswered,
    RequestRefused,
    StreamClosed,
    StreamOpened,
    WithheldReason,
    encode,
)
from gatelodge.core.records.opening import Opening, opening_bytes, unsigned_rest
from gatelodge.flows.audit.sealing import OpeningSealer
from gatelodge.flows.audit.tallies import Durable, RefusalTallies
from gatelodge.flows.counts import RecordCounts
from gatelodge.flows.rates import PersonRates
from gatelodge.ports.journal import DataKeys, Journal, JournalEntry
from gatelodge.ports.world import Clock, FreshIds

MAX_LEAF = 16 * 1024
_CLIENT_LENGTH = 128

_TAILS = 4096
_TOO_LARGE = "the record of this request would be larger than 16 KiB"


class RecordedCaller:
    """Who is behind a request: a member, or an agent together with the member who answers for it.

    `client` is what the client calls itself; only its first 128 characters are kept. `opening` is
    all of it as it is committed to and encrypted.
    """

    __slots__ = ("agent", "client", "credential", "member", "opening", "principal")

    def __init__(
        self, principal: str, member: str, agent: str = "", credential: str = "", client: str = ""
    ) -> None:
        self.principal = principal
        self.member = member
        self.agent = agent
        self.credential = credential
        self.client = client
        self.opening = opening_bytes(
            Opening(agent=agent, client=client[:_CLIENT_LENGTH], cred=credential, member=member)
        )


class AuditRecorder:
    """Appends leaves to the journal. Everything here belongs to the event loop's thread.

    Every method raises KeyUnreachable when the caller's data key is not in memory (`deks.ensure`
    first) and LimitReached for a leaf above 16 KiB, or when a person causes too many
    (`PersonRates`); nothing is recorded then.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        ids: FreshIds,
        deks: DataKeys,
        node: str,
        origin: Callable[[str], str],
    ) -> None:
        self._append = journal.append
        self._journal = journal
        self._clock = clock
        self._now = clock.now
        self._ids = ids
        self._node = node
        self._seal = OpeningSealer(ids, deks, origin).sealed
        self._tails: dict[tuple[int, str, str, str, str, str], str] = {}
        self._tallies = RefusalTallies(clock, self._append_leaf)
        self.rates = PersonRates(LimitSettings(), clock.boottime)
        """Another one is put here by whoever has settings of their own."""
        self.counts = RecordCounts()
        """What was recorded here, one for each request, in numbers."""

    @property
    def node(self) -> str:
        """Who writes here."""
        return self._node

    @property
    def failed(self) -> bool:
        """True when records do not become durable; admit nothing."""
        return self._journal.failed

    def intent(self, log: str, who: RecordedCaller, call: CallIntent, durable: Durable) -> str:
        """Record that a call is about to be forwarded; returns its id. Forward once durable.

        What follows `call` in the leaf is the same for every call of a tool under one rule and
        view, so it is encoded once and kept.
        """
        # An allowed call spends no rate: it fills the disk only as fast as a server answers it.
        name = self._ids.call()
        # View, server and tool settle the digests of policy and definition: the key needs neither.
        about = (call.gov, call.proto, call.rule, call.server, call.tool, call.method)
        tail = self._tails.get(about) or self._encode_intent_tail(about, call)
        at = rfc3339(self._now())
        rest = f'"at":"{at}","bytes_in":{call.bytes_in},"call":"{name}",{tail}'
        self._append_sealed(log, who, rest.encode(), durable)
        return name

    def _encode_intent_tail(
        self, about: tuple[int, str, str, str, str, str], call: CallIntent
    ) -> str:
        """All of the leaf that depends on tool, rule and view only."""
        call.node = self._node
        # Each new view makes new tails, and nobody asks for the old ones again.
        if len(self._tails) >= _TAILS:
            self._tails.clear()
        # Time and id are still empty in this leaf, so that they are left out of it.
        varying = f'"bytes_in":{call.bytes_in},'
        rest = unsigned_rest(encode(call)).decode()
        tail = self._tails[about] = rest.removeprefix(varying)
        return tail

    def outcome(
        self, log: str, server: str, leaf: CallOutcome, durable: Durable, *, again: bool = False
    ) -> None:
        """Close the intent of the same call. Release the last frame once durable.

        `server` is counted and not recorded: the intent names it. `again` = it was tried before
        and could not be written: it is one call all the same.
        """
        leaf.at, leaf.node = rfc3339(self._now()), self._node  # as `_append_leaf` does (hot path)
        self._append(JournalEntry(log, encode(leaf)), durable)
        if not again:
            self.counts.ended(log, server, leaf.outcome, leaf.ms)

    def withheld(self, log: str, call: str, method: str, reason: WithheldReason) -> None:
        """Record that an answer, which was recorded, was not handed out after all."""
        # Nobody waits: the answer stays here, whether this record is durable or not.
        self._append_leaf(log, AnswerWithheld(call=call, method=method, reason=reason), None)
        self.counts.withheld[log, reason] += 1

    def denied(self, log: str, who: RecordedCaller, leaf: CallDenied, durable: Durable) -> str:
        """Record a call that was not allowed; returns its id."""
        # The limit comes first: whoever causes too many must not leave a leaf for each.
        self.rates.spend(who.member, "denied")
        leaf.call = self._ids.call()
        self._append_leaf_of_caller(log, leaf, who, durable)
        # It is counted last: what raised before here left no record, and numbers tell of records.
        self.counts.denied[log, leaf.reason] += 1
        return leaf.call

    def answered(
        self, log: str, who: RecordedCaller, leaf: RequestAnswered, durable: Durable
    ) -> None:
        """Record a request that the gate answered itself."""
        # No server's time bounds what the gate answers itself, so a rate bounds what it writes.
        self.rates.spend(who.member, "answered")
        self._append_leaf_of_caller(log, leaf, who, durable)
        self.counts.answered[log, leaf.outcome] += 1

    def refused(
        self, log: str, who: RecordedCaller | None, leaf: RequestRefused, durable: Durable
    ) -> None:
        """Record a request that was turned away before any decision.

        Those of whom nobody knows who sent them are added up when there are many, and so are those
        of a person who causes too many.
        """
        # A stranger must not be able to fill the disk one leaf a request (decision 0013).
        if who is None or not self.rates.allows(who.member, "denied"):
            self._tallies.refused(log, leaf, durable)
        else:
            leaf.v = 2  # it has an `actor_c`
            self._append_leaf_of_caller(log, leaf, who, durable)
        self.counts.refused[log, leaf.reason] += 1

    def stream_opened(
        self, log: str, who: RecordedCaller, gov: int, proto: str, durable: Durable
    ) -> str:
        """Record that a listen stream was opened; returns the stream's id."""
        self.rates.spend(who.member, "answered")
        name = "s" + self._ids.call()[1:]
        self._append_leaf_of_caller(
            log, StreamOpened(gov=gov, proto=proto, stream=name), who, durable
        )
        return name

    def stream_closed(self, log: str, stream: str, ms: int, reason: str, durable: Durable) -> None:
        """Close a listen stream, which was open for that many milliseconds."""
        self._append_leaf(log, StreamClosed(ms=ms, reason=reason, stream=stream), durable)

    def hosted(
        self, log: str, leaf: HostingLeaf, who: RecordedCaller | None, durable: Durable
    ) -> None:
        """Record what became of an instance or of a connection of its; `who` is its owner."""
        if who is None:
            self._append_leaf(log, leaf, durable)
            return
        leaf.v = 2  # it has an `actor_c`
        self._append_leaf_of_caller(log, leaf, who, durable)

    def auth_failed(
        self, log: str, reason: str, durable: Durable = None, credential: str = ""
    ) -> None:
        """Count a request without a good credential; the first of a burst is a leaf at once.

        `credential` is the one whose token it came with, when that is good no more.
        """
        self._tallies.auth_failed(log, reason, durable, credential)
        self.counts.unauthenticated[log, reason] += 1

    def close(self) -> None:
        """Write every count that is still open. Call it before the journal is closed."""
        self._tallies.close()

    def _append_leaf(self, log: str, leaf: CallsLeaf, durable: Durable) -> None:
        """Append a leaf that names nobody."""
        leaf.at, leaf.node = rfc3339(self._now()), self._node
        self._append(JournalEntry(log, encode(leaf)), durable)

    def _append_leaf_of_caller(
        self, log: str, leaf: CallsLeaf, who: RecordedCaller, durable: Durable
    ) -> None:
        leaf.at, leaf.node = rfc3339(self._now()), self._node
        self._append_sealed(log, who, unsigned_rest(encode(leaf)), durable)

    def _append_sealed(self, log: str, who: RecordedCaller, rest: bytes, durable: Durable) -> None:
        """Append the leaf that commits to who did this act; `rest` is all after its `actor_c`."""
        body, opening = self._seal(log, who.member, who.opening, rest)
        # The limit holds for the leaf with its commitment, as it would stand in the log.
        if len(body) > MAX_LEAF:
            raise LimitReached(_TOO_LARGE)
        self._append(JournalEntry(log, body, opening), durable)
