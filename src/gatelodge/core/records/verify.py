"""The offline verdict on a proof file: no database, no network, no trust in who made it.

    {"v": 1, "t": "gatelodge-proof", "log": ORIGIN, "checkpoint": NOTE,
     "leaves": [{"index": N, "leaf": BASE64, "proof": TEXT OF C2SP tlog-proof,
                 "opening": BASE64 of salt || opening, when the file shows who called}, ...]}

Everything needed stands in the file but the public key, which the reader brings; a key signs for
the logs of the gate that its name names, and for no other. VERIFIED says that these leaves stand
in a log that the key's holder signed, and that the openings are those they commit to. TAMPERED says
that something here contradicts the signature or the tree. UNVERIFIABLE says that the reader cannot
tell: another version, no signature of a known key, a leaf that is no canonical record.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from gatelodge.core.records.governance import GovKind
from gatelodge.core.records.leaves import LEAVES
from gatelodge.core.records.opening import act_of, opened
from gatelodge.core.records.origin import gate_of
from gatelodge.core.records.strict import NotCanonical, parse_leaf
from gatelodge.tlog import checkpoint, merkle, note, proof, proof_file
from gatelodge.tlog.errors import MalformedValue, ProofFailed

Verdict = Literal["VERIFIED", "TAMPERED", "UNVERIFIABLE"]

KIND = "gatelodge-proof"
_LARGEST = 4 * 1024 * 1024
_FIELD = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""The y of the eight points that verify a signature which nobody made (RFC 8032 section 5.1)."""


