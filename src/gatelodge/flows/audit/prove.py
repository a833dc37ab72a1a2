"""Proof files: what shows one call to somebody who trusts nobody here."""

from collections.abc import Sequence

from gatelodge.core.errors import Conflict, NotFound, NotYet
from gatelodge.core.records.verify import ProofDocument, ProvenLeaf
from gatelodge.flows.audit.checkpoints import SignedCheckpoint
from gatelodge.flows.audit.naming import OpeningReader
from gatelodge.flows.audit.reading import CallRecord, LogReading
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.ports.journal import DataKeys, LeafAt, Ledger
from gatelodge.tlog import checkpoint, note, proof_file


class ProofMaker:
    """Makes proof files from the ledger; asks the sequencer when it has not come so far."""

    def __init__(self, ledger: Ledger, deks: DataKeys, sequencer: LogSequencer) -> None:
        self._ledger = ledger
        self._reading = LogReading(ledger)
        self._naming = OpeningReader(ledger, deks)
        self._sequencer = sequencer

    async def prove(self, log: str, call: str, *, named: bool = False) -> ProofDocument:
        """The proof of a call's leaves against one checkpoint that covers them.

        With `named` the openings are handed over, so that the file shows who called; whoever holds
        it can show that to anybody for ever. Raises NotFound (no such call), NotYet (it is not
        signed yet, and this node is not the one that signs) and Conflict (`named`, and nobody can
        say who it was).
        """
        return await self.prove_leaves(
            log, (await self._find_sequenced_call(log, call)).leaves, named=named
        )

    async def prove_leaves(
        self, log: str, leaves: Sequence[LeafAt], *, named: bool = False
    ) -> ProofDocument:
        """The proof of these leaves; raises as `prove` does."""
        signed = await self._covering_checkpoint(log, max(leaf.index for leaf in leaves))
        text = signed.note.decode()
        origin = checkpoint.parse(note.parse(signed.note).text).origin
        openings = await self._salted_openings(origin, leaves) if named else [None] * len(leaves)
        proven: list[ProvenLeaf] = []
        for leaf, salted in zip(leaves, openings, strict=True):
            # The path leads to the signed size, not to the present head: only that root is signed.
            path = await self._ledger.inclusion(log, leaf.index, signed.size)
            file = proof_file.ProofFile(leaf.index, tuple(path), signed.note)
            proof = proof_file.format(file).decode()
            proven.append(ProvenLeaf(index=leaf.index, leaf=leaf.body, proof=proof, opening=salted))
        return ProofDocument(log=origin, leaves=tuple(proven), checkpoint=text)

    async def _salted_openings(self, origin: str, leaves: Sequence[LeafAt]) -> list[bytes | None]:
        seen = await self._naming.open(leaves, origin, await self._naming.erased())
        gone = next((each.gone for each in seen if each.gone), "")
        if gone:
            raise Conflict(
                f"who made this call cannot be proven: the opening is {gone}",
                remedy="Leave --name-caller out for a proof that names nobody.",
            )
        return [each.salted or None for each in seen]

    async def _find_sequenced_call(self, log: str, call: str) -> CallRecord:
        try:
            found = await self._reading.find(log, call)
        except NotFound:
            found = None
        if found is None or found.closer is None:
            # It may stand in the journal still.
            await self._sequencer.advance()
            found = await self._reading.find(log, call)
        return found

    async def _covering_checkpoint(self, log: str, index: int) -> SignedCheckpoint:
        checkpoints = self._sequencer.checkpoints
        signed = await checkpoints.newest(log)
        if signed is None or signed.size <= index:
            # Where this node leads nobody waits for the next checkpoint; elsewhere it comes soon.
            await self._sequencer.advance(sign=True)
            signed = await checkpoints.newest(log)
        if signed is None or signed.size <= index:
            raise NotYet(
                "no checkpoint covers this record yet",
                remedy="Try again in a second.",
                retry_after=1.0,
            )
        return signed
