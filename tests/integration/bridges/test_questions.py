"""What a server asks during a call reaches the client of any SDK, whatever era either speaks."""

from itertools import product

import pytest
from tests.integration.bridges.conftest import (
    NEEDING,
    PUSHING,
    every_server,
    pushing_server,
)
from tests.integration.bridges.pairs.covering import BY_FORM, BY_PAGE, about
from tests.integration.bridges.visitors import (
    ELICIT,
    FORM_CLIENTS,
    MODERN,
    OLDEST,
    ROOTS,
    SAMPLE,
    accept,
    every_client,
    form_client,
    legacy_client,
    methods,
    modern_client,
    of_clients,
    roots,
    said,
    visiting,
)

pytestmark = [pytest.mark.slow, *of_clients]
PAGE = "https://page.example.test/"
every_pair = pytest.mark.parametrize(
    ("kind", "alias"), list(product(FORM_CLIENTS, (*PUSHING, *NEEDING)))
)
"""Every client with every server."""


@about(BY_FORM)
@every_pair
async def test_a_form_is_filled(town, kind, alias):
    answers = {ELICIT: [accept(count=3)]}
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        assert await visitor.call(f"{alias}__order", dish="soup") == "3 x soup"
        assert methods(visitor.asked) == [ELICIT]
        assert visitor.asked[0]["params"]["message"] == "How many of soup?"
        wanted = {"type": "object", "properties": {"count": {"type": "integer"}}}
        schema = visitor.asked[0]["params"]["requestedSchema"]
        assert schema == {**wanted, "required": ["count"]}


@about(SAMPLE)
@every_client
@every_server
async def test_a_model_is_asked(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {SAMPLE: [said("Roses")]}) as visitor:
        assert await visitor.call(f"{alias}__compose", topic="love") == "Roses"
        assert methods(visitor.asked) == [SAMPLE]
        [words] = visitor.asked[0]["params"]["messages"]
        assert words["content"]["text"] == "A poem on love"


@about(ROOTS)
@every_client
@every_server
async def test_roots_are_told(town, kind, alias):
    answers = {ROOTS: [roots("file:///home", "file:///srv")]}
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        assert await visitor.call(f"{alias}__look_around") == "file:///home file:///srv"
        assert methods(visitor.asked) == [ROOTS]


@about(BY_FORM)
@form_client
@every_server
async def test_one_question_follows_the_other(town, kind, alias):
    answers = {ELICIT: [accept(place="Rome"), accept(place="Oslo")]}
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        assert await visitor.call(f"{alias}__travel") == "from Rome to Oslo"
        words = [each["params"]["message"] for each in visitor.asked]
        assert words == ["Where from?", "From Rome to where?"]


@about(BY_FORM, SAMPLE)
@form_client
@every_server
async def test_two_questions_are_asked_at_once(town, kind, alias):
    answers = {ELICIT: [accept(name="Ada")], SAMPLE: [said("Hello,")]}
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        assert await visitor.call(f"{alias}__survey") == "Hello, Ada"
        assert sorted(methods(visitor.asked)) == [ELICIT, SAMPLE]


@about(BY_FORM)
@form_client
@every_server
async def test_who_is_asked_may_decline_or_cancel(town, kind, alias):
    answers = {ELICIT: [{"action": "decline"}, {"action": "cancel"}]}
    async with visiting(kind, town.url(), town.ada, answers) as visitor:
        assert await visitor.call(f"{alias}__order", dish="soup") == "decline x soup"
        assert await visitor.call(f"{alias}__order", dish="soup") == "cancel x soup"


@every_server
async def test_what_the_client_of_an_older_revision_does_not_know_is_declined(town, alias):
    async with visiting(OLDEST, town.url(), town.ada, {ELICIT: [accept(count=3)]}) as visitor:
        assert await visitor.call(f"{alias}__order", dish="soup") == "decline x soup"
        assert not visitor.asked


@about(BY_FORM, "prompts/get")
@form_client
@every_server
async def test_a_prompt_asks(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {ELICIT: [accept(name="Ben")]}) as visitor:
        told = await visitor.do("prompts/get", name=f"{alias}__menu")
        assert told["messages"][0]["content"]["text"] == "A menu for Ben"


