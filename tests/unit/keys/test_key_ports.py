import hmac
import re
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.keys.sealing import AesSealer, DiskKeyWrap
from gatelodge.adapters.keys.signer import LogSigner
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.core.errors import KeyMismatch

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def test_digests_are_hmac_sha256_newest_pepper_first():
    peppers = HmacPeppers({"2": OTHER, "1": KEY})
    expected = [hmac.digest(key, b"token", "sha256").hex() for key in (OTHER, KEY)]
    assert peppers.digests("token") == tuple(expected)
    assert (peppers.current, peppers.digest("token")) == ("2", expected[0])


def test_hmac_agrees_with_the_published_vectors():
    # RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    rows = [
        (
            b"\x0b" * 20,
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ]
    for key, text, digest in rows:
        assert HmacPeppers({"1": key}).digest(text) == digest


def test_a_signature_verifies_under_the_public_key():
    signer = LogSigner(KEY, "gate.example.com/gov")
    Ed25519PublicKey.from_public_bytes(signer.public).verify(signer.sign(b"note"), b"note")
    assert (signer.name, len(signer.public)) == ("gate.example.com/gov", 32)


@pytest.mark.parametrize("plain", [b"", b"x", bytes(1000)])
def test_what_is_sealed_opens_in_its_own_context_only(plain):
    sealer = AesSealer(KEY)
    sealed = sealer.seal(plain, b"session")
    assert re.fullmatch(r"[0-9A-Za-z_-]+", sealed)
    assert sealer.open(sealed, b"session") == plain
    assert sealer.open(sealed, b"cursor") is None
    assert AesSealer(OTHER).open(sealed, b"session") is None
    assert sealer.seal(plain, b"session") != sealed


def test_a_sealed_text_with_any_character_changed_does_not_open():
    sealer = AesSealer(KEY)
    sealed = sealer.seal(b"plain", b"c")
    for place in range(len(sealed)):
        for letter in "AB_!":
            if sealed[place] != letter:
                changed = sealed[:place] + letter + sealed[place + 1 :]
                assert sealer.open(changed, b"c") is None


@pytest.mark.parametrize("text", ["", "A", "A" * 37, "=", "\N{SNOWMAN}", "A" * 10_000, " ", "\n"])
def test_what_was_never_sealed_does_not_open(text):
    assert AesSealer(KEY).open(text, b"c") is None


def test_a_wrapped_key_comes_back_under_the_same_key_and_context_only():
    wrap = DiskKeyWrap(KEY)
    wrapped = wrap.wrap(OTHER, b"member")
    assert wrap.unwrap(wrapped, b"member") == OTHER
    assert OTHER not in wrapped
    for key, context, given in [
        (KEY, b"other", wrapped),
        (OTHER, b"member", wrapped),
        (KEY, b"member", wrapped[:-1]),
        (KEY, b"member", b""),
    ]:
        with pytest.raises(KeyMismatch):
            DiskKeyWrap(key).unwrap(given, context)


def test_ids_carry_their_kind_and_never_meet():
    ids = SystemIds()
    made = [ids.new("mem") for _ in range(1000)]
    assert all(re.fullmatch(r"mem_[0-9A-Za-z]{22}", each) for each in made)
    assert len(set(made)) == 1000
    calls = [ids.call() for _ in range(1000)]
    assert all(re.fullmatch(r"c_[0-9A-Za-z_-]{22}", each) for each in calls)
    assert len(set(calls)) == 1000
    assert len({ids.random(16) for _ in range(100)}) == 100


def test_the_clocks_are_the_machines_own():
    clock = SystemClock()
    before, now, after = time.time(), clock.now() / 1_000_000, time.time()
    assert before - 0.001 <= now <= after + 0.001
    first, second = clock.boottime(), clock.boottime()
    assert 0 < first <= second
