"""What the pages of people and of servers show of what happened lately, and to whom."""

import re
import sys
from urllib.parse import quote

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.test_pages import HOSTILE
from tests.integration.admin_house import House, W
from tests.wire import until


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
    email, bot = "doer@example.test", f"!{HOSTILE[4]}"
    member = house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    agent = house.ok("POST", f"{W}/agents", {"name": bot, "owner": email})
    house.ok("POST", f"{W}/grants", {"agent": bot, "server": stub, "level": "all"})
    token = house.ok("POST", f"{W}/tokens", {"agent": bot})["token"]
    for _ in range(11):
        house.gate.client(token).call("stub__echo", {"text": "x"})
    house.gate.client(token).call("stub__nothing", {})
    auditor = visitors["auditor"]
    named = quote(bot, safe="")
    for path, query in (
        (f"/members/{email}", f"member={member['id']}"),
        (f"/agents/{named}", f"agent={agent['id']}"),
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


def test_a_servers_page_shows_how_its_last_hours_were_as_far_as_records_tell(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    house.gate.client(house.gate.token).call("stub__echo", {"text": "x"})
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    broken = {"type": "stdio", "command": command, "run_as": "gateway"}
    house.gate.api("POST", f"{W}/servers", {"alias": "broken", "transport": broken}, local=True)
    unused = {"type": "http", "url": "https://unused.example.test/mcp"}
    house.gate.api("POST", f"{W}/servers", {"alias": "unused", "transport": unused}, local=True)
    assert house.ask("POST", f"{W}/servers/broken/observe").status >= 400
    path = f"{W}/audit/records?type=instance.started&server=broken&outcome=open"
    until(lambda: not house.ok("GET", path)["items"])
    auditor = visitors["auditor"]
    whole = auditor.page(f"/servers/{stub}")
    strip = whole[whole.index('class="strip"') :]
    # Nothing is recorded of the hours before: they are not green. An hour may have begun just now.
    known = strip.count('fill="#2f8f5b"')
    assert (known in {1, 2}, strip.count("no record tells how it was")) == (True, 24 - known)
    assert "an instance ran" in strip
    failing = auditor.page("/servers/broken")
    assert re.search(r"[1-9]\d* instances were refused or ended by themselves", failing)
    assert 'fill="#2f8f5b"' not in failing
    assert "No record of these hours says how it was." in auditor.page("/servers/unused")
    assert 'id="lately"' not in visitors["admin"].page(f"/servers/{stub}")
    for alias in ("broken", "unused"):
        house.ok("POST", f"{W}/servers/{alias}/remove", {})


def test_a_page_shows_nothing_of_a_later_bearer_of_the_same_name(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    again, bot = "again@example.test", "again-bot"
    bearers: list[str] = []
    for _ in range(2):
        member = house.ok("POST", f"{W}/members", {"email": again, "role": "member"})
        agent = house.ok("POST", f"{W}/agents", {"name": bot, "owner": again})
        bearers += [member["id"], agent["id"]]
        if len(bearers) == 2:
            house.ok("POST", f"{W}/agents/{bot}/revoke", {})
            house.ok("POST", f"{W}/members/{again}/revoke", {})
    for who in ({"member": again}, {"agent": bot}):
        house.ok("POST", f"{W}/grants", {**who, "server": stub, "level": "all"})
        token = house.ok("POST", f"{W}/tokens", who)["token"]
        house.gate.client(token).call("stub__echo", {"text": "x"})
    auditor = visitors["auditor"]
    # Whoever asks by the name asks of both, and is told so.
    for query, old, new in (("member=" + again, 0, 2), ("agent=" + bot, 1, 3)):
        note = f"is, or was: {bearers[old]} (revoked), {bearers[new]}"
        other = f"is, or was: {bearers[new]}, {bearers[old]} (revoked)"
        page = auditor.page(f"/audit?{query}")
        assert note in page or other in page, query
    for path, calls in zip(("members", "agents", "members", "agents"), (0, 0, 2, 1), strict=True):
        ident = bearers.pop(0)
        page = auditor.page(f"/{path}/{ident}")
        assert page[page.index('id="latest"') :].count(">echo<") == calls, (path, calls)
        looked = house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=1")["items"][0]
        assert (ident in str(looked), [each for each in bearers if each in str(looked)]) == (
            True,
            [],
        )
        # Nor does a link from it lead to whoever else bears the name.
        main = page[page.index('id="main"') :]
        targets = re.findall(rf'(?:href|action)="{HOME}/([^"]+)"', main)
        assert [each for each in targets if "again" in each] == [], (path, targets)
