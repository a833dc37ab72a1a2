"""Laws of what is said between eras: nothing is lost, nothing is widened, nothing raises."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw
from tests.property.wire_json import blanks, objects, read, readable, values

from gatelodge.core.protocol.bridge import batch, error_map, levels, questions, state, tasks
from gatelodge.core.protocol.capabilities import (
    APPS,
    TASKS,
    declared,
    for_legacy,
    has_extension,
    may_ask,
    offered,
)
from gatelodge.core.protocol.envelope import MessageFault, join_members, members_of
from gatelodge.core.protocol.result import for_client, instructions
from gatelodge.core.protocol.shown.uris import UriPrefix

texts = st.text(st.characters(codec="utf-8"), max_size=20)
raws = values.map(lambda text: Raw(text.encode()))
members = objects.filter(readable).map(lambda text: members_of(Raw(text.encode())))

parts = st.sampled_from(["{}", '{"x":1}', "null", "true", "false", "7"])


@st.composite
def capabilities(draw):
    made = {
        "elicitation": draw(st.dictionaries(st.sampled_from(["form", "url", "voice"]), parts)),
        "sampling": draw(st.dictionaries(st.sampled_from(["tools", "context", "voice"]), parts)),
        "roots": draw(st.dictionaries(st.just("listChanged"), parts)),
        "extensions": draw(
            st.dictionaries(
                st.sampled_from([APPS, TASKS, "x/y"]),
                parts,
            )
        ),
        "novel": {},
    }  # fmt: skip
    names = draw(st.permutations(sorted(made)))
    chosen = {name: made[name] for name in names if draw(st.booleans())}
    shuffled = {k: dict(draw(st.permutations(sorted(v.items())))) for k, v in chosen.items()}
    raw = {k: {name: Raw(v.encode()) for name, v in part.items()} for k, part in shuffled.items()}
    return chosen, Raw(msgspec.json.encode(raw))


def same_in_order(value):
    return msgspec.json.encode(value, order="deterministic")


@given(capabilities())
def test_capabilities_are_declared_once_and_for_all_in_one_spelling(drawn):
    given_, raw = drawn
    kept = declared(raw)
    assert declared(Raw(kept)) == kept
    assert same_in_order(msgspec.json.decode(kept)) == kept
    sorted_ = {k: {n: Raw(v.encode()) for n, v in part.items()} for k, part in given_.items()}
    assert declared(Raw(msgspec.json.encode(sorted_, order="deterministic"))) == kept


@given(capabilities())
def test_a_client_is_never_asked_for_more_than_it_declared(drawn):
    given_, raw = drawn
    kept = declared(raw)
    for name, part in msgspec.json.decode(kept).items():
        for member in part:
            assert given_[name][member] in ("{}", '{"x":1}', "true")
    elicitation = given_.get("elicitation")
    yes = {"{}", '{"x":1}', "true"}
    form = elicitation is not None and (not elicitation or elicitation.get("form") in yes)
    url = elicitation is not None and elicitation.get("url") in yes
    assert may_ask(kept, "elicitation/create", Raw(b"{}")) is form
    assert may_ask(kept, "elicitation/create", Raw(b'{"mode":"url"}')) is url
    assert may_ask(kept, "roots/list", Raw(b"{}")) is ("roots" in given_)
    assert not has_extension(bytes(for_legacy(kept)), TASKS)


@given(members, st.none() | members, st.none() | texts)
def test_a_retry_is_its_request_and_its_round(params, responses, sealed):
    assume(not {"inputResponses", "requestState"} & params.keys())
    responses = None if responses is None else {key: Raw(b'{"n":1E400}') for key in responses}
    mine = b"" if sealed is None else msgspec.json.encode(sealed)
    sent = questions.retry_params(params, responses, mine)
    retry = questions.read_retry(sent)
    assert (retry.params, retry.responses, retry.state) == (params, responses, sealed)
    assert state.request_digest("m", sent) == state.request_digest("m", params)


asked = st.builds(
    questions.InputRequest,
    st.sampled_from(sorted(questions.ASKED)),
    objects.filter(readable).map(lambda text: Raw(text.encode())),
)


@given(st.dictionaries(texts, asked, min_size=1, max_size=4), texts)
def test_questions_are_read_as_they_were_put(requests, sealed):
    made = members_of(questions.input_required(requests, sealed))
    known = questions.read_input_required(made)
    assert known == questions.InputRequired(requests, msgspec.json.encode(sealed))
    for request in requests.values():
        assert bytes(request.params) in bytes(made["inputRequests"])


@given(asked, st.sampled_from(["2025-11-25", "2025-06-18", "2025-03-26"]))
def test_a_question_that_crosses_both_eras_comes_back_or_was_never_put(request, version):
    modern = questions.to_modern(questions.from_legacy(request.method, request.params))
    legacy = questions.to_legacy(modern, version, "e")
    if legacy is None:
        assert request.method == "elicitation/create"
        return
    again = questions.to_modern(questions.from_legacy(legacy.method, legacy.params))
    old, new = read(bytes(modern.params)), read(bytes(again.params))
    if version < "2025-11-25" and request.method == "elicitation/create":  # it knows no modes
        old.pop("mode", None)
    assert new == old


@given(members, members, texts, texts)
def test_requests_have_one_digest_exactly_when_they_are_one(one, other, method, another):
    left, right = state.request_digest(method, one), state.request_digest(another, other)
    round_ = ("_meta", "inputResponses", "requestState")
    kept = [{k: bytes(v) for k, v in each.items() if k not in round_} for each in (one, other)]
    assert (left == right) is ((method, kept[0]) == (another, kept[1]))
    backwards = dict(reversed(one.items()))
    assert state.request_digest(method, backwards) == left


bindings = st.builds(state.StateBinding, texts, texts, texts, texts, st.binary(max_size=32))
counts = st.integers(0, 2**62)
octets = st.binary(max_size=40)
states = st.one_of(
    st.builds(state.ParkedCall, bindings, counts, counts, texts, octets),
    st.builds(state.RelayedCall, bindings, counts, counts, octets),
)


@given(states, st.data())
def test_a_state_is_read_back_and_its_broken_pieces_are_none_or_another(value, data):
    plain = state.pack(value)
    assert state.read_state(plain) == value
    at = data.draw(st.integers(0, len(plain) - 1))
    broken = plain[:at] + data.draw(st.binary(max_size=3)) + plain[at + 1 :]
    other = state.read_state(broken)
    assert other is None or state.read_state(state.pack(other)) == other
    assert state.read_task_id(plain) is None


@given(st.lists(values, min_size=1, max_size=6), blanks, blanks)
def test_a_batch_is_split_into_the_bytes_that_were_joined(messages, before, after):
    raw = [each.encode() for each in messages]
    body = (before + "[" + ",".join(before + each + after for each in messages) + "]").encode()
    assert batch.split_batch(body, 6) == tuple(raw)
    assert batch.split_batch(batch.join_batch(raw), 6) == tuple(raw)
    assert batch.is_batch(body)


@given(st.binary(max_size=60) | values.map(str.encode))
def test_a_body_that_is_no_batch_is_refused_and_nothing_else_is_raised(body):
    with suppress(MessageFault):
        batch.split_batch(body, 3)
    batch.is_batch(body)


@given(members, texts, texts)
def test_a_task_id_is_exchanged_both_ways_and_nothing_else(answer, theirs, sealed):
    began = answer | {"taskId": Raw(msgspec.json.encode(theirs))}
    shown = tasks.with_task(began, sealed)
    assert tasks.task_of(shown) == sealed
    assert tasks.with_task(shown, theirs) == began


@given(texts, st.lists(st.tuples(texts, st.text(max_size=400)), max_size=5), st.integers(8, 900))
def test_instructions_never_outgrow_their_cap(own, servers, most):
    said = instructions(own, servers, most)
    assert len(said.encode("utf-8", "replace")) <= most
    if not any(text.strip() for _, text in servers) and len(own.encode()) <= most:
        assert said == own.removeprefix("\n\n")


@pytest.mark.guarantee("protocol:lossless")
@given(members, st.sampled_from(["tools/call", "resources/read", "prompts/get"]))
def test_a_result_that_went_to_a_modern_client_holds_all_that_a_legacy_server_said(result, method):
    owned = {"resultType", "ttlMs", "cacheScope", "structuredContent"}
    assume(not owned & result.keys())
    raw = Raw(join_members(result))
    modern = for_client(raw, result, "modern", b"{}", method)
    legacy = for_client(Raw(modern), members_of(Raw(modern)), "legacy", b"{}", method)
    assert legacy == bytes(raw)


@given(
    raws, st.sampled_from(["resources/read", "tools/call"]), st.sampled_from(["modern", "legacy"])
)
def test_an_error_is_turned_into_the_clients_era_once(error, method, era):
    other = "legacy" if era == "modern" else "modern"
    told = error_map.error_for(error, method, other, era, "u")
    assert error_map.error_for(told, method, era, era, "u") is told


@given(raws, values.filter(readable))
def test_whatever_is_said_is_read_or_turned_away_and_nothing_is_raised(raw, text):
    given_ = members_of(Raw(text.encode()))
    declared(raw), offered((raw,), frozenset((APPS,)))
    for method in (*questions.ASKED, "novel"):
        may_ask(declared(raw), method, raw)
        request = questions.from_legacy(method, raw)
        questions.to_legacy(request, "2025-11-25", "e")
        questions.link_text(request)
        questions.response_value(method, raw)
        questions.refusal(declared(raw), method)
    questions.read_requests(raw), questions.from_url_required(raw)
    questions.read_input_required(given_), questions.read_retry(given_)
    levels.message_level(bytes(raw)), levels.read_level(raw)
    tasks.needs_task(raw)
    tasks.shown_task(Raw(text.encode()), given_, "s", UriPrefix("gh"))


@pytest.mark.parametrize("wanted", [*levels.LEVELS, "", "loud"])
@given(texts | st.sampled_from(levels.LEVELS))
def test_what_passes_a_level_passes_every_lower_one(wanted, level):
    if levels.passes(wanted, level):
        below = levels.LEVELS[: levels.LEVELS.index(wanted)]
        assert all(levels.passes(lower, level) for lower in below)
