"""What lists show is what filters take; what cannot match is refused with what can."""

import pytest

from gatelodge.core.errors import Invalid
from gatelodge.core.records.seen import SeenIds
from gatelodge.flows.audit.outcome import (
    ends_as,
    known_change,
    known_outcome,
    known_type,
    outcome_of,
)

SHOWN = [
    ({"t": "call.intent"}, {"outcome": "ok"}, "ok"),
    ({"t": "call.intent"}, None, "open"),
    ({"t": "call.intent"}, {"reason": "gateway_restart"}, "unresolved"),
    ({"t": "call.denied", "reason": "guardrail"}, None, "denied: guardrail"),
    ({"t": "request.refused", "reason": "too_large"}, None, "refused: too_large"),
    ({"t": "auth.failed", "reason": "unknown", "count": 7}, None, "unauthenticated: unknown x7"),
    ({"t": "request.refused", "reason": "limit", "count": 3}, None, "refused: limit x3"),
    ({"t": "answer.withheld", "reason": "stale"}, None, "withheld: stale"),
    ({"t": "stream.opened"}, {"reason": "shutdown"}, "closed: shutdown"),
    ({"t": "stream.opened"}, None, "open"),
    ({"t": "request.answered", "outcome": "rpc_error"}, None, "rpc_error"),
]


@pytest.mark.parametrize(("leaf", "closer", "shown"), SHOWN)
def test_an_outcome_copied_from_a_list_finds_the_record_that_it_was_copied_from(
    leaf, closer, shown
):
    assert outcome_of(leaf, closer) == shown
    assert ends_as(shown, known_outcome(shown))
    assert ends_as(shown, known_outcome(shown.partition(":")[0]))
    assert not ends_as(shown, "timeout")


@pytest.mark.parametrize(
    ("check", "text", "said"),
    [
        (known_outcome, "denyed", "did you mean denied"),
        (known_outcome, "denied: guardrial", "did you mean guardrail"),
        (known_outcome, "", "nothing ends as"),
        (known_type, "call.denyed", "did you mean call.denied"),
        (known_type, "grant.created", "stands in the gov log"),
        (known_change, "grant.made", "no change is of type"),
        (known_change, "call.intent", "stands in the log of calls"),
    ],
)
def test_a_word_that_cannot_match_is_refused_with_what_can(check, text, said):
    with pytest.raises(Invalid, match=said) as refusal:
        check(text)
    assert refusal.value.remedy


def test_a_set_of_many_ids_knows_each_that_it_saw():
    seen = SeenIds(b"k")
    names = [f"c_{number}" for number in range(150_000)]
    assert all(seen.add(name) for name in names)
    assert not any(seen.add(name) for name in names[::1000])
    assert seen.add("c_new")
