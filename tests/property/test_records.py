"""Laws of records: one spelling, commitments that bind, and verdicts instead of exceptions."""

from base64 import b64encode
from typing import get_args

import msgspec
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logbook import SeededSigner

from gatelodge.core.records.leaves import LEAVES, CallsLeaf, encode
from gatelodge.core.records.opening import (
    SALT_BYTES,
    Opening,
    act_of,
    committed,
    opened,
    opening_bytes,
    unsigned_rest,
)
from gatelodge.core.records.pairs import OpenPairs
from gatelodge.core.records.strict import NotCanonical, parse_leaf
from gatelodge.core.records.verify import (
    ProofDocument,
    ProvenLeaf,
    VerifyReport,
    format_proof,
    verify_proof,
)
from gatelodge.tlog import checkpoint, merkle, note, proof, proof_file

ORIGIN = "gate.example.com/calls/wsp_1"

texts = st.text(st.characters(codec="utf-8"), max_size=40)
counts = st.integers(0, 2**53 - 1)


@st.composite
def leaves(draw):
    kind = draw(st.sampled_from(sorted(LEAVES)))
    made = {}
    for field in msgspec.structs.fields(LEAVES[kind]):
        if not field.required and draw(st.booleans()):
            continue
        number = field.type in (int, bool, int | None)
        made[field.name] = draw(counts if number else texts)
    return LEAVES[kind](**{**made, "t": kind})


@given(leaves())
def test_a_leaf_is_encoded_as_rfc_8785_would(leaf):
    body = encode(leaf)
    values = msgspec.to_builtins(leaf)
    assert body == rfc8785.dumps(values)
    assert parse_leaf(body) == values


def test_each_leaf_has_a_word_of_its_own_which_it_writes():
    assert set(LEAVES.values()) == set(get_args(CallsLeaf))


@pytest.mark.parametrize("kind", sorted(LEAVES))
def test_fields_stand_in_the_order_of_their_names(kind):
    names = [field.name for field in msgspec.structs.fields(LEAVES[kind])]
    assert names == sorted(names)


openings = st.builds(Opening, agent=texts, client=texts, cred=texts, member=texts, request=texts)
salts = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)


LEAF = b'{"actor_c":"sha256:","at":"2026-11-22T15:00:00.000000Z","call":"c_1","t":"call.intent"}'


def leaf_with(salted: bytes, origin: str = ORIGIN, leaf: bytes = LEAF) -> bytes:
    """The leaf with a commitment to these salt and opening bytes."""
    rest = unsigned_rest(leaf.replace(b"sha256:", b"", 1))
    return committed(origin.encode(), salted, rest)[0]


@given(salts, openings)
def test_an_opening_is_what_was_committed_to(salt, opening):
    octets = opening_bytes(opening)
    assert octets == rfc8785.dumps(msgspec.to_builtins(opening))
    assert opened(salt + octets, act_of(ORIGIN, leaf_with(salt + octets))) == opening


@given(salts, openings, st.data())
def test_a_changed_opening_or_salt_is_not_believed(salt, opening, data):
    salted = bytearray(salt + opening_bytes(opening))
    act = act_of(ORIGIN, leaf_with(bytes(salted)))
    at = data.draw(st.integers(0, len(salted) - 1))
    salted[at] ^= 1 << data.draw(st.integers(0, 7))
    assert opened(bytes(salted), act) is None


@given(salts, openings, st.data())
def test_an_opening_fits_one_leaf_of_one_log_and_no_other(salt, opening, data):
    salted = salt + opening_bytes(opening)
    leaf = bytearray(leaf_with(salted))
    assert opened(salted, act_of(ORIGIN + "2", bytes(leaf))) is None
    at = data.draw(st.integers(LEAF.index(b'","'), len(leaf) - 1))
    leaf[at] = data.draw(st.integers(0, 255).filter(lambda octet: octet != leaf[at]))
    act = act_of(ORIGIN, bytes(leaf))
    assert act is None or opened(salted, act) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":9007199254740993}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'{"a":-0}',
        b"[]",
        b"1",
        b"",
        b"\xff",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000,
    ],
)
def test_another_spelling_of_a_leaf_is_refused(body):
    with pytest.raises(NotCanonical):
        parse_leaf(body)


SIGNER = SeededSigner()
KEY_ID = note.key_id(SIGNER.name, note.ED25519, SIGNER.public)
VKEY = note.VerifierKey(SIGNER.name, note.ED25519, SIGNER.public).format()
BODIES = [b'{"call":"c_%d","t":"call.intent","v":1}' % number for number in range(9)]


