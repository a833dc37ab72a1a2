import pytest

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.core.tokens import mint
from gatelodge.flows.identity.authenticate import credential_of_header

PEPPERS = HmacPeppers({"2": b"\x02" * 32, "1": b"\x01" * 32})
TOKEN = mint("personal", bytes(range(32)))
OLD = mint("agent", bytes(range(1, 33)))
CREDENTIALS = {PEPPERS.digest(TOKEN): "new", PEPPERS.digests(OLD)[1]: "old"}


def header(token):
    return b"Bearer " + token.encode()


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer  "])
def test_a_good_token_gives_its_credential(scheme):
    assert credential_of_header(CREDENTIALS, PEPPERS, scheme + TOKEN.encode()) == "new"


def test_a_token_under_the_previous_pepper_is_still_good():
    assert credential_of_header(CREDENTIALS, PEPPERS, header(OLD)) == "old"


def test_a_token_under_a_pepper_that_is_gone_is_unknown():
    only_new = HmacPeppers({"2": b"\x02" * 32})
    assert credential_of_header(CREDENTIALS, only_new, header(OLD)) == "unknown"


@pytest.mark.parametrize(
    ("sent", "failure"),
    [
        (None, "missing"),
        (b"", "missing"),
        (b"Basic dTpw", "scheme"),
        (b"Bearer", "scheme"),
        (b"Bearer\t" + TOKEN.encode(), "scheme"),
        (TOKEN.encode(), "scheme"),
        (b"Bearer ", "malformed"),
        (b"Bearer null", "malformed"),
        (b"Bearer " + TOKEN[:-1].encode(), "malformed"),
        (b"Bearer " + TOKEN.encode() + b"x", "malformed"),
        (b"Bearer " + TOKEN.encode() + b", Bearer x", "malformed"),
        (b"Bearer \xff\xfe" + b"x" * 52, "malformed"),
        (header(mint("personal", bytes(32))), "unknown"),
    ],
)
def test_anything_else_is_told_apart(sent, failure):
    assert credential_of_header(CREDENTIALS, PEPPERS, sent) == failure


def test_a_digest_itself_opens_nothing():
    digest = PEPPERS.digest(TOKEN)
    assert credential_of_header(CREDENTIALS, PEPPERS, b"Bearer " + digest.encode()) == "malformed"


def test_every_pepper_is_tried_for_a_token_that_is_unknown_or_known():
    asked = []

    class Watched(dict):
        def get(self, key, default=None):
            asked.append(key)
            return super().get(key, default)

    watched = Watched(CREDENTIALS)
    for token in (TOKEN, OLD, mint("agent", bytes(32))):
        asked.clear()
        credential_of_header(watched, PEPPERS, header(token))
        assert asked == list(PEPPERS.digests(token))
