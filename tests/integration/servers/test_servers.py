"""Every reference server behind one gate at once, in front of clients of both eras."""

import base64
import re
from itertools import chain
from typing import Any

import pytest
from mcp_types import PromptReference, ResourceTemplateReference, TextContent
from tests.integration.bridges import visitors
from tests.integration.clients.sdk import MODERN, NEWEST_LEGACY, pages, speaking
from tests.integration.servers.fleet import KNOWN, REMOTE, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
each_era = pytest.mark.parametrize("revision", [MODERN, NEWEST_LEGACY], ids=["modern", "legacy"])
each_server = pytest.mark.parametrize("alias", KNOWN)
each_everything = pytest.mark.parametrize("alias", ["all", "web", "sse"])
DOCUMENT = "demo://resource/static/document/architecture.md"


def words(result: Any) -> str:
    """All texts of a result."""
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


@each_server
def test_every_server_is_well_in_the_era_it_speaks(fleet: Fleet, alias: str):
    fleet.needs(alias)
    told = fleet.api("GET", f"/servers/{alias}")
    version = {"modern": "2026-07-28", "legacy": "2025-11-25"}[KNOWN[alias].era]
    assert (told["health"], told["era"], told["version"]) == ("ready", KNOWN[alias].era, version)
    if alias in REMOTE:
        assert told["isolation"] == "remote"
    else:
        assert re.fullmatch(r"not isolated(, uid \d+)?", told["isolation"])


def test_no_two_servers_share_a_uid(fleet: Fleet):
    told = [fleet.api("GET", f"/servers/{alias}")["isolation"] for alias in fleet.stdio]
    if not all("uid" in each for each in told):
        pytest.skip("only root can give uids, to what every uid can read")
    assert len(set(told)) == len(told)


@each_era
async def test_every_tool_of_every_server_is_listed_once_under_its_shown_name(
    fleet: Fleet, revision: str
):
    for alias in fleet.aliases:
        assert len(fleet.observed[alias]) == KNOWN[alias].tools
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        listed = list(chain.from_iterable(await pages(session)))
    assert listed == fleet.shown_to_all()
    assert len(set(listed)) == len(listed)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in listed)


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("kind", [*visitors.MODERN, *visitors.LEGACY])
async def test_a_client_that_can_be_asked_is_shown_every_tool_there_is(fleet: Fleet, kind: str):
    answers = {method: [None] for method in (visitors.ELICIT, visitors.SAMPLE, visitors.ROOTS)}
    async with visitors.visiting(kind, fleet.url(), fleet.ada, answers) as visitor:
        listed = [tool["name"] for tool in await visitor.all_of("tools/list", "tools")]
    assert listed == fleet.shown()


@each_era
@each_server
async def test_a_call_comes_back_right_and_is_recorded_with_its_pair_closed(
    fleet: Fleet, alias: str, revision: str
):
    fleet.needs(alias)
    known, before = KNOWN[alias], len(fleet.leaves())
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        await pages(session)  # so that the client checks the result against its schema
        told = await session.call_tool(f"{alias}__{known.tool}", known.arguments(fleet.scene))
    assert not told.is_error
    assert known.says in words(told)
    intent, outcome = fleet.calls(before)
    assert (intent["t"], intent["server"], intent["tool"]) == (
        "call.intent",
        fleet.ids[alias],
        known.tool,
    )
    assert (outcome["t"], outcome["call"], outcome["outcome"]) == (
        "call.outcome",
        intent["call"],
        "ok",
    )


@each_era
async def test_a_page_is_read_clicked_and_photographed_in_the_browser(fleet: Fleet, revision: str):
    fleet.needs("browser")
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        await session.call_tool("browser__browser_navigate", {"url": f"{fleet.scene.site.url}/"})
        seen = words(await session.call_tool("browser__browser_snapshot"))
        button = re.search(r'button "Ring" \[ref=(\w+)\]', seen)
        assert button
        told = await session.call_tool("browser__browser_click", {"target": button[1]})
        assert "Page Title: Rung" in words(told)
        told = await session.call_tool("browser__browser_take_screenshot")
        (picture,) = [part for part in told.content if part.type == "image"]
        assert base64.b64decode(picture.data).startswith(b"\x89PNG")


@each_era
async def test_fetch_leaves_what_robots_may_not_read_to_its_prompt(fleet: Fleet, revision: str):
    url, visits = f"{fleet.scene.site.url}/private", fleet.scene.site.visits
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        before = len(visits)
        told = await session.call_tool("fetch__fetch", {"url": url})
        assert told.is_error
        assert "robots.txt" in words(told)
        assert visits[before:] == ["/robots.txt"]
        shown = await session.get_prompt("fetch__fetch", {"url": url})
        assert "Ring the bell." in shown.messages[0].content.text
        assert visits[before:] == ["/robots.txt", "/private"]


@each_era
async def test_what_is_remembered_in_one_era_is_read_in_the_other(fleet: Fleet, revision: str):
    other = NEWEST_LEGACY if revision == MODERN else MODERN
    entity = {"name": f"seen-{revision}", "entityType": "visitor", "observations": ["came in"]}
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        await session.call_tool("memory__create_entities", {"entities": [entity]})
    async with speaking(other, fleet.url(), fleet.ada) as session:
        read = await session.read_resource("memory+memory://knowledge-graph")
        assert entity["name"] in read.contents[0].text


@each_era
@each_everything
async def test_prompts_and_resources_are_listed_and_read_beside_those_of_all_others(
    fleet: Fleet, alias: str, revision: str
):
    async with speaking(revision, fleet.url(), fleet.ada) as session:
        prompts = [each.name for each in (await session.list_prompts()).prompts]
        mine = [name for name in prompts if name.startswith(f"{alias}__")]
        assert (len(mine), len(prompts)) == (4, 13)
        told = await session.get_prompt(
            f"{alias}__resource-prompt", {"resourceType": "Text", "resourceId": "3"}
        )
        assert told.messages[1].content.resource.uri == f"{alias}+demo://resource/dynamic/text/3"
        found = await session.complete(
            PromptReference(name=f"{alias}__completable-prompt"),
            {"name": "department", "value": "E"},
        )
        assert found.completion.values == ["Engineering"]

        resources = [each.uri for each in (await session.list_resources()).resources]
        assert f"{alias}+{DOCUMENT}" in resources
        assert len(set(resources)) == len(resources)
        read = await session.read_resource(f"{alias}+{DOCUMENT}")
        assert read.contents[0].uri == f"{alias}+{DOCUMENT}"
        assert "# Everything Server" in read.contents[0].text

        templates = (await session.list_resource_templates()).resource_templates
        pattern = f"{alias}+demo://resource/dynamic/text/{{resourceId}}"
        assert pattern in [each.uri_template for each in templates]
        read = await session.read_resource(pattern.replace("{resourceId}", "7"))
        assert read.contents[0].uri == f"{alias}+demo://resource/dynamic/text/7"
        found = await session.complete(
            ResourceTemplateReference(uri=pattern), {"name": "resourceId", "value": "7"}
        )
        assert found.completion.values == ["7"]
