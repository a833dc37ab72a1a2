"""What one server offers outside the schema takes nothing from the lists of the others."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.stage import Place, Stage
from tests.upstreams import bad_offers
from tests.wire import until

SCRIPT = Path(bad_offers.__file__)


class Odd:
    """A workspace with a server of odd offers and one of good ones only."""

    def __init__(self, stage: Stage) -> None:
        self.place: Place = stage.place("odd")
        run = (sys.executable, str(SCRIPT), "stdio")
        for alias, more in (("odd", ()), ("good", ("none",))):
            self.place.spawn(alias, *run, *more)
        self.token = self.place.admit("ada", odd="all", good="all")
        until(lambda: len(self.listed("modern", "prompts/list", "prompts")) == 2)

    def listed(self, era: str, method: str, member: str) -> list[Any]:
        reach = self.place.client if era == "modern" else self.place.legacy
        client = reach(self.token)
        found: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = client.request(method, cursor).json["result"]
            found += page[member]
            if "nextCursor" not in page:
                return found
            cursor = {"cursor": page["nextCursor"]}


@pytest.fixture(scope="module")
def odd(stage: Stage) -> Odd:
    return Odd(stage)


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_every_tool_but_those_that_a_client_of_the_era_refuses_is_listed(odd: Odd, era: str):
    fine = [name for name, (_, refused_by) in bad_offers.BAD_TOOLS.items() if era not in refused_by]
    wanted = {f"odd__{name}" for name in ("first", *fine, *bad_offers.ODD_TOOLS, "last")}
    found = odd.listed(era, "tools/list", "tools")
    assert {tool["name"] for tool in found} == wanted | {"good__first", "good__last"}
    for tool in found if era == "legacy" else ():
        assert tool.get("outputSchema", {"type": "object"})["type"] == "object"


@pytest.mark.slow
def test_a_tool_that_is_listed_to_one_era_only_is_unknown_in_the_other(odd: Odd):
    modern, legacy = odd.place.client(odd.token), odd.place.legacy(odd.token)
    assert modern.call("odd__required_null").json["result"]["content"][0]["text"].startswith("call")
    names = ("odd__required_null", "odd__never_was_ever")
    told = [legacy.call(name).json["error"] for name in names]
    assert json.dumps(told[0]).replace(names[0], names[1]) == json.dumps(told[1])


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_every_good_prompt_resource_and_template_is_listed_and_no_other(odd: Odd, era: str):
    prompts = odd.listed(era, "prompts/list", "prompts")
    assert [each["name"] for each in prompts] == ["good__greet", "odd__greet"]
    resources = odd.listed(era, "resources/list", "resources")
    assert [each["uri"] for each in resources] == ["good+memo://good", "odd+memo://good"]
    templates = odd.listed(era, "resources/templates/list", "resourceTemplates")
    assert [each["uriTemplate"] for each in templates] == [
        "good+memo://good/{id}",
        "odd+memo://good/{id}",
    ]


@pytest.mark.slow
def test_what_is_left_out_is_told_by_name_with_what_is_wrong(odd: Odd):
    said = "\n".join(odd.place.api("POST", "/servers/odd/observe", {})["skipped"])
    for name in bad_offers.BAD_TOOLS:
        assert f"tool '{name}': " in said
    assert "tool 'input_null': inputSchema is null, not an object" in said
    assert "prompt 'arguments_null': arguments is null, not a list" in said
    assert "resource 'notes.txt': uri is not a URI" in said
    for name in bad_offers.ODD_TOOLS:
        assert f"'{name}'" not in said
