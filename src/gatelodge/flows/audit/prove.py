"""Proof files: what shows one call to somebody who trusts nobody here."""

from gatelodge.core.errors import NotFound, Unavailable
from gatelodge.core.records.verify import ProofDocument, ProvenLeaf
from gatelodge.flows.audit.checkpoints import Signed
from gatelodge.flows.audit.search import Call, Search
from gatelodge.flows.audit.sequencer import Sequencer
from gatelodge.ports.journal import Ledger
from gatelodge.tlog import checkpoint, note, proof_file


class Prover:
    """Makes proof files from the ledger; asks the sequencer when it has not come so far."""

    def __init__(self, ledger: Ledger, search: Search, sequencer: Sequencer) -> None:
        self._ledger = ledger
        self._search = search
        self._sequencer = sequencer

    async def prove(self, log: str, call: str) -> ProofDocument:
        """The proof of a call's leaves against one checkpoint that covers them.

        Raises NotFound (no such call) and Unavailable (it is not signed yet, and this node is not
        the one that signs).
        """
        found = await self._found(log, call)
        signed = await self._covering(log, max(leaf.index for leaf in found.leaves))
        text = signed.note.decode()
        leaves: list[ProvenLeaf] = []
        for leaf in found.leaves:
            path = await self._ledger.inclusion(log, leaf.index, signed.size)
            file = proof_file.ProofFile(leaf.index, tuple(path), signed.note)
            proof = proof_file.format(file).decode()
            leaves.append(ProvenLeaf(index=leaf.index, leaf=leaf.body, proof=proof))
        origin = checkpoint.parse(note.parse(signed.note).text).origin
        return ProofDocument(log=origin, leaves=tuple(leaves), checkpoint=text)

    async def _found(self, log: str, call: str) -> Call:
        try:
            found = await self._search.find(log, call)
        except NotFound:
            found = None
        if found is None or found.closer is None:
            # It may stand in the journal still.
            await self._sequencer.advance()
            found = await self._search.find(log, call)
        return found

    async def _covering(self, log: str, index: int) -> Signed:
        checkpoints = self._sequencer.checkpoints
        signed = await checkpoints.newest(log)
        if signed is None or signed.size <= index:
            await self._sequencer.advance(sign=True)
            signed = await checkpoints.newest(log)
        if signed is None or signed.size <= index:
            raise Unavailable(
                "no checkpoint covers this call yet",
                remedy="Try again in a second.",
                retry_after=1.0,
            )
        return signed
