"""What a member can list is what they can call; everything else looks as if it were not there."""

import json
from typing import Any

import pytest
from tests.gate import Answer
from tests.stage import Legacy, Servers, Stage, mirrored, modern, raw_post
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import until

SCHEMA = {"type": "object"}
GIT = ["look", "write", "wipe", "odd", "moved", "never"]
CLOCK = ["now", "set"]
HALF = '@reason("members only") forbid (principal is Gatelodge::Agent, action, resource == {});'
NOW = (
    '@reason("not after 1970") @advice("Go back.") forbid (principal, action, resource == {})'
    ' when {{ context.now > datetime("1970-01-01T00:00:00Z") }};'
)

WANTED = {
    "alice": ["git__look", "git__write", "git__moved", "clock__now"],
    "bob": ["git__look", "clock__now"],
    "carol": ["git__look", "git__write", "git__wipe", "git__moved", "clock__now", "clock__set"],
    "dan": ["clock__now"],
    "erin": ["git__write", "clock__now"],
    "nightly": ["git__look", "git__wipe", "git__moved", "clock__now", "clock__set"],
    "idle": ["clock__now"],
}
"""Who can do what, worked out by hand from the grants below."""
TOLD = {"clock__now": "grd_", "git__moved": "g-pinned"}
"""Listed tools whose call comes back with a rule: one is stopped by the time of day, the other
stands in the list with a notice until somebody has looked at what changed."""


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": SCHEMA, "description": f"Does {name}."}


class Team:
    """A workspace in which every way of having and losing a tool occurs."""

    def __init__(self, stage: Stage) -> None:
        self.place = stage.place("lists")
        self.git = HttpUpstream(definitions=[tool(name) for name in GIT[:-1]])
        self.tokens: dict[str, str] = {}
        for alias, upstream in (("git", self.git), ("off", HttpUpstream()), ("clock", _clock())):
            self.place.serve(alias, stage.servers.open(upstream).url)
        self._people()
        self._rules()
        self._drift(stage.servers)

    def _people(self) -> None:
        place = self.place
        place.api("POST", "/groups", {"name": "devs"})
        place.grant(group="devs", server="git", level="use")
        place.grant(everyone=True, server="clock", tool="now", level="all")
        self.tokens["alice"] = place.admit("alice")
        place.api("POST", "/groups/devs/add-member", {"principal": "alice@example.test"})
        self.tokens["bob"] = place.admit("bob", git="read")
        self.tokens["carol"] = place.admit("carol", git="all", off="all", clock="all")
        self.tokens["dan"] = place.admit("dan")
        self.tokens["erin"] = place.admit("erin")
        place.grant(member="erin@example.test", server="git", tool="write")
        for name in ("nightly", "idle"):
            place.api("POST", "/agents", {"name": name, "owner": "carol@example.test"})
        for server in ("git", "off", "clock"):
            place.grant(agent="nightly", server=server, level="all")
        for name in ("nightly", "idle"):
            self.tokens[name] = place.token_for(agent=name)

    def _rules(self) -> None:
        place = self.place
        said = {"look": {"read_only": True}, "write": {"destructive": False}, "odd": {}}
        for name, found in {**said, "moved": {"destructive": False}}.items():
            place.review("git", name, **found)
        place.api("POST", "/servers/git/tools/block", {"tool": "odd"})
        place.api("POST", "/servers/off/disable", {})
        for name, text, alias, one in (
            ("no-agents", HALF, "git", "write"),
            ("not-now", NOW, "clock", "now"),
        ):
            ident = place.api("GET", f"/servers/{alias}")["id"]
            resource = f'Gatelodge::Tool::"{ident}/{one}"'
            place.api("POST", "/guardrails", {"name": name, "text": text.format(resource)})

    def _drift(self, servers: Servers) -> None:
        """A tool says something else than what was approved, and a new one turns up."""
        moved = {**tool("moved"), "description": "Does something else."}
        self.git.definitions = [*[tool(name) for name in GIT[:4]], moved, tool("never")]
        until(lambda: self.git.listening)
        servers.tell(self.git, "notifications/tools/list_changed")
        carol = self.place.client(self.tokens["carol"])
        until(lambda: said(carol.call("git__moved")) == "g-pinned")

    def every(self) -> list[str]:
        """Each name that anybody might try."""
        names = [f"git__{name}" for name in GIT] + [f"clock__{name}" for name in CLOCK]
        return [*names, "off__echo", "git__none", "none__echo", "look", "", "git__", "GIT__look"]


