"""Prompts, resources and completions of server-everything, over each transport, to every SDK."""

import base64
from itertools import product

import pytest
from tests.integration.bridges.pairs.covering import about
from tests.integration.bridges.visitors import (
    ELICIT,
    LEGACY,
    MODERN,
    OLDER,
    ROOTS,
    SAMPLE,
    Refused,
    accept,
    of_clients,
    roots,
    said,
    text,
    visiting,
)

pytestmark = [pytest.mark.slow, *of_clients]
WAYS = ("io", "web", "old")
over_each_way = pytest.mark.parametrize(
    ("kind", "alias"), list(product((*MODERN, *LEGACY, *OLDER), WAYS))
)
PROMPTS = ["simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"]
EVERYTHING = {ELICIT: [accept()], SAMPLE: [said("")], ROOTS: [roots("file:///home")]}
DOCUMENT = "demo://resource/static/document/features.md"
TEXT, BLOB = "demo://resource/dynamic/text/", "demo://resource/dynamic/blob/"


class Shown:
    """How an endpoint shows the names and URIs of one server.

    At that of one server alone its clients can be asked everything, so that calls go through a
    session of their own; at the other they can be asked nothing.
    """

    def __init__(self, town, alias, bare):
        self.answers = EVERYTHING if bare else {}
        self.url = town.url(alias if bare else "")
        self._name = "" if bare else f"{alias}__"
        self._scheme = "" if bare else f"{alias}+"
        self.uri = lambda uri: f"{self._scheme}{uri}"
        self.name = lambda name: f"{self._name}{name}"


@pytest.fixture(params=["aggregated", "bare"])
def shown(request, fair, alias):
    return Shown(fair, alias, request.param == "bare")


