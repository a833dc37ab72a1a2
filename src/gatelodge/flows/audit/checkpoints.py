"""Checkpoints: what this gate signs of its logs, and what it refuses to sign."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gatelodge.core.errors import Broken, LogForked
from gatelodge.core.records.origin import belongs
from gatelodge.core.records.verify import ed25519_verifier
from gatelodge.ports.journal import HeadGuard, Ledger, LedgerHead
from gatelodge.ports.world import CheckpointSigner
from gatelodge.tlog import checkpoint, merkle, note, proof
from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.tile import WIDTH


class SignedCheckpoint(Struct, frozen=True):
    """A signed checkpoint: the note's bytes, and the size and root in it."""

    note: bytes
    size: int
    root: bytes


class CheckpointPublisher:
    """Signs heads that grew, never one that contradicts what was signed before.

    `_last` holds the newest checkpoint of each log, owned by whoever calls `sign` (one task).
    """

    def __init__(self, ledger: Ledger, signer: CheckpointSigner, guard: HeadGuard) -> None:
        self._ledger = ledger
        self._signer = signer
        self._guard = guard
        self._key_id = note.key_id(signer.name, note.ED25519, signer.public)
        self._last: dict[str, SignedCheckpoint] = {}

    @property
    def vkey(self) -> str:
        """The log's verifier key, for people and for `audit verify --key`."""
        return note.VerifierKey(self._signer.name, note.ED25519, self._signer.public).format()

    async def check(self, head: LedgerHead, newest: SignedCheckpoint | None) -> None:
        """Compare a log's end with what was signed of it; read the head after the signature.

        A log only grows, so a head covers every signature that was there when it was read. Read
        the other way round, a busy log would look as if it had lost its last leaves.
        """
        if not belongs(head.log, head.origin):
            raise LogForked(f"{head.log} bears the origin of another log, {head.origin}")
        if not head.sealed:
            raise LogForked(
                f"the last leaves of {head.log} were not appended by this gate",
                remedy="Who could write the database? Data of a build before 0.1 was released is "
                "not taken over either: docs/decisions/0021-words-of-the-records.md.",
            )
        if await self._ledger.root_at(head.log, head.size) != head.root:
            raise LogForked(f"the tiles of {head.log} do not add up to its head")
        await self._check_grown(head, newest)

    async def check_all(self, *, alone: bool = False) -> None:
        """At the start: each log as `check` does, its last leaves, and that none is missing.

        A node that signs `alone` kept in its guard all that it signed, before it signed it: a guard
        that knows less was lost or put back. Where several sign each guard may be behind.
        """
        # Guard and signatures are read before the heads, so that a busy log covers them.
        guarded = {log: self._guard.last(log) for log in self._guard.logs}
        newest = await self._newest_checkpoints()
        heads = await self._ledger.heads()
        missing = guarded.keys() - {head.log for head in heads}
        if missing:
            raise LogForked(f"{min(missing)} was signed here, and the ledger does not have it")
        for head in heads:
            await self.check(head, newest.get(head.log))
            await self._check_guarded(head, guarded.get(head.log))
            await self._check_last(head)
            if alone:
                _check_guard(head.log, newest.get(head.log), guarded.get(head.log))

    async def sign(self, heads: Sequence[LedgerHead] | None = None) -> None:
        """Sign every head (the present ones) that grew since its last checkpoint.

        Raises LogForked, and signs nothing, when one is smaller than what was signed or does not
        begin with it; KeyUnreachable, LedgerDown and StoreDown when it cannot be done now.
        """
        guarded = {log: self._guard.last(log) for log in self._guard.logs}
        newest = {**await self._newest_checkpoints(known=self._last), **self._last}
        grown: list[LedgerHead] = []
        for head in await self._ledger.heads() if heads is None else heads:
            last = newest.get(head.log)
            # A crash right after a log was opened leaves it empty: there is nothing to sign yet.
            if last is None and not head.size:
                continue
            if last is not None and (last.size, last.root) == (head.size, head.root):
                self._last[head.log] = last
                continue
            # A crash before here leaves nothing.
            await self.check(head, last)
            await self._check_guarded(head, guarded.get(head.log))
            grown.append(head)
        if not grown:
            return
        # A crash after this line leaves the guard ahead of any checkpoint, at sizes that the
        # ledger durably has: the next start finds both consistent and signs again.
        await self._guard.advance({head.log: (head.size, head.root) for head in grown})
        for head in grown:
            signed = self._note_of(head)
            # A crash here loses a signature that nobody has seen.
            await self._ledger.save_checkpoint(head.log, head.size, signed.note)
            # From here on readers may hold it.
            self._last[head.log] = signed

    async def remember(self) -> None:
        """Keep in this node's guard what another node signed.

        So each node notices by itself when the database they share was put back to an older state.
        Raises LogForked then, LedgerDown and StoreDown when it cannot be done now.
        """
        kept_here = {log: self._guard.last(log) for log in self._guard.logs}
        signed = await self._newest_checkpoints()
        newer: dict[str, tuple[int, bytes]] = {}
        # The heads are read after the signatures, so that they cover them.
        for head in await self._ledger.heads():
            kept, guarded = signed.get(head.log), kept_here.get(head.log)
            await self._check_guarded(head, guarded)
            if kept is not None and (guarded is None or kept.size > guarded[0]):
                await self._check_grown(head, kept)
                newer[head.log] = (kept.size, kept.root)
        if newer:
            await self._guard.advance(newer)

    def forget(self) -> None:
        """Another node signs now; read the newest checkpoints again when it is our turn."""
        self._last.clear()

    async def newest(self, log: str) -> SignedCheckpoint | None:
        """The newest checkpoint of a log, as the ledger has it."""
        kept = await self._ledger.checkpoint(log)
        return None if kept is None else self.read(log, kept)

    def read(self, log: str, raw: bytes) -> SignedCheckpoint:
        """A kept checkpoint, verified. Raises LogForked when this gate did not sign it."""
        verifier = ed25519_verifier(self._signer.public)
        try:
            parsed = note.parse(raw)
            # Whoever can write the database can put a note there: none is believed by its place.
            note.verify(parsed, {(self._signer.name, self._key_id): verifier})
            inner = checkpoint.parse(parsed.text)
        except (MalformedValue, ProofFailed) as fault:
            raise LogForked(f"the newest checkpoint of {log} is not one that we signed") from fault
        return SignedCheckpoint(raw, inner.size, inner.root)

    def _note_of(self, head: LedgerHead) -> SignedCheckpoint:
        text = checkpoint.format(checkpoint.Checkpoint(head.origin, head.size, head.root))
        made = note.sign(text, self._signer.name, self._key_id, self._signer.sign)
        return SignedCheckpoint(note.format(made), head.size, head.root)

    async def _newest_checkpoints(
        self, known: Mapping[str, SignedCheckpoint] | None = None
    ) -> dict[str, SignedCheckpoint]:
        """The newest checkpoint of each log that has one; those that are known are not read."""
        names = [head.log for head in await self._ledger.heads()]
        found = {log: await self.newest(log) for log in names if log not in (known or {})}
        return {log: signed for log, signed in found.items() if signed is not None}

    async def _check_guarded(self, head: LedgerHead, guarded: tuple[int, bytes] | None) -> None:
        if guarded is not None:
            await self._check_grown(head, SignedCheckpoint(b"", *guarded))

    async def _check_last(self, head: LedgerHead) -> None:
        """The last leaves are those of the tree; a busy log's last tile may be wider by now."""
        n = max(head.size - 1, 0) // WIDTH
        leaves = await self._ledger.leaves(head.log, n * WIDTH, head.size)
        hashes = b"".join(merkle.leaf_hash(leaf.body) for leaf in leaves)
        whole = len(leaves) == head.size - n * WIDTH
        if not whole or not (await self._ledger.tile(head.log, 0, n)).startswith(hashes):
            raise LogForked(f"the last leaves of {head.log} are not those in its tree")

    async def _check_grown(self, head: LedgerHead, old: SignedCheckpoint | None) -> None:
        if old is None:
            return
        if old.size > head.size:
            raise LogForked(
                f"{head.log} has {head.size} leaves, but {old.size} were signed",
                remedy="Was an older backup restored? Read docs/operations.md before anything.",
            )
        try:
            path = await self._ledger.consistency(head.log, old.size, head.size)
            proof.verify_consistency(old.size, old.root, head.size, head.root, path)
        except (ProofFailed, Broken) as fault:
            raise LogForked(f"{head.log} does not begin with what was signed of it") from fault


def _check_guard(
    log: str, signed: SignedCheckpoint | None, guarded: tuple[int, bytes] | None
) -> None:
    kept = 0 if guarded is None else guarded[0]
    if signed is not None and signed.size > kept:
        raise LogForked(
            f"the guard file is missing or older than the database: it knows {kept} leaves of "
            f"{log}, and {signed.size} were signed",
            remedy="Put guard/signed.json back as it was at the last stop. Where it is lost, read "
            "'The guard file is lost' in docs/operations.md.",
        )