def _clock() -> HttpUpstream:
    return HttpUpstream(era="legacy", definitions=[tool(name) for name in CLOCK])


@pytest.fixture(scope="module")
def team(stage: Stage) -> Team:
    return Team(stage)


def pages(client: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    found, params = [], {}
    while True:
        result = client.request("tools/list", params).json["result"]
        found.append(result["tools"])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


def said(answer: Answer) -> str:
    """How a call came back: done, unknown, ended on its way, or the rule that stopped it."""
    told = answer.json
    if "error" in told and told["error"]["code"] == 4010:
        return "ended"
    if "error" in told:
        assert told["error"]["code"] == -32602
        assert told["error"]["message"].startswith("Unknown tool: ")
        return "unknown"
    if told["result"].get("isError"):
        return str(told["result"]["_meta"]["dev.gatelodge/decision"]["rule"])
    return "done"


@pytest.mark.guarantee("access:list-equals-call")
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("who", WANTED)
def test_every_listed_tool_can_be_called_and_every_other_is_unknown(team: Team, who: str, era: str):
    token = team.tokens[who]
    client = team.place.client(token) if era == "modern" else team.place.legacy(token)
    listed = [one["name"] for page in pages(client) for one in page]
    assert listed == sorted(WANTED[who], key=by_catalog)
    for name in team.every():
        came = said(client.call(name, {"a": 1}))
        wanted = TOLD.get(name, "done") if name in listed else "unknown"
        assert came.startswith(wanted), name


def by_catalog(shown: str) -> tuple[str, int]:
    alias, _, name = shown.partition("__")
    return alias, {"git": GIT, "clock": CLOCK}[alias].index(name)


@pytest.mark.guarantee("access:list-equals-call")
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("who", WANTED)
def test_the_endpoint_of_one_server_shows_the_same_tools_by_their_own_names(
    team: Team, who: str, era: str
):
    token, make = team.tokens[who], team.place.client if era == "modern" else team.place.legacy
    for alias, names in (("git", GIT), ("clock", CLOCK), ("off", ["echo"]), ("none", ["echo"])):
        client = make(token, alias)
        listed = [one["name"] for page in pages(client) for one in page]
        assert [f"{alias}__{name}" for name in listed] == [
            name for name in sorted(WANTED[who], key=by_catalog) if name.startswith(f"{alias}__")
        ]
        for name in [*names, f"{alias}__{names[0]}"]:
            came = said(client.call(name))
            wanted = TOLD.get(f"{alias}__{name}", "done") if name in listed else "unknown"
            assert came.startswith(wanted), (alias, name)


def test_pages_put_together_are_the_whole_list_without_doubles(team: Team):
    for client in (
        team.place.client(team.tokens["carol"]),
        team.place.legacy(team.tokens["carol"]),
    ):
        found = pages(client)
        assert [len(page) for page in found] == [3, 3]
        names = [one["name"] for page in found for one in page]
        assert len(names) == len(set(names))
        assert sorted(names) == sorted(WANTED["carol"])


def test_a_list_goes_on_behind_a_cursor_although_tools_came_and_went(stage: Stage, team: Team):
    place = stage.place("pages")
    upstream = stage.servers.open(HttpUpstream(definitions=[tool(n) for n in "abcdefg"]))
    place.serve("up", upstream.url)
    client = place.client(place.admit("ada", up="all"))
    first = client.request("tools/list", {}).json["result"]
    for gone in ("b", "c", "e"):
        place.api("POST", "/servers/up/tools/block", {"tool": gone})
    until(lambda: len(client.tools()) == 4)
    rest = client.request("tools/list", {"cursor": first["nextCursor"]}).json["result"]
    assert [one["name"] for one in rest["tools"]] == ["up__d", "up__f", "up__g"]


def test_a_modern_page_says_that_it_is_private_and_stale_at_once(team: Team):
    result = team.place.client(team.tokens["carol"]).request("tools/list", {}).json["result"]
    told = (result["resultType"], result["ttlMs"], result["cacheScope"])
    assert told == ("complete", 0, "private")


HIDDEN = {
    "without a grant": ("dan", "git__look", "git__lool"),
    "above the level": ("bob", "git__write", "git__wrote"),
    "blocked": ("carol", "git__odd", "git__odx"),
    "changed, and above the level": ("bob", "git__moved", "git__mover"),
    "never approved": ("carol", "git__never", "git__nevex"),
    "forbidden": ("nightly", "git__write", "git__wrote"),
    "of a disabled server": ("carol", "off__echo", "ofx__echo"),
    "its owner's, not an agent's": ("idle", "git__look", "git__lool"),
}


@pytest.mark.guarantee("access:list-equals-call")
@pytest.mark.parametrize("bare", [False, True], ids=["all", "bare"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("case", HIDDEN)
def test_a_hidden_tool_is_answered_byte_for_byte_as_one_that_does_not_exist(
    stage: Stage, team: Team, case: str, era: str, bare: bool
):
    who, hidden, made_up = HIDDEN[case]
    alias, _, hidden_bare = hidden.partition("__")
    other, _, made_up_bare = made_up.partition("__")
    names = [hidden_bare, made_up_bare] if bare else [hidden, made_up]
    token = team.tokens[who]
    answers = []
    for name, at in zip(names, (alias, other), strict=True):
        legacy = team.place.legacy(token, at if bare else "") if era == "legacy" else None
        told = raw_answer(stage, team, (token, at if bare else "", name), legacy)
        answers.append(told.replace(name.encode(), b"NAME"))
    assert answers[0] == answers[1]
    assert b"Unknown tool: NAME" in answers[0]


def raw_answer(
    stage: Stage, team: Team, asked: tuple[str, str, str], legacy: Legacy | None
) -> bytes:
    """The whole answer to a call as it stands on the wire."""
    token, alias, name = asked
    path = f"/k/lists/s/{alias}/mcp" if alias else "/k/lists/mcp"
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    if legacy is None:
        body = modern("tools/call", name=name, arguments={"a": 1})
        headers |= mirrored("tools/call", name)
    else:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}
        body = json.dumps(message).encode()
        headers |= {"Mcp-Session-Id": legacy.session}
    with stage.wire() as wire:
        return wire.send(raw_post(path, body, headers)).rest()


def test_a_hidden_tool_and_a_made_up_one_reach_no_server(team: Team):
    before = len(team.git.of("tools/call"))
    carol = team.place.client(team.tokens["carol"])
    for name in ("git__odd", "git__never", "git__none", "off__echo"):
        assert said(carol.call(name)) == "unknown"
    assert said(carol.call("git__moved")) == "g-pinned"
    assert len(team.git.of("tools/call")) == before


def test_a_denial_by_rule_tells_the_rule_its_reason_and_what_to_do(team: Team):
    result = team.place.client(team.tokens["dan"]).call("clock__now").json["result"]
    (content,) = result["content"]
    rule = result["_meta"]["dev.gatelodge/decision"]["rule"]
    assert content["text"] == f"Not allowed (rule {rule}): not after 1970. What to do: Go back."
    assert result["isError"] is True


def test_a_changed_tool_is_listed_with_a_notice_and_without_a_word_of_its_server(team: Team):
    listed = [one for page in pages(team.place.client(team.tokens["carol"])) for one in page]
    (moved,) = [one for one in listed if one["name"] == "git__moved"]
    assert "changed since it was approved" in moved["description"]
    assert "Does something else" not in json.dumps(moved)


def test_a_denied_call_is_recorded_with_its_true_reason(team: Team):
    before = len(team.place.leaves())
    carol = team.place.client(team.tokens["carol"])
    for name in ("git__moved", "git__odd", "off__echo", "git__none"):
        carol.call(name)
    team.place.client(team.tokens["dan"]).call("clock__now")
    found = [(leaf["t"], leaf["reason"], leaf.get("tool", "")) for leaf in team.place.since(before)]
    assert [kind for kind, _, _ in found] == ["call.denied"] * 5
    assert found[0][1:] == ("tool_changed", "moved")
    assert found[-1][1:] == ("guardrail", "now")
    assert found[3][1:] == ("tool_unknown", "")