def document(index: int = 5, **changes) -> ProofDocument:
    hashes = [merkle.leaf_hash(body) for body in BODIES]
    text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, 9, merkle.root(hashes)))
    signed = note.format(note.sign(text, SIGNER.name, KEY_ID, SIGNER.sign))

    def node(level: int, at: int) -> bytes:
        return merkle.root(hashes[at << level : (at + 1) << level])

    file = proof_file.ProofFile(index, tuple(proof.inclusion(index, 9, node)), signed)
    leaf = ProvenLeaf(index=index, leaf=BODIES[index], proof=proof_file.format(file).decode())
    made = {"log": ORIGIN, "leaves": (leaf,), "checkpoint": signed.decode(), **changes}
    return ProofDocument(**made)


def test_a_proof_file_is_verified_with_the_key_alone():
    report = verify_proof(format_proof(document()), [VKEY])
    assert (report.verdict, report.signed_by, report.size) == ("VERIFIED", (SIGNER.name,), 9)


def test_a_type_from_the_future_is_listed_and_no_fault():
    body = b'{"t":"call.dreamt","v":9}'
    text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, 1, merkle.leaf_hash(body)))
    signed = note.format(note.sign(text, SIGNER.name, KEY_ID, SIGNER.sign))
    file = proof_file.format(proof_file.ProofFile(0, (), signed)).decode()
    leaf = ProvenLeaf(index=0, leaf=body, proof=file)
    report = verify_proof(
        format_proof(document(leaves=(leaf,), checkpoint=signed.decode())), [VKEY]
    )
    assert (report.verdict, report.unknown) == ("VERIFIED", ("call.dreamt",))


def other_key(name: str = SIGNER.name) -> str:
    stranger = SeededSigner(2, name)
    return note.VerifierKey(stranger.name, note.ED25519, stranger.public).format()


@pytest.mark.parametrize(
    ("changed", "keys", "verdict"),
    [
        (lambda d: d, [other_key()], "UNVERIFIABLE"),
        (lambda d: d, [], "UNVERIFIABLE"),
        (lambda d: d, ["not+a+key"], "UNVERIFIABLE"),
        (lambda d: d, [other_key("elsewhere.example.com"), VKEY], "VERIFIED"),
        (lambda d: d, [other_key(), VKEY], "UNVERIFIABLE"),
        (lambda d: d.replace(b'"v": 1', b'"v": 2, "v": 1', 1), [VKEY], "UNVERIFIABLE"),
        (
            lambda d: d.replace(b'"index": 5', b'"index": 4, "index": 5', 1),
            [VKEY],
            "UNVERIFIABLE",
        ),
        (lambda d: d.replace(b'"v": 1', b'"v": 2', 1), [VKEY], "UNVERIFIABLE"),
        (lambda d: d.replace(b"gatelodge-proof", b"gatelodge-cake"), [VKEY], "UNVERIFIABLE"),
        (lambda d: b"{}", [VKEY], "UNVERIFIABLE"),
        (lambda d: b"[" * 1_000_000, [VKEY], "UNVERIFIABLE"),
        (lambda d: b" " * (5 * 1024 * 1024), [VKEY], "UNVERIFIABLE"),
        (lambda d: d.replace(b'"index": 5', b'"index": 4', 1), [VKEY], "TAMPERED"),
        (lambda d: d.replace(b"wsp_1", b"wsp_2", 1), [VKEY], "TAMPERED"),
        (lambda d: d.replace(b"wsp_1", b"wsp_2"), [VKEY], "TAMPERED"),
        (
            lambda d: d.replace(b64encode(BODIES[5]), b64encode(BODIES[4])),
            [VKEY],
            "TAMPERED",
        ),
    ],
)
def test_each_way_to_spoil_a_proof_file_has_its_verdict(changed, keys, verdict):
    assert verify_proof(changed(format_proof(document())), keys).verdict == verdict


PAIRS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from(["", "c_1", "c_2"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner),
    max_leaves=3,
)


@given(st.lists(st.dictionaries(st.sampled_from(["call", "stream", "t", "v"]), PAIRS), min_size=1))
def test_leaves_that_belong_to_anything_at_all_get_a_verdict(fields):
    """Also where a log that was signed for the gate says something that no gate writes."""
    found = verified([rfc8785.dumps(each) for each in fields])
    pairs = [each.get("call") or each.get("stream") for each in fields]
    alike = all(each == pairs[0] for each in pairs)
    assert found.verdict == ("VERIFIED" if alike else "UNVERIFIABLE")


def verified(bodies: list[bytes]) -> VerifyReport:
    """What is judged of a file that proves all of these leaves of a log."""
    hashes = [merkle.leaf_hash(body) for body in bodies]
    text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, len(bodies), merkle.root(hashes)))
    signed = note.format(note.sign(text, SIGNER.name, KEY_ID, SIGNER.sign))

    def node(level: int, at: int) -> bytes:
        return merkle.root(hashes[at << level : (at + 1) << level])

    def proven(index: int) -> ProvenLeaf:
        file = proof_file.ProofFile(index, tuple(proof.inclusion(index, len(bodies), node)), signed)
        text = proof_file.format(file).decode()
        return ProvenLeaf(index=index, leaf=bodies[index], proof=text)

    leaves = tuple(proven(index) for index in range(len(bodies)))
    made = ProofDocument(log=ORIGIN, leaves=leaves, checkpoint=signed.decode())
    return verify_proof(format_proof(made), [VKEY])


