"""The rounds of a call that asks: what is recorded, who may be asked, what a state is good for."""

import anyio
import pytest
from mcp import MCPError, types
from tests.gate import WAIT
from tests.integration.bridges.conftest import (
    NEEDING,
    PUSHING,
    every_server,
    pushing_server,
)
from tests.integration.bridges.pairs.covering import BY_FORM, about
from tests.integration.bridges.visitors import (
    ELICIT,
    MODERN,
    ROOTS,
    SAMPLE,
    Refused,
    accept,
    clients,
    every_client,
    form_client,
    legacy_client,
    methods,
    modern_client,
    of_clients,
    roots,
    said,
    text,
    visiting,
)
from tests.integration.watching.scraping import scrape

pytestmark = [pytest.mark.slow, *of_clients]
FORM = {ELICIT: [accept(count=1)]}
TOOLS = {"order": {"dish": "x"}, "compose": {"topic": "x"}, "look_around": {}}


@about(BY_FORM)
@modern_client
@every_server
async def test_each_round_of_a_modern_client_is_a_call_of_its_own_in_the_log(town, kind, alias):
    answers = {ELICIT: [accept(place="Rome"), accept(place="Oslo")]}
    before = len(town.leaves())
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        await visitor.call(f"{alias}__travel")
    assert town.outcomes(before) == ["input_required", "input_required", "ok"]


@about(BY_FORM)
@legacy_client
@every_server
async def test_all_rounds_of_a_legacy_client_are_one_call_in_the_log(town, kind, alias):
    answers = {ELICIT: [accept(place="Rome"), accept(place="Oslo")]}
    before = len(town.leaves())
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        await visitor.call(f"{alias}__travel")
    assert town.outcomes(before) == ["ok"]


@about(BY_FORM, SAMPLE, ROOTS)
@every_client
@every_server
async def test_who_declared_nothing_is_told_so(town, kind, alias):
    before = len(town.leaves())
    async with visiting(kind, town.url(), town.ada) as visitor:
        for tool, arguments in TOOLS.items():
            told = await _told(
                visitor.do("tools/call", name=f"{alias}__{tool}", arguments=arguments)
            )
            assert "did not declare" in told, (tool, told)
    wanted = "rpc_error" if alias in PUSHING else "upstream_protocol"
    assert town.outcomes(before) == [wanted] * 3


async def _told(work) -> str:
    """The words of a failure, be it a result or an error."""
    try:
        result = await work
    except Refused as refused:
        return str(refused)
    assert result["isError"]
    return text(result)


@modern_client
async def test_a_modern_client_hears_which_capability_is_missing(town, kind):
    async with visiting(kind, town.url(), town.ada, {ROOTS: [roots()]}) as visitor:
        for alias in PUSHING:
            with pytest.raises(Refused) as refused:
                await visitor.do("tools/call", name=f"{alias}__order", arguments={"dish": "x"})
            wanted = {"requiredCapabilities": {"elicitation": {}}}
            assert (refused.value.code, refused.value.details) == (-32021, wanted)


@about("initialize")
@every_client
@every_server
async def test_a_server_is_told_what_the_client_declared_and_no_more(town, kind, alias):
    form = {"elicitation": {"form": {}, "url": {}}}
    # Changes of roots are told by legacy clients, and to legacy servers: nobody else has a word.
    tells = kind not in MODERN and alias in PUSHING
    for answers, wanted in (
        ({}, {}),
        ({ROOTS: [roots()]}, {"roots": {"listChanged": True} if tells else {}}),
        ({SAMPLE: [said("x")], ELICIT: [accept()]}, {"sampling": {}, **form}),
    ):
        async with visiting(kind, town.url(), town.ada, answers) as visitor:
            told = types.ClientCapabilities.model_validate_json(
                await visitor.call(f"{alias}__declared")
            )
            assert told.model_dump(exclude_none=True, by_alias=True) == wanted


@about(SAMPLE)
@legacy_client
@every_server
async def test_an_answer_that_is_an_error_ends_the_call_in_words(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {SAMPLE: [None]}) as visitor:
        told = await _told(
            visitor.do("tools/call", name=f"{alias}__compose", arguments={"topic": "x"})
        )
        wanted = "did not answer" if alias in NEEDING else "this client fails"
        assert wanted in told
        async with visiting(kind, town.url(), town.ada, {SAMPLE: [said("fine")]}) as other:
            assert await other.call(f"{alias}__compose", topic="x") == "fine"


@every_server
async def test_a_state_is_good_for_one_request_of_one_member(town, alias):
    _, token = town.guest(*PUSHING, *NEEDING)
    order = {"name": f"{alias}__order", "arguments": {"dish": "soup"}}
    async with (
        visiting("python-modern", town.url(), town.ada, FORM) as ada,
        visiting("python-modern", town.url(alias), town.ada, FORM) as bare,
        visiting("python-modern", town.url(), token, FORM) as guest,
    ):
        asked = await round_of(ada, **order)
        again = {**order, **answered(asked, accept(count=2))}
        for visitor, changed in (
            (guest, {}),
            (bare, {"name": "order"}),
            (ada, {"arguments": {"dish": "poison"}}),
            (ada, {"name": f"{alias}__place", "arguments": {}}),
            (ada, {"request_state": asked["requestState"][:-2]}),
            (ada, {"request_state": "made up"}),
        ):
            with pytest.raises(Refused, match="this state is not good") as refused:
                await round_of(visitor, **{**again, **changed})
            assert refused.value.code == -32602
        assert text(await round_of(ada, **again)) == "2 x soup"
        if alias in PUSHING:  # the call went on: it cannot go on twice
            with pytest.raises(Refused, match="this state is not good"):
                await round_of(ada, **again)


