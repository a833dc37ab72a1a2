"""What the pages of people and of servers show of what happened lately, and to whom."""

import re
from urllib.parse import quote

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.test_pages import HOSTILE
from tests.integration.admin_house import House, W


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ("owner", "admin", "auditor"):
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


def test_their_own_page_shows_what_somebody_did_last_to_whoever_may_read_it(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    email, bot = "doer@example.test", HOSTILE[4]
    house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    house.ok("POST", f"{W}/agents", {"name": bot, "owner": email})
    house.ok("POST", f"{W}/grants", {"agent": bot, "server": stub, "level": "all"})
    token = house.ok("POST", f"{W}/tokens", {"agent": bot})["token"]
    for _ in range(11):
        house.gate.client(token).call("stub__echo", {"text": "x"})
    house.gate.client(token).call("stub__nothing", {})
    auditor = visitors["auditor"]
    named = quote(bot, safe="")
    for path, query in (
        (f"/members/{email}", "member=doer%40example.test"),
        (f"/agents/{named}", "agent=%3Csvg%2Fonload%3Dalert%281%29%3E"),
    ):
        page = auditor.page(path)
        section = page[page.index('id="latest"') :]
        calls = re.findall(rf"{HOME}/audit/calls/c_[\w-]+\">(\d+)<", section)
        assert (len(calls), calls) == (10, sorted(calls, key=int, reverse=True)), path
        assert section.count(">echo<") == 9
        assert "denied" in section
        assert (f"{HOME}/audit?{query}" in section, bot in page) == (True, False), path
        looked = house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=1")["items"][0]
        assert (looked["by_name"], looked["subject"]["records"]) == ("auditor@example.test", 10)
        other = visitors["admin"].page(path)
        assert ('id="latest"' in other, f"{HOME}/audit?" in other) == (False, False), path
