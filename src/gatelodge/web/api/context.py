"""What the admin API works with, and the two ways in which it touches governance state.

A change asks once more, inside its own transaction, whether the caller still is who the token said:
a member who is revoked in between changes nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from anyio import CapacityLimiter, Lock, sleep, to_thread
from msgspec import Struct, field
from msgspec.structs import replace

from gatelodge.config.schema import Settings
from gatelodge.core.access.difference import foreseen
from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.core.access.shares import PersonShares
from gatelodge.core.catalog.bounds import DefinitionBounds
from gatelodge.core.errors import Unauthenticated, Unavailable
from gatelodge.core.ids import CredentialId, Instant, MemberId, WorkspaceId
from gatelodge.core.people import Credential, Member, Workspace
from gatelodge.core.roles import may
from gatelodge.core.state import Row
from gatelodge.core.view import PolicyView, compile_view
from gatelodge.flows.act import GovernanceAct, is_operator
from gatelodge.flows.activity.hours import RecentHours
from gatelodge.flows.activity.turns import TurnsByPerson
from gatelodge.flows.activity.watching import LogWatch
from gatelodge.flows.audit.changes import GovernanceChanges
from gatelodge.flows.audit.prove import ProofMaker
from gatelodge.flows.audit.search import AuditSearch
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.hosting.artifacts import ArtifactBuild
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.flows.identity.revocation import (
    AccessEnd,
    AccessRevocation,
    RevocationReceipt,
    Told,
)
from gatelodge.flows.jobs.runner import JobRunner
from gatelodge.flows.nouns.candidate import candidate
from gatelodge.flows.nouns.foreseen import (
    DryRun,
    DryRunChange,
    RolledBackRehearsal,
    WatchedTransaction,
    dry_run,
)
from gatelodge.flows.nouns.lookup import called
from gatelodge.flows.nouns.noun import ShowContext
from gatelodge.flows.past.kept import KeptFolds
from gatelodge.flows.past.last_use import LastUses
from gatelodge.flows.past.past_access import PastAccess, PastQuestions
from gatelodge.flows.trust.gathering import EvidenceGathering
from gatelodge.ports.ephemeral import Ephemeral
from gatelodge.ports.images import ImageKeeper
from gatelodge.ports.journal import DataKeys, HeadGuard, Ledger
from gatelodge.ports.search_index import SearchIndex
from gatelodge.ports.store import NodeRegistry, Store, StoreTx
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.vault import ValueSealer
from gatelodge.ports.world import CheckpointSigner, Clock, FreshIds, TokenPeppers
from gatelodge.tlog.note import ED25519, VerifierKey
from gatelodge.web.endpoint.http.bounds import TrafficCounts
from gatelodge.web.telemetry.exposition import MetricsScrapes
from gatelodge.web.telemetry.gathering import NodeInsides

T = TypeVar("T")
R = TypeVar("R", bound=Row)

Ends = Callable[[GovernanceAct], tuple[str, ...]]
"""Work that ends access, and returns the ids of what ended with it."""

_LOOK_SECONDS = 0.005

LOCAL = "local"
"""Who an operator on the gate's own machine is, in the gov log."""


class AdminCaller(Struct, frozen=True, kw_only=True):
    """Who is asking: a member with a personal token, or the operator on this machine.

    `by` is what the gov log names: a member id, or "local:UID", an account of this machine.
    """

    by: str
    role: str = ""
    workspace: str = ""
    credential: CredentialId | Literal[""] = ""

    @property
    def local(self) -> bool:
        """True for the operator on the gate's own machine, who may do everything."""
        return is_operator(self.by)

    def may(self, verb: str) -> bool:
        """Say whether the caller may do that here."""
        return self.local or may(self.role, verb)


