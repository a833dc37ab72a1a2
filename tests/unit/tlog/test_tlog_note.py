from base64 import b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gatelodge.tlog import note
from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.note import NoteSignature, SignedNote, VerifierKey

# The example of C2SP signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SIGNED = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXm"
    "RKuwHjG1Yu72IneyaQM=\n"
).encode()
LINE = "— a.example " + b64encode(b"\x00\x01\x02\x03signed").decode() + "\n"


def ed25519(public):
    key = Ed25519PublicKey.from_public_bytes(public)

    def holds(message, signature):
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return holds


class Key:
    def __init__(self, name, seed):
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.name = name
        self.vkey = VerifierKey(name, note.ED25519, self.private.public_key().public_bytes_raw())

    def sign(self, text):
        return note.sign(text, self.name, self.vkey.key_id, self.private.sign)

    @property
    def known(self):
        return {(self.name, self.vkey.key_id): ed25519(self.vkey.public)}


LOG, WITNESS = Key("log.example", 1), Key("witness.example", 2)
BOTH = LOG.known | WITNESS.known
TEXT = "Ognuno sta solo\n\ned è subito sera.\n"


def cosigned():
    return SignedNote(TEXT, LOG.sign(TEXT).signatures + WITNESS.sign(TEXT).signatures)


def test_the_published_note_is_read_verified_and_written_back():
    key = VerifierKey.parse(VKEY)
    read = note.parse(SIGNED)
    assert read.text == "This is an example message.\n"
    assert note.verify(read, {(key.name, key.key_id): ed25519(key.public)}) == ("example.com/foo",)
    assert note.format(read) == SIGNED


def test_the_published_verifier_key_is_read_and_written_back():
    key = VerifierKey.parse(VKEY)
    assert (key.name, key.kind, len(key.public)) == ("example.com/foo", note.ED25519, 32)
    assert key.key_id == note.key_id(key.name, 1, key.public) == bytes.fromhex("530d903a")
    assert key.format() == VKEY


def vkey(name, kind, public, key_id=None):
    key_id = note.key_id(name, kind, public) if key_id is None else key_id
    return f"{name}+{key_id.hex()}+{b64encode(bytes([kind]) + public).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        VKEY + "=",
        VKEY + "\n",
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "0530d903a"),
        VKEY.replace("foo", "bar"),
        "name+00000000+",
        vkey("name", 1, b"x" * 31),
        vkey("name", 4, b"x" * 33),
        vkey("name", 6, b"x" * 32),
        vkey("name", 7, b""),
        vkey("", 1, b"x" * 32),
        vkey("two words", 1, b"x" * 32),
        vkey("thin\u2009space", 1, b"x" * 32),
    ],
)
def test_a_verifier_key_out_of_form_is_refused(text):
    with pytest.raises(MalformedValue):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "key",
    [
        VerifierKey("a+b", 1, b"x" * 32),
        VerifierKey("name", 1, b"x"),
        VerifierKey("name", 256, b"x"),
        VerifierKey("name", -1, b"x"),
    ],
)
def test_a_verifier_key_that_cannot_be_read_back_is_not_written(key):
    with pytest.raises(MalformedValue):
        key.format()


def test_one_key_under_two_types_or_names_has_different_ids():
    ids = {note.key_id(name, kind, b"x" * 32) for name in ("a", "b") for kind in (1, 4)}
    assert len(ids) == 4


def test_the_names_of_known_keys_are_told_in_the_order_of_their_lines():
    assert note.verify(cosigned(), BOTH) == ("log.example", "witness.example")
    assert note.verify(cosigned(), WITNESS.known) == ("witness.example",)


def test_a_key_that_signed_twice_is_told_once():
    twice = SignedNote(TEXT, (*cosigned().signatures, NoteSignature(*key_of(LOG), b"again")))
    assert note.verify(twice, {key_of(LOG): lambda _text, _signature: True}) == ("log.example",)


def key_of(key):
    return (key.name, key.vkey.key_id)


def test_a_note_signed_by_strangers_only_fails():
    with pytest.raises(ProofFailed):
        note.verify(cosigned(), {})
    with pytest.raises(ProofFailed):
        note.verify(LOG.sign(TEXT), WITNESS.known)


def test_a_bad_signature_of_a_known_key_fails_the_note_beside_a_good_one():
    good, bad = cosigned().signatures
    forged = NoteSignature(bad.name, bad.key_id, bad.signature[:-1] + b"\x00")
    with pytest.raises(ProofFailed):
        note.verify(SignedNote(TEXT, (good, forged)), BOTH)
    assert note.verify(SignedNote(TEXT, (good, forged)), LOG.known) == ("log.example",)


