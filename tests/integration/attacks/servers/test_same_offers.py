"""Two servers that offer the same, to the letter: each thing is told apart and reaches its own."""

from typing import Any

import pytest
from tests.integration.attacks.scene import Modern, Old, Scene
from tests.stage import Stage
from tests.upstreams.library import Library
from tests.wire import until

URIS = (
    "doc://a",
    "ui://app/view",
    "https://example.test/a",
    "urn:odd",
    "lib+doc://a",
    "two+doc://a",
)


class Twins:
    """Servers `lib` and `two`, each of which says who it is in all that it answers."""

    def __init__(self, stage: Stage) -> None:
        self.scene = Scene(stage, "twins", era="modern")
        self.servers = {"lib": self.scene.server, "two": stage.servers.open(Library(era="modern"))}
        for alias, server in self.servers.items():
            server.resources = [{"uri": uri, "name": uri} for uri in URIS]
            server.methods["prompts/get"] = lambda talk, me=alias: talk.result(
                {"resultType": "complete", "messages": [], "description": me}
            )
            server.methods["resources/read"] = lambda talk, me=alias: talk.result(
                {
                    "resultType": "complete",
                    "contents": [{"uri": talk.seen.message["params"]["uri"], "text": me}],
                }
            )
            server.tools["raw"] = lambda talk, me=alias: talk.result(
                {"resultType": "complete", "content": links(), "structuredContent": me}
            )
        self.scene.place.api("POST", "/servers/lib/observe", {})
        self.scene.place.serve("two", self.servers["two"].url)
        self.scene.place.grant(everyone=True, server="two", level="all")
        (token,) = self.scene.admit("ada")
        self.modern, self.old = Modern(self.scene.place, token), Old(self.scene.place, token)
        until(lambda: len(self.listed("resources/list", "resources")) == 2 * len(URIS))

    def listed(self, method: str, member: str) -> list[dict[str, Any]]:
        found, params = [], {}
        while True:
            result = self.modern.request(method, params).json["result"]
            found += result[member]
            if "nextCursor" not in result:
                return found
            params = {"cursor": result["nextCursor"]}


def links() -> list[dict[str, Any]]:
    """A link to each resource, and each of them embedded."""
    plain = [{"type": "resource_link", "uri": uri, "name": uri} for uri in URIS]
    return plain + [{"type": "resource", "resource": {"uri": uri, "text": ""}} for uri in URIS]


@pytest.fixture(scope="module")
def twins(stage: Stage) -> Twins:
    return Twins(stage)


@pytest.mark.parametrize(
    ("method", "member", "key"),
    [
        ("tools/list", "tools", "name"),
        ("prompts/list", "prompts", "name"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ],
)
def test_nothing_is_listed_under_one_name_twice(twins: Twins, method: str, member: str, key: str):
    names = [each[key] for each in twins.listed(method, member)]
    assert len(set(names)) == len(names)
    assert len(names) % 2 == 0


@pytest.mark.parametrize("era", ["modern", "old"])
def test_each_resource_is_read_from_the_server_that_lists_it(twins: Twins, era: str):
    client = getattr(twins, era)
    shown = [each["uri"] for each in twins.listed("resources/list", "resources")]
    for place, uri in enumerate(shown):
        (read,) = client.request("resources/read", {"uri": uri}).json["result"]["contents"]
        assert read["text"] == ("lib" if place < len(URIS) else "two"), uri
        assert read["uri"] == uri
    for alias in twins.servers:
        seen = twins.servers[alias].of("resources/read")[-len(URIS) :]
        assert [one.message["params"]["uri"] for one in seen] == list(URIS)


@pytest.mark.parametrize("alias", ["lib", "two"])
def test_each_tool_and_prompt_is_its_own_servers_and_its_links_lead_back(twins: Twins, alias: str):
    prompt = twins.modern.request("prompts/get", {"name": f"{alias}__plan"})
    assert prompt.json["result"]["description"] == alias
    result = twins.modern.call(f"{alias}__raw").json["result"]
    assert result["structuredContent"] == alias
    shown = [each.get("uri") or each["resource"]["uri"] for each in result["content"]]
    for uri in shown:
        (read,) = twins.modern.request("resources/read", {"uri": uri}).json["result"]["contents"]
        assert (read["text"], read["uri"]) == (alias, uri)
    bare = Modern(twins.scene.place, twins.modern.token, alias).call("raw").json["result"]
    assert bare["content"] == links()