@about(BY_FORM, "resources/read")
@form_client
@every_server
async def test_a_resource_asks(town, kind, alias):
    shown = f"{alias}+dish://soup/recipe"
    async with visiting(kind, town.url(), town.ada, {ELICIT: [accept(count=4)]}) as visitor:
        [told] = (await visitor.do("resources/read", uri=shown))["contents"]
        assert (told["uri"], told["text"]) == (shown, "soup for 4")


@about(BY_FORM, "resources/read")
@form_client
@every_server
async def test_a_server_of_its_own_endpoint_asks(town, kind, alias):
    answers = {ELICIT: [accept(count=1), accept(count=2)]}
    async with visiting(kind, town.url(alias), town.ada, answers) as visitor:
        assert await visitor.call("order", dish="tea") == "1 x tea"
        [told] = (await visitor.do("resources/read", uri="dish://pie/recipe"))["contents"]
        assert (told["uri"], told["text"]) == ("dish://pie/recipe", "pie for 2")


@about(BY_PAGE)
@form_client
@every_server
async def test_a_page_is_to_be_visited(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {ELICIT: [{"action": "accept"}]}) as visitor:
        done = await visitor.call(f"{alias}__sign_in", url=PAGE)
        assert done == "signed in: accept"
        [asked] = [each["params"] for each in visitor.asked]
        assert (asked["mode"], asked["url"], asked["message"]) == ("url", PAGE, "Sign in first.")
        complete = [each for each in visitor.heard if each["method"].endswith("/complete")]
        if kind in MODERN:
            assert ("elicitationId" in asked, complete) == (False, [])
        elif alias in NEEDING:
            assert asked["elicitationId"]
        else:
            assert asked["elicitationId"] == "e-1"
            if kind != "python-2025-06-18":  # which knows the question, and not this notification
                assert complete[0]["params"]["elicitationId"] == "e-1"


@about(BY_PAGE)
@modern_client
@pushing_server
async def test_a_refusal_until_a_page_was_visited_is_a_question_in_the_modern_era(
    town, kind, alias
):
    page = f"{PAGE}{kind}/{alias}"
    async with visiting(kind, town.url(), town.ada, {ELICIT: [{"action": "accept"}]}) as visitor:
        assert await visitor.call(f"{alias}__insist", url=page) == f"visited: {page}"
        [asked] = [each["params"] for each in visitor.asked]
        assert (asked["mode"], asked["url"]) == ("url", page)


@about(BY_FORM, "notifications/progress")
@form_client
@every_server
async def test_progress_goes_on_from_question_to_answer(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {ELICIT: [accept(word="yes")]}) as visitor:
        progress = []
        told = await visitor.do("tools/call", progress, name=f"{alias}__narrate", arguments={})
        assert told["content"][0]["text"] == "the end: yes"
        # The TypeScript client adds a word of its own for each round.
        steps = [each["progress"] for each in progress if "message" not in each]
        if kind in MODERN and alias in NEEDING:
            assert steps == [1, 1, 2, 3]  # two requests, each with a progress of its own
        else:
            assert steps == [1, 2, 3]


@about(BY_FORM, "notifications/message")
@legacy_client
@pushing_server
async def test_log_messages_around_a_question_reach_a_legacy_client(town, kind, alias):
    async with visiting(kind, town.url(), town.ada, {ELICIT: [accept(word="yes")]}) as visitor:
        await visitor.call(f"{alias}__narrate")
        heard = [x["params"] for x in visitor.heard if x["method"] == "notifications/message"]
        assert [each["data"] for each in heard] == ["before", "after"]


@pushing_server
async def test_log_messages_around_a_question_reach_a_modern_client(town, alias):
    answers = {ELICIT: [accept(word="yes")]}
    async with visiting(
        "python-modern", town.url(), town.ada, answers, log_level="info"
    ) as visitor:
        await visitor.call(f"{alias}__narrate")
        heard = [x["params"] for x in visitor.heard if x["method"] == "notifications/message"]
        assert [each["data"] for each in heard] == ["before", "after"]
