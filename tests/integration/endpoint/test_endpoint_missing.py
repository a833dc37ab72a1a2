"""A method that one server lacks is not missing at the endpoint of all servers, which has it."""

from typing import Any

import pytest
from tests.gate import Client
from tests.stage import Place, Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import Library
from tests.wire import until

ABSENT = {"code": -32601, "message": "Method not found"}
ERRORS = ("tools/call", "prompts/get", "resources/read")


class Lacking(Library):
    """Lists things, declares no completions, and has no method to ask for any of them."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.methods |= dict.fromkeys((*ERRORS, "completion/complete"), self._absent)

    def _can(self) -> dict[str, Any]:
        return {name: can for name, can in super()._can().items() if name != "completions"}

    def _absent(self, talk: Talk) -> None:
        status = "404 Not Found" if self.is_modern(talk) else "200 OK"
        talk.answer(status, {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": ABSENT})


@pytest.fixture(scope="module", params=["modern", "legacy"])
def place(stage: Stage, request: pytest.FixtureRequest) -> Place:
    place = stage.place(f"missing-{request.param}")
    place.serve("lacks", stage.servers.open(Lacking(era=request.param)).url)
    place.serve("has", stage.servers.open(Library(era=request.param)).url)
    return place


@pytest.fixture(scope="module")
def token(place: Place) -> str:
    token = place.admit("ada", lacks="all", has="all")
    for alias in ("lacks", "has"):
        client = place.client(token, alias)
        until(lambda at=client: at.request("prompts/list", {}).json["result"]["prompts"])
    return token


def asked(alias: str, method: str) -> dict[str, Any]:
    """Params that ask for something of the server `alias`; without one by its own names."""
    mark, head = (f"{alias}__", f"{alias}+") if alias else ("", "")
    ref = {"type": "ref/prompt", "name": f"{mark}plan"}
    return {
        "tools/call": {"name": f"{mark}echo"},
        "prompts/get": {"name": f"{mark}plan"},
        "resources/read": {"uri": f"{head}doc://a"},
        "completion/complete": {"ref": ref, "argument": {"name": "x", "value": ""}},
    }[method]


def told(client: Client, alias: str, method: str) -> tuple[int, Any]:
    """Status and message that come back."""
    params = asked(alias, method)
    named = {"Mcp-Name": params["uri"]} if "uri" in params else {}
    answer = client.request(method, params, **named)
    return answer.status, answer.json


def test_a_server_without_completions_proposes_nothing(place: Place, token: str):
    values = {}
    for client in (place.client(token), place.legacy(token)):
        for alias in ("lacks", "has"):
            status, said = told(client, alias, "completion/complete")
            assert status == 200
            values.setdefault(alias, []).append(said["result"]["completion"]["values"])
    assert values == {"lacks": [[], []], "has": [["x"], ["x"]]}


@pytest.mark.parametrize("method", ERRORS)
def test_a_servers_missing_method_is_told_in_its_words_and_not_as_404(
    place: Place, token: str, method: str
):
    for client in (place.client(token), place.legacy(token)):
        status, said = told(client, "lacks", method)
        assert (status, said["error"]) == (200, ABSENT)


@pytest.mark.parametrize("method", [*ERRORS, "completion/complete"])
def test_at_the_endpoint_of_one_server_its_missing_method_is_missing(
    place: Place, token: str, method: str
):
    status, said = told(place.client(token, "lacks"), "", method)
    assert (status, said["error"]) == (404, ABSENT)
    status, said = told(place.legacy(token, "lacks"), "", method)
    assert (status, said["error"]) == (200, ABSENT)
