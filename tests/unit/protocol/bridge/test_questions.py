"""Questions of either era: read, turned into the other's, answered."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.protocol.bridge.questions import (
    CANCELLED,
    MOST,
    MOST_STATE,
    InputRequest,
    InputRequired,
    from_legacy,
    from_url_required,
    input_required,
    link_text,
    read_input_required,
    read_requests,
    read_retry,
    refusal,
    response_value,
    retry_params,
    to_legacy,
    to_modern,
    with_state,
)
from gatelodge.core.protocol.envelope import members_of

ODD = b'{"message":"m","n":123456789012345678901234567890,"f":1E400,"novel":[ 1 ]}'
FORM = InputRequest("elicitation/create", Raw(ODD))
URL = b'{"mode":"url","message":"Sign in","url":"https://x/y","novel":1E400}'


def members(text: str | bytes):
    return members_of(Raw(text.encode() if isinstance(text, str) else text))


def test_what_a_modern_server_asks_is_read_with_its_params_untouched():
    result = members(
        b'{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create",'
        b'"params":%b},"b":{"method":"roots/list"}},"requestState":"s\\u00e9"}' % ODD
    )
    assert read_input_required(result) == InputRequired(
        {"a": FORM, "b": InputRequest("roots/list")}, b'"s\\u00e9"'
    )


@pytest.mark.parametrize(("bytes_more", "read"), [(0, True), (1, False)])
def test_a_state_is_handed_on_up_to_a_bound(bytes_more, read):
    state = '"' + "s" * (MOST_STATE - 2 + bytes_more) + '"'
    found = read_input_required(members('{"requestState":' + state + "}"))
    assert (found is not None) is read


def test_a_state_alone_is_enough():
    assert read_input_required(members('{"requestState":""}')) == InputRequired({}, b'""')


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"inputRequests":{}}',
        '{"inputRequests":[]}',
        '{"inputRequests":null}',
        '{"inputRequests":{"a":{"method":"ping","params":{}}}}',
        '{"inputRequests":{"a":{"method":"elicitation/create"}}}',
        '{"inputRequests":{"a":{"method":"elicitation/create","params":[]}}}',
        '{"inputRequests":{"a":{"params":{}}}}',
        '{"inputRequests":{"a":7}}',
        '{"requestState":7}',
        '{"requestState":null,"inputRequests":null}',
        '{"inputRequests":{"a":{"method":"elicitation/create","params":null}}}',
        '{"inputRequests":{"a":{"method":"roots/list"},"a":{"method":"roots/list"}}}',
        '{"inputRequests":{"a":{"method":"roots/list","method":"roots/list"}}}',
        '{"inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","mode":"form"}}}}',
    ],
)
def test_what_is_no_question_is_not_passed_on(text):
    assert read_input_required(members(text)) is None


ROOTS = {"a": InputRequest("roots/list")}


@pytest.mark.parametrize(
    ("text", "read", "relayed"),
    [
        (
            '{"requestState":null,"inputRequests":{"a":{"method":"roots/list"}}}',
            InputRequired(ROOTS),
            {"inputRequests": {"a": {"method": "roots/list"}}, "requestState": "ours"},
        ),
        (
            '{"requestState":"s","inputRequests":null}',
            InputRequired({}, b'"s"'),
            {"requestState": "ours"},
        ),
        (
            '{"inputRequests":{"a":{"method":"roots/list","params":null}}}',
            InputRequired(ROOTS),
            {"inputRequests": {"a": {"method": "roots/list"}}, "requestState": "ours"},
        ),
    ],
)
def test_what_a_server_writes_as_null_in_its_question_is_absent_and_not_passed_on(
    text, read, relayed
):
    assert read_input_required(members(text)) == read
    assert json.loads(bytes(with_state(members(text), "ours"))) == relayed


@pytest.mark.parametrize(
    "nulls",
    [
        '"inputResponses":null,"requestState":null',
        '"inputResponses":null',
        '"requestState":null',
    ],
)
def test_a_round_whose_members_are_all_null_is_a_first_request(nulls):
    retry = read_retry(members('{"name":"a",' + nulls + "}"))
    assert (retry.params, retry.responses, retry.state) == (members('{"name":"a"}'), None, None)


def test_an_answer_beside_a_null_state_and_a_state_beside_null_answers_are_taken():
    answered = read_retry(members('{"inputResponses":{"k":{}},"requestState":null}'))
    assert (answered.responses, answered.state) == (members('{"k":{}}'), None)
    waited = read_retry(members('{"inputResponses":null,"requestState":"s"}'))
    assert (waited.responses, waited.state) == (None, "s")


def test_a_null_elicitation_id_is_as_good_as_none_and_a_null_mode_too():
    asked = Raw(b'{"mode":"url","elicitationId":null,"message":"m","url":"https://x"}')
    shown = to_legacy(InputRequest("elicitation/create", asked), "2025-11-25", "ours")
    assert json.loads(bytes(shown.params))["elicitationId"] == "ours"
    page = '{"mode":null,"elicitationId":"e","message":"m","url":"https://x"}'
    error = Raw(b'{"code":-32042,"message":"m","data":{"elicitations":[%b]}}' % page.encode())
    (visit,) = from_url_required(error).values()
    assert json.loads(bytes(visit.params))["mode"] == "url"


def test_no_more_questions_are_taken_at_once_than_a_person_could_answer():
    def asked(count):
        return Raw(json.dumps({str(n): {"method": "roots/list"} for n in range(count)}).encode())

    assert len(read_requests(asked(MOST))) == MOST
    assert read_requests(asked(MOST + 1)) is None


def test_a_modern_client_is_asked_under_our_state_with_params_byte_for_byte():
    made = input_required({"k": FORM}, "sealed")
    assert ODD in bytes(made)
    assert read_input_required(members_of(made)) == InputRequired({"k": FORM}, b'"sealed"')
    assert json.loads(bytes(made))["resultType"] == "input_required"
    assert json.loads(bytes(input_required({}, "s"))) == {
        "resultType": "input_required",
        "requestState": "s",
    }
    assert b"requestState" not in bytes(input_required({"k": FORM}, None))


def test_a_relayed_question_keeps_everything_but_its_state():
    result = members(
        b'{"resultType":"input_required","requestState":"theirs","inputRequests":{"a" : %b},'
        b'"novel":1E400}' % ODD
    )
    ours = members_of(with_state(result, "ours"))
    assert bytes(ours.pop("requestState")) == b'"ours"'
    assert ours == {key: value for key, value in result.items() if key != "requestState"}
    assert "requestState" not in members_of(with_state(result, None))


def test_a_first_request_is_no_retry():
    params = members('{"name":"a","arguments":{}}')
    retry = read_retry(params)
    assert (retry.params, retry.responses, retry.state) == (params, None, None)
    assert retry_params(params, None, b"") == params


def test_a_retry_is_told_apart_from_its_request_and_put_together_again():
    params = members(
        '{"name":"a","inputResponses":{"k":{"action":"accept","content":{"n":1E400}}},'
        '"requestState":"s","arguments":{"x": 1}}'
    )
    retry = read_retry(params)
    assert retry.params == members('{"name":"a","arguments":{"x": 1}}')
    assert retry.responses == members('{"k":{"action":"accept","content":{"n":1E400}}}')
    assert retry.state == "s"
    upstream = retry_params(retry.params, retry.responses, b'"th\\u0065irs"')
    assert bytes(upstream["requestState"]) == b'"th\\u0065irs"'
    assert bytes(upstream["inputResponses"]) == bytes(params["inputResponses"])


@pytest.mark.parametrize(
    "text",
    [
        '{"inputResponses":[]}',
        '{"inputResponses":{"k":"yes"}}',
        '{"inputResponses":{"k":null}}',
        '{"requestState":7}',
    ],
)
def test_a_malformed_retry_is_refused(text):
    assert read_retry(members(text)) is None


def test_a_legacy_question_loses_what_the_modern_era_has_not():
    url = Raw(b'{"mode":"url","elicitationId":"e","message":"m","url":"https://x","task":{}}')
    asked = from_legacy("elicitation/create", url)
    shown = {"mode": "url", "message": "m", "url": "https://x"}
    assert json.loads(bytes(to_modern(asked).params)) == shown
    assert json.loads(bytes(asked.params)) == shown | {"elicitationId": "e"}
    assert to_legacy(asked, "2025-11-25", "another") is asked
    meta = Raw(
        b'{"messages":[],"_meta":{"progressToken":1,"io.modelcontextprotocol/related-task":{},'
        b'"v/x":1.0}}'
    )
    assert bytes(from_legacy("sampling/createMessage", meta).params) == (
        b'{"messages":[],"_meta":{"v/x":1.0}}'
    )
    only = Raw(b'{"_meta":{"progressToken":1}}')
    assert bytes(from_legacy("roots/list", only).params) == b"{}"


def test_a_question_that_both_eras_know_passes_byte_for_byte():
    for params in (Raw(ODD), Raw(b'{"messages": [], "_meta": {"v/x": 1}}')):
        assert from_legacy("sampling/createMessage", params).params is params
    assert to_legacy(FORM, "2025-11-25", "e") is FORM
    assert to_legacy(FORM, "2025-06-18", "e") is FORM
    sampling = InputRequest("sampling/createMessage", Raw(b'{ "messages": [] }'))
    assert to_legacy(sampling, "2025-03-26", "e") is sampling
    assert from_legacy("roots/list", Raw(b"null")) == InputRequest("roots/list")


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_a_mode_of_null_is_none(version):
    """A client that reads strictly would refuse it; without one it is form mode."""
    asked = InputRequest("elicitation/create", Raw(b'{"mode":null,"message":"m"}'))
    shown = to_legacy(asked, version, "e")
    assert shown is not None
    assert bytes(shown.params) == b'{"message":"m"}'


def test_a_url_is_shown_to_clients_of_every_revision_that_declared_the_mode():
    asked = InputRequest("elicitation/create", Raw(URL))
    shown = to_legacy(asked, "2025-11-25", "e-1")
    assert json.loads(bytes(shown.params))["elicitationId"] == "e-1"
    assert b'"novel":1E400' in bytes(shown.params)
    assert to_modern(from_legacy(shown.method, shown.params)) == asked
    assert to_legacy(asked, "2025-06-18", "e-1") == shown
    assert to_legacy(asked, "2025-03-26", "e-1") == shown


def test_a_form_is_shown_to_older_clients_without_the_mode_that_they_do_not_know():
    asked = InputRequest("elicitation/create", Raw(b'{"mode":"form","message":"m","n":1E400}'))
    assert bytes(to_legacy(asked, "2025-06-18", "").params) == b'{"message":"m","n":1E400}'
    assert to_legacy(asked, "2025-11-25", "") is asked
    assert bytes(to_legacy(asked, "2025-03-26", "").params) == b'{"message":"m","n":1E400}'


def test_urls_that_a_legacy_server_requires_become_questions():
    error = Raw(
        b'{"code":-32042,"message":"visit","data":{"elicitations":['
        b'{"mode":"url","elicitationId":"e","message":"m","url":"https://x"},'
        b'{"elicitationId":"f","message":"n","url":"https://y"}]}}'
    )
    asked = from_url_required(error)
    assert [(key, q.method) for key, q in asked.items()] == [
        ("url-1", "elicitation/create"),
        ("url-2", "elicitation/create"),
    ]
    assert [json.loads(bytes(q.params)) for q in asked.values()] == [
        {"mode": "url", "message": "m", "url": "https://x"},
        {"mode": "url", "message": "n", "url": "https://y"},
    ]


@pytest.mark.parametrize(
    "error",
    [
        '{"code":-32603,"message":"x","data":{"elicitations":[{"message":"m","url":"u"}]}}',
        '{"code":-32042,"message":"x"}',
        '{"code":-32042,"message":"x","data":{"elicitations":[]}}',
        '{"code":-32042,"message":"x","data":{"elicitations":{}}}',
        '{"code":-32042,"message":"x","data":{"elicitations":[7]}}',
        '{"code":-32042,"message":"x","data":{"elicitations":[{"message":"m"}]}}',
        '{"code":-32042,"message":"x","data":{"elicitations":[{"mode":"form","message":"m","url":"u"}]}}',
        "[]",
    ],
)
def test_an_error_that_requires_no_urls_is_no_question(error):
    assert from_url_required(Raw(error.encode())) is None


def test_whoever_cannot_be_asked_is_told_the_link():
    assert link_text(InputRequest("elicitation/create", Raw(URL))) == "Sign in\nhttps://x/y"
    script = Raw(b'{"mode":"url","message":"Sign in","url":"javascript:alert(1)"}')
    assert link_text(InputRequest("elicitation/create", script)) == "Sign in"
    assert link_text(FORM) == ""
    assert link_text(InputRequest("roots/list")) == ""


def test_an_answer_passes_as_it_is_and_a_failed_elicitation_was_dismissed():
    given = Raw(b'{"action":"accept","content":{"n":1E400}}')
    assert response_value("elicitation/create", given) is given
    assert response_value("elicitation/create", None) is CANCELLED
    assert response_value("elicitation/create", Raw(b"7")) is CANCELLED
    assert response_value("sampling/createMessage", None) is None
    assert response_value("roots/list", Raw(b"[]")) is None


@pytest.mark.parametrize(
    ("capabilities", "method", "code"),
    [
        (b"{}", "elicitation/create", -32601),
        (b'{"elicitation":{}}', "elicitation/create", -32602),
        (b'{"sampling":{}}', "sampling/createMessage", -32602),
        (b'{"sampling":{}}', "roots/list", -32601),
        (b'{"elicitation":{}}', "elicitation/novel", -32601),
    ],
)
def test_a_server_that_may_not_ask_hears_why(capabilities, method, code):
    assert json.loads(bytes(refusal(capabilities, method)))["code"] == code


@pytest.mark.parametrize(
    ("capabilities", "method", "needed"),
    [
        (b"{}", "elicitation/create", {"elicitation": {}}),
        (b'{"elicitation":{}}', "elicitation/create", {"elicitation": {"url": {}}}),
        (b'{"elicitation":{"form":{}}}', "elicitation/create", {"elicitation": {"url": {}}}),
        (b'{"elicitation":{"url":{}}}', "elicitation/create", {"elicitation": {"form": {}}}),
        (b'{"sampling":{}}', "sampling/createMessage", {"sampling": {"tools": {}}}),
        (b'{"sampling":{}}', "roots/list", {"roots": {}}),
    ],
)
def test_a_modern_client_hears_which_part_of_a_capability_is_missing(capabilities, method, needed):
    told = json.loads(bytes(refusal(capabilities, method, "modern")))
    assert (told["code"], told["data"]) == (-32021, {"requiredCapabilities": needed})