class AdminContext(Struct, frozen=True, kw_only=True):
    """Everything the routes need; built once by the app.

    `view` is this node's present view; `fresh` says whether it may be relied on; `unready` is why
    this node serves no call now, None when it does. `idle` is this process as a node while it
    runs one command and serves nobody; empty for a node that serves. `inside` and `traffic` are
    for whoever watches it.
    """

    store: Store
    nodes: NodeRegistry
    ids: FreshIds
    clock: Clock
    peppers: TokenPeppers
    vault: ValueSealer
    authenticator: TokenAuthenticator
    signer: CheckpointSigner
    ledger: Ledger
    index: SearchIndex
    guard: HeadGuard
    deks: DataKeys
    sequencer: LogSequencer
    upstreams: Upstreams
    hosted: RecordedRuntime
    artifacts: ArtifactBuild
    trust: EvidenceGathering
    view: Callable[[], PolicyView]
    fresh: Callable[[], bool]
    unready: Callable[[], Unavailable | None]
    revocation: AccessRevocation
    settings: Settings
    writing: CapacityLimiter = field(default_factory=TurnsByPerson)
    """Lets one large answer at a time be made beside the loop, each person's in turn."""
    ephemeral: Ephemeral
    inside: NodeInsides
    turn: Lock
    """Held while a step of a large question to the logs is read: they take turns."""
    own_changes: RateLimit
    """How often each person changed what is their own, on whatever face."""
    own_looks: RateLimit
    """How often each person looked at what was recorded about them."""
    questions: PastQuestions = field(default_factory=PastQuestions)
    kept_folds: KeptFolds = field(default_factory=KeptFolds)
    last_uses: LastUses = field(default_factory=LastUses)
    traffic: Callable[[], TrafficCounts] = TrafficCounts
    simulations: PersonShares = field(default_factory=PersonShares)
    """Whose trials of a guardrail are being made."""
    origins: Mapping[str, str] = {}
    """Where each setting was found, by its key."""
    idle: str = ""
    scrapes: MetricsScrapes = field(default_factory=MetricsScrapes)
    watch: LogWatch = field(default_factory=LogWatch)
    """Those who watch calls as they come, on this node."""
    recent: RecentHours = field(default_factory=RecentHours)

    @property
    def vkey(self) -> str:
        """The key that signs the logs, as `name+hex+base64` (C2SP signed-note)."""
        return VerifierKey(self.signer.name, ED25519, self.signer.public).format()

    @property
    def images(self) -> ImageKeeper:
        """What hosted servers are started from."""
        return self.artifacts.keeper

    @property
    def search(self) -> AuditSearch:
        """Questions to the logs."""
        return AuditSearch(self.ledger, self.deks, self.turn, self.index)

    @property
    def changes(self) -> GovernanceChanges:
        """Questions to the gov log."""
        return GovernanceChanges(self.ledger, self.turn)

    @property
    def past(self) -> PastAccess:
        """Questions to the gov log about who could use what."""
        longest = self.settings.limits.name_length
        return PastAccess(self.ledger, self.turn, self.writing, longest, self.kept_folds)

    @property
    def prover(self) -> ProofMaker:
        """Proof files of calls."""
        return ProofMaker(self.ledger, self.deks, self.sequencer)

    @property
    def jobs(self) -> JobRunner:
        """Work that is longer than a request."""
        return self.inside.jobs

    async def change(
        self, caller: AdminCaller, work: Callable[[GovernanceAct], T], why: str = ""
    ) -> T:
        """Run `work` in one governance transaction, in the caller's name.

        Raises Unauthenticated when the caller's access ended meanwhile, StoreDown, or what `work`
        raises; then nothing is kept. When it returns, this node decides by it already.
        """
        result, committed = await self.store.change(
            lambda tx: work(self._act_in_transaction(tx, caller, why))
        )
        # Whoever made a change must not read on and find the state from before it.
        await self._wait_for_view(committed.gov)
        return result

    async def read(self, work: Callable[[StoreTx], T]) -> T:
        """Run `work` on a consistent snapshot."""
        return await self.store.read(work)

    async def present(self) -> PolicyView:
        """The view that holds now: this node's, or one compiled afresh where no node follows."""
        if self.fresh():
            return self.view()
        state = await self.store.load(None, None)
        # A large state takes long to compile: beside the loop nobody waits for that.
        return await to_thread.run_sync(compile_view, state, None, self.settings.limits.name_length)

    async def end(
        self,
        caller: AdminCaller,
        ended: tuple[str, str, str],
        why: str,
        work: Ends,
        told: Told | None = None,
    ) -> RevocationReceipt:
        """End access, and return the receipt once it holds on every node.

        `ended` is what ends: its kind, its id, its workspace. `work` returns what ended with it;
        `told` hears of each node meanwhile.
        """
        kind, subject, workspace = ended
        ending = AccessEnd(kind=kind, subject=subject, workspace=workspace, by=caller.by, why=why)
        names: dict[str, str] = {}

        def named_work(tx: StoreTx) -> tuple[str, ...]:
            ids = work(self._act_in_transaction(tx, caller, why))
            names.clear()  # a transaction may be tried again
            # In the same transaction: the receipt tells what ended by the names that it had then.
            names.update(called(tx, WorkspaceId(workspace), ids))
            return ids

        receipt = await self.revocation.end(ending, named_work, told)
        return replace(receipt, named=names)

    async def rehearse(
        self,
        caller: AdminCaller,
        work: Callable[[GovernanceAct], Any],
        why: str,
        workspace: WorkspaceId | None = None,
    ) -> DryRun:
        """Do it, look at what it came to, and roll it back: exact, and nothing is kept.

        With a `workspace` it is also told who would gain and lose what there.
        """
        view = await self.present() if workspace and caller.may("access.read") else None

        def once(tx: StoreTx) -> None:
            watched = WatchedTransaction(tx)
            work(self._act_in_transaction(watched, caller, why))
            after = None
            if view is not None and workspace is not None:
                after = candidate(view.state, tx, workspace, watched.facts)
            # The work is done in full and then given up, so a trial refuses what the change would.
            changes = tuple(DryRunChange(each.t, each.subject) for each in watched.facts)
            raise RolledBackRehearsal(changes, after)

        try:
            await self.store.change(once)
        except RolledBackRehearsal as over:
            if view is None or workspace is None or over.after is None:
                return DryRun(changes=over.changes)
            now, longest = self.clock.now(), self.settings.limits.name_length
            # Of a change that reaches everybody these are two matrices of a large workspace.
            found = await to_thread.run_sync(
                foreseen, view, over.after.state, workspace, now, longest, limiter=self.writing
            )
            return dry_run(over.changes, found, over.after.names)
        raise AssertionError("a rehearsal was kept")

    async def _wait_for_view(self, gov: int) -> None:
        """Wait until this node's view has the change; never longer than its lease lasts."""
        deadline = self.clock.boottime() + self.settings.store.lease_ms / 1000
        while self.view().gov < gov:
            # The change is committed: that this node is behind must not read like a failure.
            if not self.fresh() or self.clock.boottime() >= deadline:
                return
            await sleep(_LOOK_SECONDS)

    def _act_in_transaction(self, tx: StoreTx, caller: AdminCaller, why: str) -> GovernanceAct:
        now = self.clock.now()
        _must_still_stand(tx, caller, now)
        return GovernanceAct(
            tx=tx,
            by=caller.by,
            at=now,
            ids=self.ids,
            why=why,
            credential=caller.credential,
            bounds=bounds_of(self.settings),
        )


