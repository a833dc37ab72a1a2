"""Guardrails on pages, by command and by the API: written, tried on recorded calls, published."""

import re
from pathlib import Path

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import ROLES, House, W

NO_ECHO = '@reason("No echoes.") forbid (principal, action, resource == Gatelodge::Tool::"{}");'


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


@pytest.fixture(scope="module")
def called(house: House, stub: str) -> str:
    """Somebody who called two tools, one of them thrice; their address."""
    email = "caller@example.test"
    house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    house.ok("POST", f"{W}/grants", {"member": email, "server": stub, "level": "all"})
    client = house.gate.client(house.ok("POST", f"{W}/tokens", {"member": email})["token"])
    for tool in ("echo", "echo", "echo", "count"):
        assert client.call(f"stub__{tool}", {}).status == 200
    return email


def simulated(house: House, name: str = "", text: str = "", by: str = "auditor") -> dict:
    asked = {"name": name, "text": text, "days": 1}
    return house.ok("POST", f"{W}/guardrails/simulate", asked, by=by)


def mine(found: dict, email: str) -> list[tuple[str, str, int]]:
    return [
        (each["tool"], each["change"], each["calls"])
        for each in found["lines"]
        if each["principal"] == email
    ]


def test_what_a_guardrail_would_have_denied_is_counted(house: House, called: str) -> None:
    found = simulated(house, text=NO_ECHO.format("stub/echo"))
    assert mine(found, called) == [("stub/echo", "denied", 3)]
    assert found["calls"] >= 4
    assert (found["allowed"], found["next"]) == (0, "")
    none = simulated(house, text=NO_ECHO.format("stub/echo").replace('echo"', 'count"'))
    assert mine(none, called) == [("stub/count", "denied", 1)]


def test_what_a_guardrail_that_is_retired_would_have_allowed_is_counted(
    house: House, called: str
) -> None:
    text = NO_ECHO.format("stub/count")
    house.ok("POST", f"{W}/guardrails", {"name": "no counting", "text": text})
    client = house.gate.client(house.ok("POST", f"{W}/tokens", {"member": called})["token"])
    for _ in range(2):
        client.call("stub__count", {})
    found = simulated(house, name="no counting")
    assert mine(found, called) == [("stub/count", "allowed", 2)]
    # The one call from before it was published is decided otherwise by now.
    assert found["otherwise"] >= 1
    house.ok("POST", f"{W}/guardrails/no%20counting/retire", {})


def test_whoever_tries_a_guardrail_on_calls_is_written_down(house: House, called: str) -> None:
    simulated(house, text=NO_ECHO.format("stub/echo"), by="security")
    last = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"][0]
    assert last["by_name"] == "security@example.test"
    assert "simulation" in str(last)
    asked = {"text": NO_ECHO.format("stub/echo"), "days": 1}
    house.refused(403, "forbidden", "POST", f"{W}/guardrails/simulate", asked, by="admin")


def test_what_cannot_be_tried_is_told_why(house: House, stub: str) -> None:
    for asked in (
        {"text": "permit (principal, action, resource);"},
        {"text": NO_ECHO.format("stub/echo"), "days": 0},
        {"text": NO_ECHO.format("stub/echo"), "cursor": "soon"},
    ):
        house.refused(400, "invalid", "POST", f"{W}/guardrails/simulate", asked)
    house.refused(404, "not_found", "POST", f"{W}/guardrails/simulate", {"name": "no such"})


def test_the_command_says_what_a_file_would_have_changed(
    house: House, called: str, tmp_path: Path
) -> None:
    file = tmp_path / "rule.cedar"
    file.write_text(NO_ECHO.format("stub/echo"), "utf-8")
    found = house.gate.cli("policy", "simulate", str(file), "--days", "2")
    assert ("stub/echo", "denied", 3) in mine(found, called)
    told = house.gate.command("policy", "simulate", str(file))
    assert told.returncode == 0
    assert "would have been denied" in told.stdout


def test_a_guardrail_is_written_checked_tried_and_published(
    house: House, visitors: dict[str, Visitor], called: str
) -> None:
    security = visitors["security"]
    wrong = security.send("/guardrails/check", text="forbid <script>", name="mine")
    page = wrong.body.decode()
    assert (wrong.status, "&lt;script&gt;" in page, 'value="mine"' in page) == (400, True, True)
    text = NO_ECHO.format("stub/echo").replace(" forbid", "\r\nforbid")
    good = security.send("/guardrails/check", text=text)
    assert (good.status, "It can be published." in good.body.decode()) == (200, True)
    tried = visitors["auditor"].send("/guardrails/simulate", text=text, days="1")
    page = tried.body.decode()
    assert tried.status == 200
    assert re.search(r"[1-9][0-9]* would have been denied", page)
    assert called in page
    assert "Publish it" not in page
    made = security.send("/guardrails", text=text, name="no echoes", mode="observe")
    assert made.headers["location"] == f"{HOME}/guardrails/no%20echoes?done=publish"
    page = security.page("/guardrails/no%20echoes")
    assert "Enforce it" in page
    assert house.ok("GET", f"{W}/guardrails/no%20echoes")["mode"] == "observe"
    sent = {"text": text, "name": "no echoes", "mode": "enforce", "unmatched": "yes"}
    assert security.send("/guardrails", **sent).status == 303
    assert house.ok("GET", f"{W}/guardrails/no%20echoes")["mode"] == "enforce"
    free = security.send("/guardrails/no%20echoes/retire", why="as Bob said")
    assert (free.status, 'value="as Bob said"' in free.body.decode()) == (400, True)
    assert security.send("/guardrails/no%20echoes/retire", why="SEC-9").status == 303


def test_a_trial_that_is_no_number_of_days_is_told_at_the_form(
    visitors: dict[str, Visitor],
) -> None:
    text = NO_ECHO.format("stub/echo")
    answer = visitors["owner"].send("/guardrails/simulate", text=text, days="<b>soon</b>")
    page = answer.body.decode()
    assert (answer.status, "Say 1 to 366 days." in page) == (400, True)
    assert "<b>soon" not in page