def test_a_signature_under_a_known_name_and_another_id_is_passed_over():
    stranger = NoteSignature("log.example", b"\x00\x00\x00\x00", b"whatever")
    both = SignedNote(TEXT, (stranger, *LOG.sign(TEXT).signatures))
    assert note.verify(both, LOG.known) == ("log.example",)


def test_a_signature_does_not_cover_another_text():
    moved = SignedNote(TEXT.replace("sera", "seta"), cosigned().signatures)
    with pytest.raises(ProofFailed):
        note.verify(moved, BOTH)


def test_empty_lines_belong_to_the_text_up_to_the_last():
    for text in ("\n", "\n\n\n", "a\n\n", "\na\n\n\nb\n", "— a.example looks=like one\n\n"):
        signed = LOG.sign(text)
        assert note.parse(note.format(signed)) == signed


def test_a_line_separator_of_unicode_splits_nothing():
    signed = LOG.sign("one\u2028line\x85still\n")
    assert note.parse(note.format(signed)) == signed


def test_sixty_four_signatures_are_read_and_one_more_is_not():
    lines = ["— a.example " + b64encode(bytes([i]) * 100).decode() + "\n" for i in range(65)]
    assert len(note.parse(("t\n\n" + "".join(lines[:64])).encode()).signatures) == 64
    with pytest.raises(MalformedValue):
        note.parse(("t\n\n" + "".join(lines)).encode())


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n" + LINE,
        "\n" + LINE,
        LINE,
        "text\n\n" + LINE[:-1],
        "text\n\n" + LINE + "\n",
        "text\n\n" + LINE + "more\n",
        "text\n\n" + LINE + LINE,
        "te\x00xt\n\n" + LINE,
        "te\txt\n\n" + LINE,
        "text\r\n\n" + LINE,
        "text\n\n" + LINE.replace("\n", "\r\n"),
        "text\n\n" + LINE.replace("— ", "- "),
        "text\n\n" + LINE.replace("— ", "—"),
        "text\n\n" + LINE.replace("— ", "—  "),
        "text\n\n" + LINE.replace("a.example", ""),
        "text\n\n" + LINE.replace("a.example", "a+b"),
        "text\n\n" + LINE.replace("a.example", "a\u00a0b"),
        "text\n\n" + LINE.replace("a.example", "a\u2028b"),
        "text\n\n" + LINE.replace("a.example", "a b"),
        "text\n\n— a.example\n",
        "text\n\n— a.example \n",
        "text\n\n— a.example AAECAw==\n",
        "text\n\n— a.example AAEC\n",
        "text\n\n— a.example AAECAwQ\n",
        "text\n\n— a.example AAECAwR=\n",
        "t" * 600_000 + "\n\n" + LINE,
    ],
)
def test_a_note_out_of_form_is_refused(raw):
    with pytest.raises(MalformedValue):
        note.parse(raw.encode())


@pytest.mark.parametrize("broken", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_a_note_that_is_not_utf_8_is_refused(broken):
    with pytest.raises(MalformedValue):
        note.parse(b"te" + broken + b"xt\n\n" + LINE.encode())


GOOD = NoteSignature("a.example", b"abcd", b"signed")


@pytest.mark.parametrize(
    "wrong",
    [
        SignedNote("text", (GOOD,)),
        SignedNote("", (GOOD,)),
        SignedNote("te\x1bxt\n", (GOOD,)),
        SignedNote("\ud800\n", (GOOD,)),
        SignedNote("text\n", ()),
        SignedNote("text\n", (GOOD, GOOD)),
        SignedNote("text\n", (NoteSignature("a b", b"abcd", b"signed"),)),
        SignedNote("text\n", (NoteSignature("a\n", b"abcd", b"signed"),)),
        SignedNote("text\n", (NoteSignature("a", b"abc", b"signed"),)),
        SignedNote("text\n", (NoteSignature("a", b"abcd", b""),)),
        SignedNote("t" * 600_000 + "\n", (GOOD,)),
    ],
)
def test_a_note_that_cannot_be_read_back_is_not_written(wrong):
    with pytest.raises(MalformedValue):
        note.format(wrong)


def test_a_note_that_could_not_have_been_read_is_not_verified():
    with pytest.raises(MalformedValue):
        note.verify(SignedNote("text\n", (GOOD, GOOD)), {("a.example", b"abcd"): lambda *_: True})


@pytest.mark.parametrize(
    ("text", "name"), [("no newline", "a"), ("a\rb\n", "a"), ("text\n", "a b"), ("text\n", "")]
)
def test_a_signer_is_not_asked_to_sign_what_cannot_be_written(text, name):
    asked = []
    with pytest.raises(MalformedValue):
        note.sign(text, name, b"abcd", asked.append)
    assert asked == []
