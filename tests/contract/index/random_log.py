"""Logs of a gate on which much happened, in an order that chance decided, and questions to them."""

from tests.logbook import LOG, Logbook

from gatelodge.adapters.ledger.search.index import SqlSearchIndex
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.leaves import CallDenied, CallIntent, CallOutcome, RequestRefused
from gatelodge.flows.audit.index.filler import IndexFiller
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.audit.search import AuditQuery, AuditSearch

MEMBERS = [f"mem_{n}" for n in range(6)]
AGENTS = {f"agt_{n}": f"mem_{n}" for n in range(3)}
CALLERS = [
    *(RecordedCaller(each, each, "", f"crd_{each}", "claude-code") for each in MEMBERS),
    *(RecordedCaller(a, m, a, f"crd_{a}", "ci") for a, m in AGENTS.items()),
]
SERVERS = ["srv_1", "srv_2", "srv_3"]
TOOLS = ["read", "write", "drop", "seldom"]
RULES = ["grn_1", "grn_2"]
OUTCOMES = ["ok", "ok", "ok", "tool_error", "timeout"]
ASKED = ["ok", "timeout", "open", "denied", "denied: no_grant", "denied:guardrail", "closed"]
ASKED += ["refused", "refused: limit", "unauthenticated", "unresolved"]
TYPES = ["call.intent", "call.outcome", "call.denied", "stream.opened", "stream.closed"]
TYPES += ["auth.failed", "request.refused"]


class Unlimited:
    """Rates that stop nobody: the clock of a test stands still."""

    def spend(self, _member, _kind):
        pass

    def allows(self, _member, _kind):
        return True


class BusyGate:
    """Writes records as a gate does; calls and streams stay open over long stretches."""

    def __init__(self, book: Logbook, chance) -> None:
        self.book, self.chance = book, chance
        self.calls: list[str] = []
        self.streams: list[str] = []
        self.began = book.clock.now()
        book.recorder.rates = Unlimited()

    async def happen(self, count: int) -> None:
        """So many things happen, and stand in the log."""
        for caller in CALLERS:
            await self.book.deks.ensure(caller.member)
        for at in range(count):
            self._happen_once()
            self.book.clock.step(self.chance.random() / 10)
            if at % 2_000 == 1_999 or at == count - 1:
                # Records become durable in their order: this one is waited for.
                await self.book.called()
                await self.book.sequencer.drain()

    def _happen_once(self) -> None:
        book, chance, draw = self.book, self.chance, self.chance.random()
        who = chance.choice(CALLERS)
        # Of one tool little is seen: what is seldom stands far from one another.
        tool = "seldom" if chance.random() < 0.002 else chance.choice(TOOLS[:3])
        if draw < 0.45:
            self.calls.append(book.recorder.intent(LOG, who, self._intent(tool), None))
        elif draw < 0.88 and self.calls:
            # Mostly one of the newest; now and then one that has been open for long.
            at = -1 if chance.random() < 0.98 else 0
            end = CallOutcome(
                call=self.calls.pop(at), bytes_out=1, ms=2, outcome=chance.choice(OUTCOMES)
            )
            book.recorder.outcome(LOG, "srv_1", end, None)
        elif draw < 0.93:
            book.recorder.denied(LOG, who, self._denial(tool), None)
        elif draw < 0.96:
            self.streams.append(book.recorder.stream_opened(LOG, who, 3, "2025-06-18", None))
        elif draw < 0.98 and self.streams:
            book.recorder.stream_closed(LOG, self.streams.pop(0), 5, "client_gone", None)
        elif draw < 0.99:
            leaf = RequestRefused(bytes_in=1, http=400, reason=chance.choice(["limit", "internal"]))
            book.recorder.refused(LOG, chance.choice([who, None]), leaf, None)
        else:
            book.recorder.auth_failed(LOG, "revoked", None, "crd_mem_1")

    def _intent(self, tool: str) -> CallIntent:
        return CallIntent(
            bytes_in=9,
            gov=3,
            method="tools/call",
            policy="p1",
            proto="1",
            rule=self.chance.choice(RULES),
            server=self.chance.choice(SERVERS),
            tool=tool,
            tool_def="d" * 64,
        )

    def _denial(self, tool: str) -> CallDenied:
        return CallDenied(
            bytes_in=9,
            gov=3,
            method="tools/call",
            policy="p1",
            proto="1",
            reason=self.chance.choice(["no_grant", "guardrail"]),
            server=self.chance.choice(SERVERS),
            tool=tool,
        )

    def question(self) -> AuditQuery:
        """A question with any of the filters, mostly with few of them."""
        chance, asked = self.chance, {}

        def maybe(name, make, share=0.3):
            if chance.random() < share:
                asked[name] = make()

        maybe("type", lambda: chance.choice(TYPES), 0.15)
        maybe("servers", lambda: tuple(chance.sample(SERVERS, chance.randint(0, 2))))
        maybe("tool", lambda: chance.choice([*TOOLS, "seldom", "never"]))
        maybe("rules", lambda: (chance.choice(RULES),), 0.2)
        maybe("outcome", lambda: chance.choice(ASKED))
        maybe("members", lambda: tuple(chance.sample(MEMBERS, chance.randint(0, 2))))
        if chance.random() < 0.2:
            agent = chance.choice([*AGENTS])
            asked |= {"principals": (agent,), "owners": (AGENTS[agent],)}
        elif chance.random() < 0.1:
            asked |= {"credential": "crd_mem_1", "owners": ("mem_1",)}
        length = self.book.clock.now() - self.began
        times = sorted(self.began + round(chance.random() * length) for _ in range(2))
        maybe("since", lambda: rfc3339(times[0]), 0.15)
        maybe("until", lambda: rfc3339(times[1]), 0.15)
        return AuditQuery(log=LOG, limit=chance.choice([1, 7, 50, 500]), **asked)


class IndexedBook:
    """A logbook beside its index: one searcher with it, one without."""

    def __init__(self, book: Logbook) -> None:
        self.book = book
        self.index = SqlSearchIndex(book.sessions.write, book.sessions.read)
        self.filler = IndexFiller(book.ledger, self.index, book.clock, book.ids, leads)
        self.indexed = AuditSearch(book.ledger, book.deks, index=self.index)
        self.plain = AuditSearch(book.ledger, book.deks)

    async def fill(self) -> int:
        """Take up all that is due; how far the index of the log got."""
        while await self.filler.step():
            pass
        return await self.position()

    async def position(self) -> int:
        reaches = {each.log: each.position for each in await self.index.reaches()}
        return reaches.get(LOG, 0)

    async def answers(self, searcher: AuditSearch, query: AuditQuery, pages: int = 2) -> list:
        """What the pages of a question hold, so many of them; a short page is gone on from."""
        from msgspec.structs import replace

        found, before = [], None
        while len(found) < query.limit * pages:
            page = await searcher.search(replace(query, before=before))
            assert len(page.found) <= query.limit
            found += [(each.index, each.close_index, each.outcome) for each in page.found]
            before = page.before
            if before is None:
                break
        return found[: query.limit * pages]

    async def agree(self, query: AuditQuery) -> int:
        """Assert that both find the same; how much that was."""
        told = await self.answers(self.indexed, query)
        assert told == await self.answers(self.plain, query), query
        return len(told)


async def leads() -> bool:
    return True