def test_a_key_signs_for_the_logs_of_its_own_gate_only():
    stranger = SeededSigner(3, "other.example.com")
    hashes = [merkle.leaf_hash(body) for body in BODIES]
    text = checkpoint.format(checkpoint.Checkpoint(ORIGIN, 9, merkle.root(hashes)))
    key_id = note.key_id(stranger.name, note.ED25519, stranger.public)
    signed = note.format(note.sign(text, stranger.name, key_id, stranger.sign)).decode()
    leaf = document().leaves[0]
    moved = ProvenLeaf(
        index=5, leaf=leaf.leaf, proof=leaf.proof.replace(document().checkpoint, signed)
    )
    theirs = note.VerifierKey(stranger.name, note.ED25519, stranger.public).format()
    forged = format_proof(document(leaves=(moved,), checkpoint=signed))
    assert verify_proof(forged, [VKEY, theirs]).verdict == "UNVERIFIABLE"


@pytest.mark.parametrize(
    "point",
    [
        b"\0" * 32,
        b"\1" + b"\0" * 31,
        b"\1" + b"\0" * 30 + b"\x80",
        bytes.fromhex("ec" + "ff" * 30 + "7f"),
        bytes.fromhex("ee" + "ff" * 30 + "7f"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ],
)
def test_a_key_that_would_verify_anything_is_refused(point):
    weak = note.VerifierKey(SIGNER.name, note.ED25519, point).format()
    report = verify_proof(format_proof(document()), [weak])
    assert (report.verdict, report.reasons) == (
        "UNVERIFIABLE",
        ("a verifier key is a point that signs anything",),
    )


def test_leaves_of_different_calls_are_not_sold_as_one():
    both = (*document(5).leaves, *document(6).leaves)
    report = verify_proof(format_proof(document(leaves=both)), [VKEY])
    assert report.verdict == "UNVERIFIABLE"


@pytest.mark.guarantee("audit:tamper-evident")
@settings(max_examples=settings().max_examples * 3)
@given(st.data())
def test_no_single_changed_byte_is_verified_as_something_else(data):
    raw = bytearray(format_proof(document()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    report = verify_proof(bytes(raw), [VKEY])
    if report.verdict == "VERIFIED":
        assert report.leaves == {5: parse_leaf(BODIES[5])}
        assert report.log == ORIGIN


@given(st.binary(max_size=200))
def test_whatever_is_handed_in_the_answer_is_a_verdict(raw):
    assert verify_proof(raw, [VKEY]).verdict == "UNVERIFIABLE"


def test_a_key_of_the_same_name_does_not_sign_for_another():
    forged = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    good = document()
    text = note.parse(good.checkpoint.encode()).text
    signed = note.format(note.sign(text, SIGNER.name, KEY_ID, forged.sign)).decode()
    leaf = good.leaves[0]
    moved = ProvenLeaf(index=5, leaf=leaf.leaf, proof=leaf.proof.replace(good.checkpoint, signed))
    report = verify_proof(format_proof(document(leaves=(moved,), checkpoint=signed)), [VKEY])
    assert report.verdict == "TAMPERED"


events = st.lists(st.tuples(st.sampled_from(["call.intent", "call.outcome"]), st.integers(0, 4)))


@given(events, st.lists(st.integers(1, 6)))
def test_pairs_taken_in_parts_are_those_read_at_once_and_no_call_is_closed_twice(seen, cuts):
    opened_once: set[int] = set()
    bodies = []
    for t, call in seen:
        if t == "call.intent" and call in opened_once:
            continue
        if t == "call.intent":
            opened_once.add(call)
        bodies.append(b'{"call":"c_%d","node":"n","t":"%s"}' % (call, t.encode()))
    staged_pairs, log, cuts = OpenPairs(), [], [*cuts, len(bodies)]
    while bodies:
        part, bodies = bodies[: cuts[0]], bodies[cuts.pop(0) :]
        stage = staged_pairs.stage(len(log))
        stage.take(part)
        floor = stage.floor
        staged_pairs.settle(stage)
        log += stage.bodies
        assert all(each.index >= floor for _, each in staged_pairs.of_others(frozenset()))
        cuts = cuts or [len(bodies)]
    whole = OpenPairs()
    whole.read(log, 0)
    assert whole.of_others(frozenset()) == staged_pairs.of_others(frozenset())
    closers = [body for body in log if b"call.outcome" in body]
    assert len(set(closers)) == len(closers)
