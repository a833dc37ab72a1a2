"""One authenticator says for every face whose token a request bears, and whose it once was."""

from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.view.rows import HOME, HOUR, NOON, agent, credential, member, view, workspace

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.core.errors import Stale
from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.core.tokens import mint
from gatelodge.flows.identity.authenticate import AuthenticatedCaller, TokenAuthenticator

PEPPERS = HmacPeppers({"1": b"\x01" * 32})
ANN, BOT, GONE, STRANGE = (mint("personal", bytes(range(at, at + 32))) for at in range(4))
SEEN = view(
    workspace(),
    member(),
    agent(),
    credential("mem_ann", "crd_ann", digest=PEPPERS.digest(ANN)),
    credential("agt_bot", "crd_bot", digest=PEPPERS.digest(BOT)),
    credential("mem_ann", "crd_gone", digest=PEPPERS.digest(GONE), revoked_at=NOON),
)
HERE, ELSEWHERE = calls_log(HOME), calls_log("wsp_other")


@pytest.fixture
def standing():
    return SimpleNamespace(view=SEEN, fresh=lambda: True, diverged="")


@pytest.fixture
def clock():
    return StillClock(NOON)


@pytest.fixture
def authenticator(standing, clock):
    return TokenAuthenticator(standing, PEPPERS, clock)


def header(token):
    return b"Bearer " + token.encode()


def test_a_good_token_gives_its_credential_its_holder_and_who_answers_for_them(authenticator):
    ann, bot = (authenticator.authenticate(header(each)) for each in (ANN, BOT))
    assert (ann.credential.id, ann.who.id) == ("crd_ann", "mem_ann")
    records = [
        (each.recorded.member, each.recorded.agent, each.recorded.credential) for each in (ann, bot)
    ]
    assert records == [("mem_ann", "", "crd_ann"), ("mem_ann", "agt_bot", "crd_bot")]


def test_a_token_opens_nothing_from_the_very_moment_of_its_end(authenticator, clock):
    clock.step(24 * HOUR / 1_000_000 - 1)
    assert isinstance(authenticator.authenticate(header(ANN)), AuthenticatedCaller)
    clock.step(1)
    assert authenticator.authenticate(header(ANN)) == "expired"
    assert authenticator.recorded_failure(header(ANN), "expired", HERE) == ("expired", "crd_ann")


@pytest.mark.parametrize("token", [ANN, GONE, STRANGE, "", "null"])
def test_a_node_that_is_not_fresh_says_nothing_of_any_token(authenticator, standing, token):
    standing.fresh = lambda: False
    with pytest.raises(Stale, match="cannot prove"):
        authenticator.authenticate(header(token))
    standing.diverged = "the gov log went back in time"
    with pytest.raises(Stale, match="back in time"):
        authenticator.authenticate(header(token))


def test_a_swapped_view_decides_at_once(authenticator, standing):
    standing.view = SEEN.without(credentials=("crd_ann",))
    assert authenticator.authenticate(header(ANN)) == "unknown"


@pytest.mark.parametrize(
    ("token", "log", "told"),
    [
        (GONE, HERE, ("ended", "crd_gone")),
        (GONE, UNROUTED, ("ended", "crd_gone")),
        (GONE, ELSEWHERE, ("unknown", "")),
        (ANN, HERE, ("unknown", "crd_ann")),
        (ANN, ELSEWHERE, ("unknown", "")),
        (STRANGE, UNROUTED, ("unknown", "")),
        ("null", UNROUTED, ("unknown", "")),
    ],
)
def test_whose_token_it_was_stands_in_the_logs_of_its_own_workspace_alone(
    authenticator, token, log, told
):
    assert authenticator.recorded_failure(header(token), "unknown", log) == told


@pytest.mark.parametrize("sent", [None, b"", b"Basic dTpw"])
def test_a_request_without_a_token_names_nobody(authenticator, sent):
    assert authenticator.recorded_failure(sent, "missing", UNROUTED) == ("missing", "")
