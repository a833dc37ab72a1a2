"""The end of somebody's access on their page: what would end, what did, and what is left to say."""

import re
from contextlib import closing

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.streams import Events
from tests.integration.admin_house import House, W
from tests.wire import until


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ("owner", "security", "admin", "auditor"):
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


def test_an_end_of_access_is_foreseen_and_then_shows_its_receipt(
    house: House, visitors: dict[str, Visitor]
) -> None:
    who = "leaver@example.test"
    house.ok("POST", f"{W}/members", {"email": who, "role": "member"})
    house.ok("POST", f"{W}/agents", {"name": "left-behind", "owner": who})
    grant = {"member": who, "server": "stub", "tool": "echo", "level": "all"}
    ident = house.ok("POST", f"{W}/grants", grant)["id"]
    path, boss = f"/members/{who}/revoke", visitors["security"]
    assert visitors["auditor"].send(path, why="HR-7").status == 403
    refused = boss.send(path, why="for Bob, who asked")
    assert (refused.status, 'value="for Bob, who asked"' in refused.body.decode()) == (400, True)
    # Who may end access and transfer no agents is asked for no heir.
    assert ('name="transfer_to"' in boss.page(f"/members/{who}")) is False
    tried = visitors["admin"].send(path, do="preview", transfer_to="admin@example.test")
    told = tried.body.decode()
    assert (tried.status, "agent.owner_changed" in told, "lost" in told) == (200, True, True)
    told = boss.send(path, do="preview").body.decode()
    assert ("agent.suspended" in told, "stub/echo" in told) == (True, True)
    assert house.ok("GET", f"{W}/members/{who}")["status"] == "active"
    page = boss.send(path, why="HR-7")
    assert page.status == 200
    told = page.body.decode()
    assert "Access has ended" in told
    assert "by security@example.test, for HR-7" in told
    assert f"grants that ended: {ident}" in told
    assert "agents, who rest or have another owner now: left-behind" in told
    assert ("What they may use" in told, "End their access" in told) == (False, False)
    assert house.ok("GET", f"{W}/members/{who}")["status"] == "revoked"


def test_an_end_of_access_is_told_node_by_node_and_its_receipt_stays_to_be_found(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok("POST", f"{W}/members", {"email": "watched@example.test", "role": "member"})
    boss = visitors["security"]
    path = "/members/watched@example.test/revoke"
    form = {"content-type": "application/x-www-form-urlencoded", "accept": "text/event-stream"}
    assert visitors["auditor"].send(path, why="HR-7").status == 403
    with closing(Events(boss, path, "POST", b"why=HR-9", origin=boss.origin, **form)) as stream:
        told = list(iter(stream.next, None))
    assert house.ok("GET", f"{W}/members/watched@example.test")["status"] == "revoked"
    receipt = told[-1]["receipt"]
    assert receipt["nodes"][0]["how"] == "acknowledged"
    assert receipt["completed_ms"] <= receipt["bound_ms"] <= 1000
    page = boss.page(f"/changes/{receipt['leaf']}")
    assert "The receipt of an end of access" in page
    assert f"{receipt['completed_ms']} ms" in page
    assert f"/changes/{receipt['leaf']}" in boss.page("/changes?type=revocation.receipt")
    with closing(Events(boss, path, "POST", b"why=HR-9", origin=boss.origin, **form)) as again:
        assert "problem" in (again.next() or {"problem": again.status})


def test_a_past_day_tells_what_somebody_could_use_until_when_and_offers_no_action(
    house: House, visitors: dict[str, Visitor]
) -> None:
    who, owner = "goner@example.test", visitors["owner"]
    house.ok("POST", f"{W}/members", {"email": who, "role": "member"})
    house.ok("POST", f"{W}/groups", {"name": "crew"})
    house.ok("POST", f"{W}/groups/crew/add-member", {"principal": who})
    house.ok("POST", f"{W}/grants", {"group": "crew", "server": "stub", "level": "all"})
    living = owner.page(f"/access/{who}")
    assert "granted to the group crew" in living
    assert "Revoke it for all of crew" in living
    then = house.ok("GET", f"{W}/access/matrix?server=stub")["at"]
    assert owner.send(f"/members/{who}/revoke", why="HR-11").status == 200
    past = owner.page(f"/access/{who}?at={then}")
    assert f"What {who} could use" in past
    assert ("may use" in past, "Revoke it" in past) == (False, False)
    assert "<code>group.member_removed</code> of owner@localhost, for HR-11" in past
    assert f"{who} could use " in owner.page(f"/access?q=goner&at={then}")
    history = owner.page(f"/access/{who}/history")
    (last,) = re.findall(r'href="([^"]+)">What they could use last<', history)
    assert "What holds now" not in history
    assert f"What {who} could use" in owner.page(last.removeprefix(HOME).replace("&amp;", "&"))
    assert "What they may use" not in owner.page(f"/members/{who}")


def test_a_link_to_what_is_let_in_stands_only_where_something_is(
    house: House, visitors: dict[str, Visitor]
) -> None:
    who, owner = "rester@example.test", visitors["owner"]
    house.ok("POST", f"{W}/members", {"email": who, "role": "member"})
    house.ok("POST", f"{W}/agents", {"name": "rester-bot", "owner": who})
    assert "What it may use" in owner.page("/agents/rester-bot")
    house.ok("POST", f"{W}/members/{who}/suspend", {})
    page = owner.page("/agents/rester-bot")
    assert ("What it may use" in page, "It rests with its owner" in page) == (False, True)
    page = owner.page(f"/members/{who}")
    (link,) = re.findall(r'href="([^"]+)">Since when, by whom and why<', page)
    assert "member.suspended" in owner.page(link.removeprefix(HOME).replace("&amp;", "&"))


def test_a_time_that_is_none_is_told_at_the_form_that_it_was_typed_in(
    visitors: dict[str, Visitor],
) -> None:
    for path, field in (
        ("/access?at=yesterday", 'name="at" value="yesterday"'),
        ("/access?unused=abc", 'name="unused" value="abc"'),
        ("/diff?earlier=x", 'name="earlier" value="x"'),
        ("/unused?days=abc", 'name="days" value="abc"'),
        ("/unused?days=0", 'name="days" value="0"'),
    ):
        answer = visitors["owner"].ask("GET", HOME + path)
        told = answer.body.decode()
        assert (answer.status, field in told, 'role="alert"' in told) == (400, True, True), path
        assert visitors["owner"].ask("GET", f"{HOME}{path}&form=csv").status == 400, path


def test_a_grant_that_expired_says_so_in_the_list(
    house: House, visitors: dict[str, Visitor]
) -> None:
    wanted = {"member": "admin@example.test", "server": "stub", "level": "all", "for_seconds": 1}
    made = house.ok("POST", f"{W}/grants", wanted)
    until(lambda: house.ok("GET", f"{W}/grants/{made['id']}")["expired"])
    (row,) = re.findall(rf"<tr>.*?{made['id']}.*?</tr>", visitors["owner"].page("/grants"))
    assert '<span class="chip bad">expired</span>' in row