@pushing_server
async def test_a_question_that_is_not_answered_yet_is_asked_again(town, alias):
    survey = {"name": f"{alias}__survey", "arguments": {}}
    answers = {ELICIT: [accept()], SAMPLE: [said("")]}
    async with visiting("python-modern", town.url(), town.ada, answers) as ada:
        asked = await both_at_once(ada, survey)
        [form, poem] = sorted(asked["inputRequests"].items(), key=lambda x: x[1]["method"])
        partly = {poem[0]: said("Hello,")}
        asked = await round_of(
            ada, **survey, input_responses=partly, request_state=asked["requestState"]
        )
        assert asked["inputRequests"][form[0]] == form[1]
        given = {form[0]: accept(name="Ada"), poem[0]: said("Bye,")}
        done = await round_of(
            ada, **survey, input_responses=given, request_state=asked["requestState"]
        )
        assert text(done) == "Bye, Ada"


@about("tools/call")
@every_client
@pytest.mark.parametrize("alias", NEEDING)
async def test_a_server_that_asks_nothing_but_time_is_called_again(town, kind, alias):
    async with visiting(kind, town.url(), town.ada) as visitor:
        assert await visitor.call(f"{alias}__patience", rounds=3) == "after 3"


@clients("python-2025-11-25", "node2-legacy")
async def test_a_server_that_never_has_time_is_left(town, kind):
    before = len(town.leaves())
    async with visiting(kind, town.url(), town.ada) as visitor:
        call = {"name": "need__patience", "arguments": {"rounds": 100}}
        told = await visitor.do("tools/call", **call)
        assert told["isError"]
        assert "more than 10 times" in text(told)
    assert town.outcomes(before) == ["blocked_response"]


@pushing_server
async def test_a_call_that_is_never_taken_up_again_is_in_nobodys_way(town, alias):
    _, token = town.guest(*PUSHING)
    order = {"name": f"{alias}__order", "arguments": {"dish": "soup"}}
    async with visiting("python-modern", town.url(), token, FORM) as guest:
        assert (await round_of(guest, **order))["inputRequests"]
        assert await guest.call(f"{alias}__order", dish="fish") == "1 x fish"
        assert (await round_of(guest, **order))["inputRequests"]
        assert await guest.call(f"{alias}__order", dish="pie") == "1 x pie"


def parked(town) -> int:
    """How many calls the node holds for their clients, as both of its ways tell it."""
    told = scrape(town.gate, local=True).number("gatelodge_calls_parked", workspace="main")
    held = [each for each in town.gate.api("GET", "/debug", local=True)["calls"] if each["parked"]]
    assert all((each["method"], each["call"][:2]) == ("tools/call", "c_") for each in held)
    assert told == len(held)
    return len(held)


async def test_so_many_calls_of_one_member_may_wait_and_no_more(town):
    _, token = town.guest(*PUSHING)
    others = parked(town)
    async with visiting("python-modern", town.url(), token, FORM) as guest:
        order = {"name": "push__order", "arguments": {"dish": "soup"}}
        waiting = [await round_of(guest, **order) for _ in range(3)]
        refused = await round_of(guest, **order)
        assert refused["isError"]
        assert "too many of your calls wait" in text(refused)
        assert parked(town) == others + len(waiting)
        for asked in waiting:
            done = await round_of(guest, **order, **answered(asked, accept(count=1)))
            assert text(done) == "1 x soup"
        assert parked(town) == others
        assert "inputRequests" in await round_of(guest, **order)


@form_client
async def test_a_server_of_both_eras_asks_in_that_of_its_client(town, kind):
    answers = {
        ELICIT: [accept(name="Ada")],
        SAMPLE: [said("Hello,")],
        ROOTS: [roots("file:///a", "file:///b")],
    }
    async with visiting(kind, town.url("both"), town.ada, answers) as visitor:
        told = await visitor.call("test_input_required_result_multiple_inputs")
        assert told == "Hello, Ada has 2 roots."
        assert sorted(methods(visitor.asked)) == [ELICIT, ROOTS, SAMPLE]
        told = await visitor.do("prompts/get", name="test_input_required_result_prompt")
        assert "Prompt with context" in told["messages"][0]["content"]["text"]


async def both_at_once(visitor, survey):
    """A round with both questions; where a server was slow to ask the second, it is called anew."""
    given = {ELICIT: accept(name="Ada"), SAMPLE: said("Hello,")}
    with anyio.fail_after(WAIT):
        while len((asked := await round_of(visitor, **survey))["inputRequests"]) < 2:
            while questions := asked.get("inputRequests"):
                answers = {key: given[each["method"]] for key, each in questions.items()}
                state = asked["requestState"]
                asked = await round_of(
                    visitor, **survey, input_responses=answers, request_state=state
                )
    return asked


async def round_of(visitor, **params):
    """One round of a call, which the Python SDK's modern client does not take any further."""
    try:
        result = await visitor.client.session.call_tool(**params, allow_input_required=True)
    except MCPError as error:
        raise Refused(error.code, str(error), error.error.data) from error
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def answered(asked, answer):
    """What makes a request the next round, with one answer to all that was asked."""
    given = dict.fromkeys(asked["inputRequests"], answer)
    return {"input_responses": given, "request_state": asked["requestState"]}