@about("prompts/list", "prompts/get")
@over_each_way
async def test_prompts_are_listed_and_got(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        names = [each["name"] for each in await visitor.all_of("prompts/list", "prompts")]
        mine = [shown.name(name) for name in PROMPTS]
        assert [name for name in names if name in mine] == mine
        assert len(names) == len(set(names)) == (4 if shown.name("") == "" else 12)
        told = await visitor.do("prompts/get", name=shown.name("simple-prompt"))
        words = told["messages"][0]["content"]["text"]
        assert words == "This is a simple prompt without arguments."
        arguments = {"city": "Rome", "state": "Lazio"}
        told = await visitor.do("prompts/get", name=shown.name("args-prompt"), arguments=arguments)
        assert told["messages"][0]["content"]["text"] == "What's weather in Rome, Lazio?"
        for unknown in ("no-prompt", "other__simple-prompt"):
            with pytest.raises(Refused, match=f"Unknown prompt: {shown.name(unknown)}") as refused:
                await visitor.do("prompts/get", name=shown.name(unknown))
            assert refused.value.code == -32602


@about("resources/list", "resources/templates/list", "resources/read")
@over_each_way
async def test_resources_are_listed_and_read_by_the_uris_that_are_shown(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        listed = await visitor.all_of("resources/list", "resources")
        uris = [each["uri"] for each in listed]
        assert shown.uri(DOCUMENT) in uris
        assert len(uris) == len(set(uris))
        [told] = (await visitor.do("resources/read", uri=shown.uri(DOCUMENT)))["contents"]
        assert told["uri"] == shown.uri(DOCUMENT)
        assert told["mimeType"] == "text/markdown"
        assert "Everything Server" in told["text"]
        templates = await visitor.all_of("resources/templates/list", "resourceTemplates")
        wanted = [shown.uri(TEXT + "{resourceId}"), shown.uri(BLOB + "{resourceId}")]
        patterns = [each["uriTemplate"] for each in templates]
        assert [each for each in patterns if each in wanted] == wanted
        [told] = (await visitor.do("resources/read", uri=shown.uri(TEXT + "7")))["contents"]
        assert told["uri"] == shown.uri(TEXT + "7")
        assert told["text"].startswith("Resource 7: ")
        [told] = (await visitor.do("resources/read", uri=shown.uri(BLOB + "8")))["contents"]
        assert told["uri"] == shown.uri(BLOB + "8")
        assert base64.b64decode(told["blob"]).startswith(b"Resource 8: ")


@about("resources/read")
@over_each_way
async def test_a_resource_that_is_not_there_is_named_as_it_is_shown(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        for uri in (shown.uri("demo://nowhere"), f"nobody+{TEXT}7"):
            with pytest.raises(Refused, match="not found") as refused:
                await visitor.do("resources/read", uri=uri)
            assert refused.value.code in (-32002, -32602)
            assert refused.value.details in (None, {"uri": uri})


@about("completion/complete")
@over_each_way
async def test_arguments_are_completed(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:

        async def completed(ref, name, value, **context):
            given = {"context": {"arguments": context}} if context else {}
            argument = {"name": name, "value": value}
            told = await visitor.do("completion/complete", ref=ref, argument=argument, **given)
            return told["completion"]["values"]

        prompt = {"type": "ref/prompt", "name": shown.name("completable-prompt")}
        assert await completed(prompt, "department", "S") == ["Sales", "Support"]
        if kind != "python-2025-03-26":  # which has no context
            assert await completed(prompt, "name", "E", department="Sales") == ["Eve"]
        template = {"type": "ref/resource", "uri": shown.uri(TEXT + "{resourceId}")}
        assert await completed(template, "resourceId", "12") == ["12"]
        assert await completed(template, "resourceId", "x") == []


@about("tools/call", "resources/read", "prompts/get")
@over_each_way
async def test_what_results_refer_to_is_readable_by_the_uri_they_show(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        told = await visitor.do(
            "tools/call", name=shown.name("get-resource-links"), arguments={"count": 2}
        )
        links = [each["uri"] for each in told["content"] if each["type"] == "resource_link"]
        assert links == [shown.uri(BLOB + "1"), shown.uri(TEXT + "2")]
        for link in links:
            [read] = (await visitor.do("resources/read", uri=link))["contents"]
            assert read["uri"] == link
        reference = {"resourceType": "Text", "resourceId": 5}
        told = await visitor.do(
            "tools/call", name=shown.name("get-resource-reference"), arguments=reference
        )
        [embedded] = [x["resource"] for x in told["content"] if x["type"] == "resource"]
        assert embedded["uri"] == shown.uri(TEXT + "5")
        # What is written in text is left as the server wrote it.
        assert told["content"][-1]["text"].endswith(f": {TEXT}5")
        told = await visitor.do(
            "prompts/get",
            name=shown.name("resource-prompt"),
            arguments={"resourceType": "Blob", "resourceId": "6"},
        )
        embedded = told["messages"][1]["content"]["resource"]
        assert embedded["uri"] == shown.uri(BLOB + "6")
        for uri in (shown.uri(TEXT + "5"), shown.uri(BLOB + "6")):
            assert (await visitor.do("resources/read", uri=uri))["contents"][0]["uri"] == uri


@about("initialize")
@over_each_way
async def test_the_gate_says_what_its_servers_offer(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        assert visitor.capabilities == {
            "tools": {"listChanged": True},
            "prompts": {"listChanged": True},
            "resources": {"listChanged": True, "subscribe": True},
            "completions": {},
            "logging": {},
        }
        assert "Everything Server" in (visitor.instructions or ""), visitor.instructions


@about("tools/call", "notifications/progress")
@over_each_way
async def test_progress_and_end_of_a_long_operation(fair, kind, alias, shown):
    async with visiting(kind, shown.url, fair.ada, shown.answers) as visitor:
        progress = []
        told = await visitor.do(
            "tools/call",
            progress,
            name=shown.name("trigger-long-running-operation"),
            arguments={"duration": 0.1, "steps": 3},
        )
        assert "completed" in text(told)
        assert [(x["progress"], x["total"]) for x in progress] == [(1, 3), (2, 3), (3, 3)]
