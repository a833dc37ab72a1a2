from base64 import b64encode

import pytest
from tests.unit.tlog.naive_tree import CT_LEAVES, NaiveTree

from gatelodge.tlog import checkpoint, note, proof_file
from gatelodge.tlog.checkpoint import Checkpoint
from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import leaf_hash
from gatelodge.tlog.note import NoteSignature, SignedNote
from gatelodge.tlog.proof import inclusion, verify_inclusion
from gatelodge.tlog.proof_file import ProofFile

TREE = NaiveTree(CT_LEAVES)
SIGNED = note.format(
    SignedNote(
        checkpoint.format(Checkpoint("log.example", 8, TREE.root(0, 8))),
        (NoteSignature("log.example", b"abcd", b"signed"),),
    )
)
HASH = b64encode(TREE.root(0, 8)).decode() + "\n"
HEAD = "c2sp.org/tlog-proof@v1\n"


def test_a_leaf_is_shown_by_its_file_alone():
    made = ProofFile(5, tuple(inclusion(5, 8, TREE.node)), SIGNED, CT_LEAVES[5])
    read = proof_file.parse(proof_file.format(made))
    assert read == made
    claimed = checkpoint.parse(note.parse(read.checkpoint_note).text)
    verify_inclusion(leaf_hash(read.extra), read.index, claimed.size, read.proof, claimed.root)


def test_the_lines_stand_as_the_specification_draws_them():
    made = ProofFile(73_894, (b"\x00" * 32, b"\xff" * 32), SIGNED, b"extra!")
    assert proof_file.format(made) == (
        b"c2sp.org/tlog-proof@v1\n"
        b"extra ZXh0cmEh\n"
        b"index 73894\n"
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        b"//////////////////////////////////////////8=\n"
        b"\n" + SIGNED
    )


def test_a_tree_of_one_leaf_needs_no_hashes_and_extra_may_be_absent():
    raw = f"{HEAD}index 0\n\n".encode() + SIGNED
    assert proof_file.parse(raw) == ProofFile(0, (), SIGNED)
    assert proof_file.format(ProofFile(0, (), SIGNED)) == raw


@pytest.mark.parametrize(
    "head",
    [
        "",
        "\n",
        HEAD + "\n",
        "index 0\n\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n",
        HEAD + "index\n\n",
        HEAD + "index 00\n\n",
        HEAD + "index -1\n\n",
        HEAD + "index 9223372036854775808\n\n",
        HEAD + "index  1\n\n",
        HEAD + "Index 1\n\n",
        HEAD + "index 1\r\n\n",
        HEAD + "index 1\nextra AAAA\n\n",
        HEAD + "index 1\nindex 1\n\n",
        HEAD + "extra AAAA\n\n",
        HEAD + "extra AAAA\nextra AAAA\nindex 1\n\n",
        HEAD + "extra \nindex 1\n\n",
        HEAD + "extra\nindex 1\n\n",
        HEAD + "extra AAA\nindex 1\n\n",
        HEAD + "extra AAB=\nindex 1\n\n",
        HEAD + "index 1\nAAAA\n\n",
        HEAD + "index 1\n " + HASH + "\n",
        HEAD + "index è\n\n",
        HEAD + "index 1\n" + HASH * 64 + "\n",
        HEAD + "index 1\n" + HASH,
        HEAD + "index 1\n\n\n",
    ],
)
def test_a_proof_file_out_of_form_is_refused(head):
    with pytest.raises(MalformedValue):
        proof_file.parse(head.encode() + SIGNED)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"nothing signed\n",
        SIGNED[:-1],
        SIGNED.replace(b"\n8\n", b"\n08\n"),
        b"one line\n\n" + SIGNED[SIGNED.index(b"\n\n") + 2 :],
    ],
)
def test_a_proof_file_without_a_signed_checkpoint_is_refused(rest):
    with pytest.raises(MalformedValue):
        proof_file.parse(f"{HEAD}index 0\n\n".encode() + rest)


def test_a_proof_file_too_long_to_be_one_is_refused():
    with pytest.raises(MalformedValue):
        proof_file.parse(b"x" * (proof_file.MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        ProofFile(-1, (), SIGNED),
        ProofFile(2**63, (), SIGNED),
        ProofFile(0, (b"short",), SIGNED),
        ProofFile(0, (b"x" * 32,) * 64, SIGNED),
        ProofFile(0, (), b""),
        ProofFile(0, (), SIGNED, b""),
        ProofFile(0, (), SIGNED, b"x" * (1024 * 1024 + 1)),
    ],
)
def test_a_proof_file_that_cannot_be_read_back_is_not_written(wrong):
    with pytest.raises(MalformedValue):
        proof_file.format(wrong)