def bounds_of(settings: Settings) -> DefinitionBounds:
    """What the settings let members put into the definition of a server."""
    upstream = settings.upstream
    secrets = upstream.secrets_dir or f"{Path(settings.data_dir).absolute()}/secrets"
    return DefinitionBounds(
        commands=settings.hosting.api_commands,
        sources=settings.hosting.api_sources,
        secrets=secrets.rstrip("/"),
        prefix=upstream.secrets_prefix,
    )


def _must_still_stand(tx: StoreTx, caller: AdminCaller, now: Instant) -> None:
    """Raise Unauthenticated unless member and credential are as good as they were at the door."""
    if caller.local:
        return
    place = WorkspaceId(caller.workspace)
    # Read here and not from the view: another node may have ended the access a moment ago.
    members = tx.find(Member, workspace=place, id=MemberId(caller.by))
    tokens = tx.find(Credential, workspace=place, id=caller.credential)
    good = (
        bool(members and tokens)
        and members[0].status == "active"
        # The door opened the route for this role, so another one has to knock again.
        and members[0].role == caller.role
        and tokens[0].revoked_at is None
        and tokens[0].expires_at > now
        # A raised generation ends all tokens of a member at once (decision 0009).
        and tokens[0].generation == members[0].generation
    )
    if not good:
        raise Unauthenticated("the access of this token has just ended or changed")


class WorkspaceContext(Struct, frozen=True):
    """Where a request works: its caller, and the workspace that its path names."""

    gate: AdminContext
    caller: AdminCaller
    workspace: Workspace

    @property
    def id(self) -> WorkspaceId:
        """The workspace's id."""
        return self.workspace.id

    @property
    def showing(self) -> ShowContext:
        """To whom rows are shown, now, by this node."""
        gate = self.gate
        return ShowContext(
            at=gate.clock.now(),
            may=self.caller.may,
            health=gate.upstreams.health,
            name_length=gate.settings.limits.name_length,
        )
