"""The agents' own programs through a real gate, each with a model that wants one tool.

Nothing of theirs is imitated but the model: Claude Code, Codex and Gemini CLI run as npm installs
them, with the files that docs/clients.md shows.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.agents.conftest import DENIAL, READ, House
from tests.agents.model import Model
from tests.agents.programs import EVERY, Claude, Codex, Program
from tests.conformance.shim import Shim
from tests.upstreams import bad_offers
from tests.wire import until

from gatelodge.core.tokens import mint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NEVER_ISSUED = mint("personal", b"n" * 32)
SEEN = {"lamp__read", "lamp__quench"}


@pytest.fixture(params=EVERY, ids=lambda kind: kind.__name__)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    made: Program = request.param(tmp_path)
    return made


def shown(model: Model) -> set[str]:
    """The gate's tools that the model was shown, by the gate's names."""
    return {f"lamp__{name.rpartition('lamp__')[2]}" for name in model.offered if "lamp__" in name}


def the_call(house: House, email: str) -> dict[str, Any]:
    """The one call of a member, once it has ended."""

    def ended() -> list[dict[str, Any]]:
        return [r for r in house.records(email) if r["method"] == "tools/call" and r["outcome"]]

    (call,) = until(ended)
    return call


def spoken(house: House, call: str) -> str:
    """The revision that a call came in."""
    begun = [leaf for leaf in house.leaves() if leaf.get("call") == call and "proto" in leaf]
    assert len(begun) == 1, begun
    return str(begun[0]["proto"])


def test_an_agent_tells_what_an_allowed_tool_answered(house: House, program: Program):
    email, token = house.guest()
    with Model("lamp__read") as model:
        ended = program.run(house.url, token, model)
    assert ended.code == 0, ended
    assert shown(model) == SEEN
    assert len(model.heard) == 1, ended
    assert ended.said.startswith("told: "), ended
    assert READ in ended.said
    call = the_call(house, email)
    assert (call["tool"], call["outcome"]) == ("read", "ok")
    assert spoken(house, call["call"]) == program.speaks
    assert {record["client"] for record in house.records(email)} == {program.named}
    assert model.strays == []


def test_an_agent_tells_its_model_why_a_tool_is_denied_and_what_to_do(
    house: House, program: Program
):
    email, token = house.guest()
    with Model("lamp__quench") as model:
        ended = program.run(house.url, token, model)
    assert ended.code == 0, ended
    assert shown(model) == SEEN
    (heard,) = model.heard
    assert "Not allowed (rule grd_" in heard
    assert DENIAL in heard
    call = the_call(house, email)
    assert (call["tool"], call["outcome"]) == ("quench", "denied: guardrail")
    assert (call["client"], spoken(house, call["call"])) == (program.named, program.speaks)
    assert model.strays == []


def test_an_agent_with_a_wrong_token_is_turned_away_and_looks_for_no_other_way_in(
    house: House, program: Program
):
    before = failures(house)
    with Shim(house.gate.port) as door, Model("lamp__read") as model:
        url = f"http://127.0.0.1:{door.port}{house.path}"
        ended = program.run(url, NEVER_ISSUED, model)
    assert program.complaint in ended.output + ended.errors, ended
    assert READ not in ended.output
    assert (shown(model), model.heard, model.strays) == (set(), [], [])
    assert set(door.seen) == {f"POST {house.path} HTTP/1.1"}
    wanted = Counter(unknown=len(door.seen))
    until(lambda: failures(house) - before == wanted, why=str(door.seen))


def test_claude_code_without_a_token_finds_no_oauth_and_gives_up(house: House, tmp_path: Path):
    program = ClaudeWithoutToken(tmp_path)
    with Shim(house.gate.port) as door, Model("lamp__read") as model:
        ended = program.run(f"http://127.0.0.1:{door.port}{house.path}", "", model)
    assert program.complaint in ended.output, ended
    assert (shown(model), model.heard, model.strays) == (set(), [], [])
    asked = {line.split(" ")[1] for line in door.seen}
    assert {f"/.well-known/oauth-protected-resource{house.path}", "/register"} <= asked


class ClaudeWithoutToken(Claude):
    """Claude Code whose user wrote down the URL only."""

    def manual(self, url: str) -> str:
        told = json.loads(super().manual(url))
        del told["mcpServers"]["gate"]["headers"]
        return json.dumps(told)


def failures(house: House) -> Counter[str]:
    """How many credentials were refused, by reason."""
    found: Counter[str] = Counter()
    for leaf in house.leaves():
        if leaf["t"] == "auth.failed":
            found[leaf["reason"]] += leaf["count"]
    return found


def test_codex_calls_unasked_only_what_says_that_it_reads(house: House, tmp_path: Path):
    email, token = house.guest()
    for tool, reached in (("lamp__quench", False), ("lamp__read", True)):
        (tmp_path / tool).mkdir()
        program = Codex(tmp_path / tool)
        program.approves = False
        with Model(tool) as model:
            ended = program.run(house.url, token, model)
        assert ("requires approval" not in ended.said) == reached, ended
    assert the_call(house, email)["tool"] == "read"


def test_an_agent_keeps_every_good_tool_beside_bad_ones(house: House, program: Program):
    if not any(each["alias"] == "odd" for each in house.api("GET", "/servers")["items"]):
        house.spawn("odd", sys.executable, str(bad_offers.__file__), "stdio")
    email, token = house.guest()
    house.grant(member=email, server="odd", level="all")
    with Model("odd__last") as model:
        ended = program.run(house.url, token, model)
    assert ended.code == 0, ended
    good = {"odd__first", "odd__last", "lamp__read", "lamp__quench"}
    assert {name for name in good if any(each.endswith(name) for each in model.offered)} == good
    assert len(model.heard) == 1, ended
    call = the_call(house, email)
    assert (call["tool"], call["outcome"]) == ("last", "ok")
