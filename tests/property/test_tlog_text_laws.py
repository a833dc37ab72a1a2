from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelodge.tlog import checkpoint, note, proof_file
from gatelodge.tlog.checkpoint import Checkpoint
from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.note import NoteSignature, SignedNote, VerifierKey
from gatelodge.tlog.proof_file import ProofFile
from gatelodge.tlog.tile import (
    TilePath,
    entries_path,
    pack_entries,
    parse_path,
    tile_path,
    unpack_entries,
)

half = settings(max_examples=settings().max_examples // 2)

written = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x20) | st.just("\n"))
line = st.text(
    st.characters(exclude_categories=["Cs"], min_codepoint=0x20), min_size=1, max_size=30
)
names = line.map(lambda text: "".join(c for c in text if c != "+" and not c.isspace())).filter(bool)
hashes = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 2**63 - 1)

signatures = st.builds(
    NoteSignature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80)
)
signed_by = st.lists(signatures, min_size=1, max_size=5, unique=True).map(tuple)
notes = st.builds(SignedNote, written.map(lambda text: text + "\n"), signed_by)
checkpoints = st.builds(Checkpoint, line, counts, hashes)
checkpoint_notes = st.builds(SignedNote, checkpoints.map(checkpoint.format), signed_by).map(
    note.format
)
proof_files = st.builds(
    ProofFile,
    counts,
    st.lists(hashes, max_size=63).map(tuple),
    checkpoint_notes,
    st.none() | st.binary(min_size=1, max_size=200),
)
keys = st.builds(VerifierKey, names, st.just(note.ED25519), hashes)
tile_paths = st.builds(
    TilePath,
    st.none() | st.integers(0, 63),
    st.integers(0, 3_000) | counts,
    st.integers(1, 256),
)
bundles = st.lists(st.binary(max_size=300), max_size=20)


def write_path(path):
    if path.level is None:
        return entries_path(path.n, path.width)
    return tile_path(path.level, path.n, path.width)


FORMS = {
    "note": (notes, note.format, note.parse),
    "checkpoint": (checkpoints, checkpoint.format, checkpoint.parse),
    "proof file": (proof_files, proof_file.format, proof_file.parse),
    "verifier key": (keys, VerifierKey.format, VerifierKey.parse),
    "tile path": (tile_paths, write_path, parse_path),
    "bundle": (bundles, pack_entries, unpack_entries),
}
forms = pytest.mark.parametrize("form", FORMS)


@forms
@half
@given(st.data())
def test_what_is_written_reads_back_as_it_was(form, data):
    values, write, read = FORMS[form]
    value = data.draw(values)
    assert read(write(value)) == value


@st.composite
def disturbed(draw, written):
    """One to three cuts, insertions or repetitions in something well formed."""
    text = draw(written)
    alphabet = st.binary if isinstance(text, bytes) else st.text
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 6)))
        middle = draw(alphabet(max_size=4) | st.just(text[start:end] * 2))
        text = text[:start] + middle + text[end:]
    return text


@forms
@half
@given(st.data())
def test_a_disturbed_text_is_refused_or_was_the_one_spelling_of_something_else(form, data):
    values, write, read = FORMS[form]
    text = data.draw(disturbed(values.map(write)))
    try:
        value = read(text)
    except MalformedValue:
        return
    if getattr(value, "extensions", ()) == ():
        assert write(value) == text


@forms
@half
@given(st.data())
def test_noise_is_read_or_refused_and_nothing_else(form, data):
    _, write, read = FORMS[form]
    binary = form in ("note", "proof file", "bundle")
    with suppress(MalformedValue):
        value = read(data.draw(st.binary() if binary else st.text()))
        write(value)


@half
@given(notes, st.data())
def test_a_note_is_verified_only_by_a_key_that_accepts_its_very_text(signed, data):
    chosen = data.draw(st.sampled_from(signed.signatures))
    made = {
        (signed.text.encode(), each.signature)
        for each in signed.signatures
        if (each.name, each.key_id) == (chosen.name, chosen.key_id)
    }
    known = {(chosen.name, chosen.key_id): lambda text, signature: (text, signature) in made}
    assert note.verify(signed, known) == (chosen.name,)
    with pytest.raises(ProofFailed):
        note.verify(SignedNote("x" + signed.text, signed.signatures), known)
