"""Tools that a server offers only to clients which can be asked: server-everything has some."""

import pytest
from tests.integration.bridges.visitors import (
    ELICIT,
    ONE_OF_EACH,
    ROOTS,
    SAMPLE,
    Refused,
    accept,
    clients,
    every_client,
    form_client,
    of_clients,
    roots,
    said,
    text,
    visiting,
)

pytestmark = [pytest.mark.slow, *of_clients]
TOOLS = {
    "trigger-elicitation-request": (ELICIT, accept(name="Ada", check=True)),
    "trigger-sampling-request": (SAMPLE, said("a leaf")),
    "get-roots-list": (ROOTS, roots("file:///home/ada")),
}
WORDS = {
    "trigger-elicitation-request": "User provided the requested information",
    "trigger-sampling-request": "a leaf",
    "get-roots-list": "file:///home/ada",
}
ARGUMENTS = {"trigger-sampling-request": {"prompt": "What fell?", "maxTokens": 20}}
each_tool = pytest.mark.parametrize("tool", TOOLS)


async def listed(visitor, alias):
    """The tools among these that a client is shown of one server."""
    names = [each["name"] for each in await visitor.all_of("tools/list", "tools")]
    shown = [name.removeprefix(f"{alias}__") for name in names if name.startswith(f"{alias}__")]
    return {name for name in shown if name in TOOLS}


@pytest.fixture(scope="module")
def known(fair):
    """The fair, once it is known which tools its servers add."""
    fair.looked_at("io", "web", "old")
    return fair


@every_client
async def test_a_client_that_declares_something_is_shown_what_the_server_adds(known, kind):
    for asked, shown in (((), set()), ((ROOTS,), set(TOOLS))):
        answers = {method: [answer] for method, answer in TOOLS.values() if method in asked}
        async with visiting(kind, known.url(), known.ada, answers) as visitor:
            assert await listed(visitor, "io") == shown


@clients(*ONE_OF_EACH)
async def test_a_client_that_lacks_what_a_tool_wants_is_told_so_by_its_server(known, kind):
    async with visiting(kind, known.url(), known.ada, {ROOTS: [TOOLS["get-roots-list"][1]]}) as it:
        before = len(known.leaves())
        try:
            result = await it.do("tools/call", name="web__trigger-sampling-request", arguments={})
            assert result["isError"]
            words = text(result)
        except Refused as refused:
            words = str(refused)
        assert "trigger-sampling-request not found" in words
        assert "call.intent" in [leaf["t"] for leaf in known.since(before)]


@each_tool
@form_client
async def test_such_a_tool_is_called_over_each_transport(known, kind, tool):
    answers = {method: [answer] for method, answer in TOOLS.values()}
    _, token = known.guest("io", "web", "old")  # no session that was asked before
    async with visiting(kind, known.url(), token, answers) as visitor:
        for alias in ("io", "web", "old"):
            assert tool in await listed(visitor, alias)
            before = len(known.leaves())
            told = await visitor.call(f"{alias}__{tool}", **ARGUMENTS.get(tool, {}))
            assert WORDS[tool] in told
            assert known.outcomes(before)[-1] == "ok"
        assert TOOLS[tool][0] in {each["method"] for each in visitor.asked}
