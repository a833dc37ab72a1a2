"""Signed notes: a text, and signatures of named keys over it.

    text, ending in a newline
    (an empty line)
    EM DASH name base64(key id, 4 bytes || signature)
    ...

The text means nothing until a signature of a known key over it has been checked.
Source: C2SP signed-note.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.strict import checked_text, format_base64, parse_base64

MAX_NOTE_BYTES = 512 * 1024
MAX_SIGNATURES = 64
"""The specification asks for at least 16; one post-quantum signature takes up to 7 kB of text."""

ED25519 = 0x01
COSIGNATURE_ED25519 = 0x04
COSIGNATURE_ML_DSA_44 = 0x06

KEY_ID_BYTES = 4
_PUBLIC_BYTES = {ED25519: 32, COSIGNATURE_ED25519: 32, COSIGNATURE_ML_DSA_44: 1312}
_DASH = "\N{EM DASH} "
_VKEY_PARTS = 3

Signer = Callable[[bytes], bytes]
Verifier = Callable[[bytes, bytes], bool]
"""Says whether the second argument is this key's signature over the first, the note's text."""


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, its 4-byte id, and what the key made of the text."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text with its final newline, and its signatures in the order of their lines."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name; `kind` is the signature type byte, `public` the key's bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand before this key's signatures."""
        return key_id(self.name, self.kind, self.public)

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Return the key written as `name+hex+base64`.

        Raises Malformed when a part is not in its form, when the id is not computed from the key
        as the specification recommends, or when a key of known type has the wrong length.
        """
        # Base64 may hold plus signs, and a name may not.
        parts = vkey.split("+", _VKEY_PARTS - 1)
        if len(parts) != _VKEY_PARTS:
            raise MalformedValue("a verifier key has three parts joined by plus signs")
        name, _, material = parts
        octets = parse_base64(material)
        if not octets:
            raise MalformedValue("a verifier key lacks its type")
        key = cls(checked_name(name), octets[0], octets[1:])
        # Written anew and compared: one rule for the id, the case of its hex and the padding.
        if key.format() != vkey:
            raise MalformedValue("a verifier key's id does not belong to its name and key")
        return key

    def format(self) -> str:
        """Return the key as `name+hex+base64`; raises Malformed for a bad name, type or length."""
        checked_name(self.name)
        if not self.public or len(self.public) != _PUBLIC_BYTES.get(self.kind, len(self.public)):
            raise MalformedValue("a public key is not as long as its type asks")
        hex_id = self.key_id.hex()
        return f"{self.name}+{hex_id}+{format_base64(bytes([self.kind]) + self.public)}"


def key_id(name: str, type_byte: int, public: bytes) -> bytes:
    """Return the 4-byte id of a key: it tells keys apart and proves nothing.

    Raises Malformed when the name cannot be written or the type is not a byte.
    """
    if not 0 <= type_byte <= 0xFF:
        raise MalformedValue("a signature type is one byte")
    return sha256(checked_text(name).encode() + b"\n" + bytes([type_byte]) + public).digest()[
        :KEY_ID_BYTES
    ]


def parse(raw: bytes) -> SignedNote:
    """Return the note in these bytes; nothing of it is verified.

    Raises Malformed for text that is not UTF-8 or holds control characters, a missing newline or
    blank line, a line that is no signature, a repeated line, and more than 512 KiB or 64 lines.
    """
    # Before it is decoded: a note comes from whoever wants to be believed.
    if len(raw) > MAX_NOTE_BYTES:
        raise MalformedValue("a note is longer than 512 KiB")
    try:
        whole = raw.decode()
    except UnicodeDecodeError:
        raise MalformedValue("a note is not UTF-8") from None
    if not checked_text(whole).endswith("\n"):
        raise MalformedValue("a note lacks its final newline")
    # The last one, since the text may hold empty lines itself (C2SP signed-note).
    blank = whole.rfind("\n\n")
    if blank < 0:
        raise MalformedValue("a note lacks the empty line before its signatures")
    lines = whole[blank + 2 : -1].split("\n")
    note = SignedNote(whole[: blank + 1], tuple(map(_parse_line, lines)))
    return _checked_note(note)


def format(note: SignedNote) -> bytes:  # noqa: A001 - read with its module: note.format
    """Return the bytes of a note that `parse` gives back; raises Malformed where it would."""
    _checked_note(note)
    raw = (note.text + "\n" + "".join(map(_format_line, note.signatures))).encode()
    if len(raw) > MAX_NOTE_BYTES:
        raise MalformedValue("a note is longer than 512 KiB")
    return raw


def sign(text: str, name: str, key_id: bytes, signer: Signer) -> SignedNote:
    """Return the text with one signature, made by the signer over its UTF-8 bytes.

    Raises Malformed before the signer is asked when the text cannot stand in a note.
    """
    # Before the signer is asked: a signature over what no note can hold must not exist.
    message = _checked_message(text)
    checked_name(name)
    return _checked_note(SignedNote(text, (NoteSignature(name, key_id, signer(message)),)))


def verify(note: SignedNote, verifiers: Mapping[tuple[str, bytes], Verifier]) -> tuple[str, ...]:
    """Return the names whose keys signed this text, each once, in the order of their lines.

    Verifiers stand under (name, key id). Unknown keys are passed over. Raises ProofFailed when a
    known key's signature is bad, even beside good ones, or when no known key signed; Malformed
    when the note could not have been parsed.
    """
    message = _checked_message(_checked_note(note).text)
    names: dict[str, None] = {}
    for each in note.signatures:
        verifier = verifiers.get((each.name, each.key_id))
        if verifier is None:
            continue
        # Skipped like an unknown one, a forged line under a known name would go unseen.
        if not verifier(message, each.signature):
            raise ProofFailed("a known key did not make the signature under its name")
        names[each.name] = None
    if not names:
        raise ProofFailed("no known key signed the note")
    return tuple(names)


def checked_name(name: str) -> str:
    """Return the name if a key may bear it: not empty, no space of any kind, no plus sign.

    Raises Malformed.
    """
    checked_text(name)
    if not name or "+" in name or any(map(str.isspace, name)):
        raise MalformedValue("a key's name is empty or holds a space or a plus sign")
    return name


def _checked_message(text: str) -> bytes:
    if not checked_text(text).endswith("\n"):
        raise MalformedValue("a note's text lacks its final newline")
    return text.encode()


def _checked_note(note: SignedNote) -> SignedNote:
    _checked_message(note.text)
    if not 1 <= len(note.signatures) <= MAX_SIGNATURES:
        raise MalformedValue("a note bears between 1 and 64 signatures")
    # Repeated lines would give one signed text many byte strings.
    if len(set(note.signatures)) != len(note.signatures):
        raise MalformedValue("a note repeats a signature line")
    for each in note.signatures:
        checked_name(each.name)
        if len(each.key_id) != KEY_ID_BYTES or not each.signature:
            raise MalformedValue("a signature line lacks its key id or its signature")
    return note


def _parse_line(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise MalformedValue("a line after the note's text is no signature")
    octets = parse_base64(encoded)
    return NoteSignature(name, octets[:KEY_ID_BYTES], octets[KEY_ID_BYTES:])


def _format_line(each: NoteSignature) -> str:
    return f"{_DASH}{each.name} {format_base64(each.key_id + each.signature)}\n"
