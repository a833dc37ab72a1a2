"""Everything that is running for somebody, so that it can be cut the moment their access ends.

One instance, owned by the event loop; nothing here waits. The rule for callers is: register, then
check the view again, then forward. What was registered before a cut is cut by it; what comes after
is refused by the new view (guarantee revoke:under-a-second).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

from gatelodge.core.access.shares import PersonShares
from gatelodge.core.view import PolicyView

CutReason = Literal["revoked", "server_disabled", "stale", "shutdown", "client_gone", "cancelled"]


class RunningRequest(Struct, eq=False):
    """One call or stream that is running. `cut` ends it; it must not raise and must not wait.

    `person` is against whose limits it counts: for an agent's, the member who answered for it then.
    `ended_in` says whether it may not go on under a view; None = while its principal is there.
    `request` is session nonce and raw request id, for a legacy client's cancellation; `session` the
    nonce of the legacy session whose stream this is, which ends with the session. `parked` = it
    waits for its client. What is told of a call to whoever looks: its id once it is recorded, its
    `method`, and when it `began` on a clock that never steps.
    """

    kind: Literal["call", "stream"]
    principal: str
    credential: str
    workspace: str
    cut: Callable[[CutReason], None]
    person: str
    server: str = ""
    ended_in: Callable[[PolicyView], bool] | None = None
    request: tuple[bytes, bytes] | None = None
    session: bytes = b""
    was_cut: bool = False
    parked: bool = False
    call: str = ""
    method: str = ""
    began: float = 0.0


class InFlight:
    """The registry: by principal, with the few questions that a cut asks."""

    def __init__(self) -> None:
        self._by_principal: defaultdict[str, set[RunningRequest]] = defaultdict(set)
        self._calls = PersonShares()
        self._streams = PersonShares()
        self._requests: dict[tuple[bytes, bytes], RunningRequest] = {}

    def __len__(self) -> int:
        """How many calls and streams are running."""
        return self._calls.total + self._streams.total

    def counts(self, person: str) -> tuple[int, int]:
        """Running calls and open streams of a person and their agents."""
        return self._calls.of(person), self._streams.of(person)

    def add(self, running: RunningRequest) -> None:
        """Register; from now on a cut reaches it."""
        self._by_principal[running.principal].add(running)
        self._shares_of_kind(running).take(running.person)
        if running.request is not None:
            self._requests[running.request] = running

    def remove(self, running: RunningRequest) -> None:
        """Forget one that ended. Idempotent."""
        group = self._by_principal.get(running.principal)
        if group is None or running not in group:
            return
        group.remove(running)
        self._shares_of_kind(running).give(running.person)
        if not group:
            del self._by_principal[running.principal]
        # A client may use an id again while its first call runs: the later call has the entry then.
        if running.request is not None and self._requests.get(running.request) is running:
            del self._requests[running.request]

    def _shares_of_kind(self, running: RunningRequest) -> PersonShares:
        return self._calls if running.kind == "call" else self._streams

    def of_request(self, nonce: bytes, raw_id: bytes) -> RunningRequest | None:
        """The call that a legacy session made under this request id."""
        return self._requests.get((nonce, raw_id))

    def of_session(self, principal: str, nonce: bytes) -> list[RunningRequest]:
        """The streams that this principal opened in a legacy session."""
        return [r for r in self._by_principal.get(principal, ()) if r.session == nonce]

    def streams(self) -> list[RunningRequest]:
        """The open streams."""
        return [r for r in self.running() if r.kind == "stream"]

    def running(self) -> list[RunningRequest]:
        """Every call and stream."""
        return [r for group in self._by_principal.values() for r in group]

    def cut(
        self,
        reason: CutReason,
        *,
        principals: Iterable[str] = (),
        credentials: Iterable[str] = (),
        servers: Iterable[str] = (),
    ) -> tuple[int, int]:
        """Cut what belongs to any of these; returns how many calls and streams, each once."""
        # A copy is cut: the cut of a parked call removes it from the registry at once.
        chosen: set[RunningRequest] = set()
        for principal in principals:
            chosen |= self._by_principal.get(principal, set())
        lost_credentials, lost_servers = frozenset(credentials), frozenset(servers)
        if lost_credentials or lost_servers:
            for running in self.running():
                if running.credential in lost_credentials or running.server in lost_servers:
                    chosen.add(running)
        return self._cut_running(chosen, reason)

    def cut_ended(self, view: PolicyView) -> tuple[int, int]:
        """Cut what may not go on under this view, whatever it was that ended."""
        ended = {r for r in self.running() if r.ended_in is not None and r.ended_in(view)}
        return self._cut_running(ended, "revoked")

    def cut_expired(self, view: PolicyView, before: float) -> tuple[int, int]:
        """Cut calls begun before then whose leave time alone has ended: that makes no new view.

        Streams have timers of their own for it.
        """
        long = (r for r in self.running() if r.kind == "call" and r.began < before)
        ended = {r for r in long if r.ended_in is not None and r.ended_in(view)}
        return self._cut_running(ended, "revoked")

    def cut_all(self, reason: CutReason) -> tuple[int, int]:
        """Cut everything: this node may no longer serve, or is going."""
        return self._cut_running(set(self.running()), reason)

    def _cut_running(self, chosen: set[RunningRequest], reason: CutReason) -> tuple[int, int]:
        calls = streams = 0
        for running in chosen:
            # Its own task removes it later, so a second cut may meet it; receipts count it once.
            if running.was_cut:
                continue
            running.was_cut = True
            running.cut(reason)
            if running.kind == "call":
                calls += 1
            else:
                streams += 1
        return calls, streams
