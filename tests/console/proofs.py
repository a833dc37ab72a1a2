"""Proofs made in Python for the verifier that runs in the page, good ones and bad ones."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatelodge.core.records.verify import ProofDocument, ProvenLeaf, format_proof
from gatelodge.tlog import checkpoint, merkle, note, proof, proof_file

GATE = "gate.example.test"
LOG = "calls:w_1"
ORIGIN = f"{GATE}/calls/w_1"
CALL = "c_AAAAAAAAAAAAAAAAAAAAAA"
Case = dict[str, Any]


def base64(octets: bytes) -> str:
    return b64encode(octets).decode()


class MadeLog:
    """A log of so many leaves, and the key that signs it."""

    def __init__(self, size: int, seed: int = 1, gate: str = GATE) -> None:
        self.size = size
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.verifier = note.VerifierKey(
            gate, note.ED25519, self._key.public_key().public_bytes_raw()
        )
        self.bodies = [_body(at) for at in range(size)]
        self.hashes = [merkle.leaf_hash(each) for each in self.bodies]

    def node(self, level: int, index: int) -> bytes:
        return merkle.root(self.hashes[index << level : (index + 1) << level])

    def root(self, size: int) -> str:
        return base64(merkle.root(self.hashes[:size]))

    def signed(self, size: int) -> bytes:
        root = merkle.root(self.hashes[:size])
        text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, size, root))
        key = self.verifier
        return note.format(note.sign(text, key.name, key.key_id, self._key.sign))

    def file(self, *places: int) -> str:
        signed = self.signed(self.size)
        leaves = []
        for at in places:
            path = tuple(proof.inclusion(at, self.size, self.node))
            text = proof_file.format(proof_file.ProofFile(at, path, signed)).decode()
            leaves.append(ProvenLeaf(index=at, leaf=self.bodies[at], proof=text))
        made = ProofDocument(log=ORIGIN, leaves=tuple(leaves), checkpoint=signed.decode())
        return format_proof(made).decode()

    def case(self, *places: int) -> Case:
        page = {
            str(at): {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in json.loads(self.bodies[at]).items()
            }
            for at in places
        }
        return {
            "text": self.file(*places),
            "vkey": self.verifier.format(),
            "log": LOG,
            "pair": CALL,
            "page": page,
        }

    def growth(self, old: int, new: int) -> list[str]:
        return [base64(each) for each in proof.consistency(old, new, self.node)]


def _body(at: int) -> bytes:
    fields = {"at": f"2026-11-30T10:00:{at:02}Z", "call": CALL, "n": at, "t": "call.opened"}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def other_sign(sign: str) -> str:
    """Another sign that is as likely there."""
    if sign.isalnum():
        return chr(ord(sign) ^ 1) if chr(ord(sign) ^ 1).isalnum() else "b"
    return "x" if sign != "x" else "y"


def spoiled_texts(text: str) -> Iterator[str]:
    """The text with each of its signs changed, left out and doubled, one at a time."""
    for at, sign in enumerate(text):
        head, tail = text[:at], text[at + 1 :]
        yield head + other_sign(sign) + tail
        yield head + tail
        yield head + sign + text[at:]


def spoiled_cases(good: Case) -> Iterator[Case]:
    """The case with one thing changed; whatever it is, nothing is verified any more."""
    for text in spoiled_texts(good["text"]):
        yield {**good, "text": text}
    for text in spoiled_texts(good["vkey"]):
        yield {**good, "vkey": text}
    for index, row in good["page"].items():
        for name, value in row.items():
            yield {**good, "page": {**good["page"], index: {**row, name: value + " "}}}
            rest = {each: told for each, told in row.items() if each != name}
            yield {**good, "page": {**good["page"], index: rest}}
            yield {**good, "page": {**good["page"], index: {**row, "more": ""}}}
        yield {**good, "page": {each: r for each, r in good["page"].items() if each != index}}
    yield {**good, "page": {**good["page"], "99": {}}}
    yield {**good, "pair": CALL[:-1] + "B"}
    yield {**good, "log": "calls:w_2"}
    yield {**good, "log": "gov"}