class ProvenLeaf(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One leaf of a proof file: its bytes, its place, and the proof of it.

    `opening` is salt || opening, when whoever made the file handed it over.
    """

    index: int
    leaf: bytes
    proof: str
    opening: bytes | None = None


class ProofDocument(Struct, frozen=True, kw_only=True):
    """A proof file as a value."""

    v: int = 1
    t: str = KIND
    log: str
    leaves: tuple[ProvenLeaf, ...]
    checkpoint: str


class VerifyReport(Struct, frozen=True, kw_only=True):
    """The verdict, why, and what was read: leaves by index, as far as they could be read.

    `who` is who called, for each leaf whose opening the file holds. `unknown` lists leaf types
    that this version does not know; they are no fault.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    log: str = ""
    size: int = 0
    signed_by: tuple[str, ...] = ()
    leaves: dict[int, dict[str, object]] = {}
    who: dict[int, dict[str, str]] = {}
    unknown: tuple[str, ...] = ()


class _Judged(Exception):
    """Carries the verdict out of the check that reached it."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict: Verdict = verdict
        self.reason = reason


def format_proof(document: ProofDocument) -> bytes:
    """The bytes of a proof file, indented for people."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def verify_proof(raw: bytes, vkeys: Sequence[str]) -> VerifyReport:
    """Judge a proof file by the verifier keys (C2SP `name+id+key`) that the reader trusts.

    Never raises: whatever was handed in, the answer is a verdict.
    """
    try:
        document = _parse_proof_document(raw)
        verifiers = _verifiers_by_key_id(vkeys)
        signed, names = _verify_checkpoint(document, _of_this_gate(document.log, verifiers))
        # Every leaf is proven before the fields of one are read: bytes that do not stand in the
        # signed tree are not parsed.
        for each in document.leaves:
            _check_leaf(each, document.checkpoint, signed)
        fields = {each.index: _fields_of_leaf(each) for each in document.leaves}
        _check_together(fields)
        who = {each.index: _caller_of_leaf(each, signed.origin) for each in document.leaves}
    except _Judged as judged:
        # Nothing that was read goes along: beside a verdict, unproven fields would be believed.
        return VerifyReport(verdict=judged.verdict, reasons=(judged.reason,))
    kinds = {str(each.get("t")) for each in fields.values()}
    return VerifyReport(
        verdict="VERIFIED",
        log=signed.origin,
        size=signed.size,
        signed_by=names,
        leaves=fields,
        who={at: each for at, each in who.items() if each},
        unknown=tuple(sorted(kinds - LEAVES.keys() - set(get_args(GovKind)))),
    )


def ed25519_verifier(public: bytes) -> note.Verifier:
    """A callable that says whether a signature over a message is this key's."""
    key = Ed25519PublicKey.from_public_bytes(public)

    def verifies(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verifies


def _parse_proof_document(raw: bytes) -> ProofDocument:
    # Before it is parsed: the file comes from whoever wants to be believed.
    if len(raw) > _LARGEST:
        raise _Judged("UNVERIFIABLE", "the file is larger than 4 MiB")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_refuse_repeated_keys)
        document = msgspec.convert(value, type=ProofDocument)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
        raise _Judged("UNVERIFIABLE", "the file is not a proof file") from None
    if document.t != KIND or document.v != 1:
        raise _Judged("UNVERIFIABLE", "the file is of another kind or version")
    if not document.leaves:
        raise _Judged("UNVERIFIABLE", "the file proves no leaf")
    if len({each.index for each in document.leaves}) != len(document.leaves):
        raise _Judged("TAMPERED", "two leaves claim one place")
    return document


def _verifiers_by_key_id(vkeys: Sequence[str]) -> dict[tuple[str, bytes], note.Verifier]:
    found: dict[tuple[str, bytes], note.Verifier] = {}
    for vkey in vkeys:
        try:
            key = note.VerifierKey.parse(vkey)
            # A witness' key in the reader's list is no fault; this verifier checks no cosignatures.
            if key.kind != note.ED25519:
                continue
            if _is_weak(key.public):
                # Passed over in silence, the reader would go on trusting a key that proves nothing.
                raise _Judged("UNVERIFIABLE", "a verifier key is a point that signs anything")
            found[key.name, key.key_id] = ed25519_verifier(key.public)
        except (MalformedValue, ValueError):
            raise _Judged("UNVERIFIABLE", "a verifier key is not in its form") from None
    if not found:
        raise _Judged("UNVERIFIABLE", "no Ed25519 verifier key was given")
    return found


def _of_this_gate(
    origin: str, verifiers: Mapping[tuple[str, bytes], note.Verifier]
) -> dict[tuple[str, bytes], note.Verifier]:
    """The keys whose name is that of the log or of its gate: no other may sign for it."""
    names = {origin, gate_of(origin)} - {""}
    found = {key: verifier for key, verifier in verifiers.items() if key[0] in names}
    # Of two keys under the log's name one is not its own, and whoever has it could sign for it.
    if len({name for name, _ in found}) < len(found):
        raise _Judged("UNVERIFIABLE", "two of the given keys bear one name; give the log's own")
    return found


def _is_weak(public: bytes) -> bool:
    """True for a point of small order, or one that is not written in its one way."""
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    return y >= _FIELD or y in _SMALL_ORDER


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Judged("UNVERIFIABLE", "the file repeats a key, so it says two things")
    return found


def _caller_of_leaf(each: ProvenLeaf, origin: str) -> dict[str, str]:
    """Who called, as the leaf commits to it; empty when the file does not hand it over."""
    if not each.opening:
        return {}
    act = act_of(origin, each.leaf)
    who = None if act is None else opened(each.opening, act)
    if who is None:
        raise _Judged("TAMPERED", f"the opening of leaf {each.index} is not the one it commits to")
    return {name: text for name, text in msgspec.to_builtins(who).items() if text}


def _verify_checkpoint(
    document: ProofDocument, verifiers: Mapping[tuple[str, bytes], note.Verifier]
) -> tuple[checkpoint.Checkpoint, tuple[str, ...]]:
    try:
        signed = note.parse(document.checkpoint.encode())
        inner = checkpoint.parse(signed.text)
    except (MalformedValue, UnicodeEncodeError):
        raise _Judged("TAMPERED", "the checkpoint is not in its form") from None
    if inner.origin != document.log:
        raise _Judged("TAMPERED", "the checkpoint is of another log")
    # Only a known key's bad signature is evidence of tampering; without a known key nothing here
    # contradicts anything.
    if not any((each.name, each.key_id) in verifiers for each in signed.signatures):
        raise _Judged("UNVERIFIABLE", "the checkpoint bears no signature of a given key")
    try:
        return inner, note.verify(signed, verifiers)
    except ProofFailed:
        raise _Judged("TAMPERED", "the checkpoint's signature is not the key's") from None


def _check_leaf(each: ProvenLeaf, text: str, signed: checkpoint.Checkpoint) -> None:
    """The bytes are hashed before anything reads them."""
    hashed = merkle.leaf_hash(each.leaf)
    place = f"leaf {each.index}"
    try:
        file = proof_file.parse(each.proof.encode())
    except (MalformedValue, UnicodeEncodeError):
        raise _Judged("TAMPERED", f"the proof of {place} is not in its form") from None
    # The proof has a copy of the checkpoint: another one there would be of another tree.
    if file.index != each.index or file.checkpoint_note != text.encode():
        raise _Judged("TAMPERED", f"the proof of {place} is of another place or checkpoint")
    try:
        proof.verify_inclusion(hashed, each.index, signed.size, file.proof, signed.root)
    except ProofFailed:
        raise _Judged("TAMPERED", f"{place} does not stand in the signed tree") from None


def _fields_of_leaf(each: ProvenLeaf) -> dict[str, object]:
    try:
        return parse_leaf(each.leaf)
    except NotCanonical as fault:
        raise _Judged("UNVERIFIABLE", f"leaf {each.index}: {fault}") from None


def _check_together(fields: Mapping[int, Mapping[str, object]]) -> None:
    pairs = [each.get("call") or each.get("stream") for each in fields.values()]
    if any(pair != pairs[0] for pair in pairs):  # not a set: a leaf may hold a list there
        raise _Judged("UNVERIFIABLE", "the leaves are of different calls")
