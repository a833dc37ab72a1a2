"""Rules changed on pages: each form by each role, what it would change first, and its refusals."""

import re
from urllib.parse import quote

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import ROLES, House, W

ADMINS = frozenset({"owner", "admin"})
ENDERS = frozenset({"owner", "admin", "security"})

FORMS: dict[str, frozenset[str]] = {
    "/agents": ADMINS,
    "/agents/{name}/suspend": ENDERS,
    "/agents/{name}/resume": ADMINS,
    "/agents/{name}/transfer": ADMINS,
    "/agents/{name}/revoke": ENDERS,
    "/members": ADMINS,
    "/members/{name}/rename": ADMINS,
    "/members/{name}/role": ADMINS,
    "/members/{name}/suspend": ENDERS,
    "/members/{name}/resume": ADMINS,
    "/members/{name}/revoke": ENDERS,
    "/groups": ADMINS,
    "/groups/{name}/add-member": ADMINS,
    "/groups/{name}/remove-member": ENDERS,
    "/groups/{name}/remove": ADMINS,
    "/grants": ADMINS,
    "/grants/{name}/revoke": ENDERS,
    "/guardrails": frozenset({"owner", "security"}),
    "/guardrails/check": frozenset(ROLES) - {"member"},
    "/guardrails/simulate": frozenset({"owner", "security", "auditor"}),
    "/guardrails/{name}/retire": frozenset({"owner", "security"}),
    "/servers": ADMINS,
    "/servers/{name}/edit": ADMINS,
    "/servers/{name}/secret": ADMINS,
    "/servers/{name}/restart": ADMINS,
    "/servers/{name}/kill": ENDERS,
    "/servers/{name}/approve": ADMINS,
    "/servers/{name}/observe": ADMINS,
    "/servers/{name}/enable": ADMINS,
    "/servers/{name}/disable": ENDERS,
    "/servers/{name}/remove": ADMINS,
    "/servers/{name}/tool/approve": ADMINS,
    "/servers/{name}/tool/review": ADMINS,
    "/servers/{name}/tool/block": ENDERS,
    "/servers/{name}/tool/unblock": ADMINS,
    **{
        f"/instances/{{name}}/{act}": ENDERS
        for act in ("pause", "resume", "attest", "stop", "kill")
    },
    "/builds": ADMINS,
    "/builds/{name}/cancel": ADMINS,
    "/builds/{name}/add": ADMINS,
    "/builds/{name}/move": ADMINS,
    "/cards/{name}/approve": ADMINS,
    "/cards/{name}/reject": ADMINS,
    "/secrets": ADMINS,
    "/secrets/{name}/remove": frozenset(ROLES),
    "/secrets/{name}/value": frozenset(ROLES),
    "/secrets/{name}/erase": frozenset(ROLES),
    "/tokens": frozenset(ROLES),
    "/tokens/{name}/revoke": frozenset(ROLES),
}
"""Who may send which form; everybody else is refused."""


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


@pytest.mark.parametrize("path", FORMS)
def test_each_form_is_taken_from_the_roles_that_may_send_it(
    visitors: dict[str, Visitor], path: str
) -> None:
    for role, visitor in visitors.items():
        # About nothing that is there: a form that is taken is then refused for that alone.
        answer = visitor.send(path.replace("{name}", "nothing_such"))
        allowed = role in FORMS[path]
        assert (answer.status in {400, 404}) == allowed, (role, path, answer.status)
        assert (answer.status == 403) == (not allowed), (role, path, answer.status)


def test_the_table_of_forms_is_whole() -> None:
    from gatelodge.web.console.routes import SCREENS

    for route in SCREENS:
        if "POST" in route.http_methods:
            for path in route.paths:
                known = re.sub(r"\{\w+:str\}", "{name}", path)
                assert known in FORMS, path


def test_a_form_is_shown_to_whoever_may_send_it(house: House, visitors: dict[str, Visitor]) -> None:
    house.ok("POST", f"{W}/groups", {"name": "shown"})
    for role in ROLES[:-1]:
        listed = visitors[role].page("/groups")
        assert ('<form method="post" action="/console/w/' in listed) == (role in ADMINS), role
        page = visitors[role].page("/groups/shown")
        assert ("/shown/remove-member" in page) == (role in ENDERS), role


def test_a_member_is_let_in_given_a_role_stopped_and_let_in_again(
    visitors: dict[str, Visitor],
) -> None:
    admin, path = visitors["admin"], "/members/joiner@example.test"
    made = admin.send("/members", email="joiner@example.test", name="Jo", role="member")
    assert made.headers["location"] == f"{HOME}/members/joiner%40example.test?done=add"
    again = admin.send("/members", email="joiner@example.test", role="member")
    assert (again.status, "is here already" in again.body.decode()) == (409, True)
    given = visitors["owner"].send(f"{path}/role", role="auditor")
    assert given.headers["location"].endswith("?done=role")
    assert "<dd>auditor</dd>" in admin.page(path)
    assert admin.send(f"{path}/role", role="owner").status == 403
    visitors["owner"].send(f"{path}/role", role="member")
    assert "It has ended" in admin.send(f"{path}/suspend", why="OPS-1").body.decode()
    page = admin.page(path)
    shown = ("They are suspended" in page, "/resume" in page, "/suspend" in page)
    assert shown == (True, True, False)
    assert "What they may use" not in page
    assert admin.send(f"{path}/resume").headers["location"].endswith("?done=resume")
    assert "What they may use" in admin.page(path)


def test_a_group_is_made_filled_and_removed(house: House, visitors: dict[str, Visitor]) -> None:
    admin = visitors["admin"]
    made = admin.send("/groups", name="flyers")
    assert (made.status, made.headers["location"]) == (303, f"{HOME}/groups/flyers?done=create")
    house.ok("POST", f"{W}/grants", {"group": "flyers", "server": "stub", "level": "all"})
    house.ok("POST", f"{W}/members", {"email": "pia@example.test", "role": "member"})
    tried = admin.send("/groups/flyers/add-member", principal="pia@example.test", do="preview")
    told = tried.body.decode()
    assert (tried.status, "2 gained, 0 lost" in told) == (200, True), told
    assert "stub/echo" in told
    assert 'value="pia@example.test"' in told
    assert house.ok("GET", f"{W}/groups/flyers")["principals"] == []
    assert admin.send("/groups/flyers/add-member", principal="pia@example.test").status == 303
    assert house.ok("GET", f"{W}/groups/flyers")["principals"] == ["pia@example.test"]
    tried = admin.send("/groups/flyers/remove", do="preview")
    assert "0 gained, 2 lost" in tried.body.decode()
    gone = admin.send("/groups/flyers/remove")
    assert (gone.status, gone.headers["location"]) == (303, f"{HOME}/groups?done=remove")
    assert "It is done." in admin.page("/groups?done=remove")


def test_what_was_typed_stays_beside_what_was_wrong(
    house: House, visitors: dict[str, Visitor]
) -> None:
    owner = visitors["owner"]
    sent = {"member": "nobody@example.test", "server": "stub", "level": "all", "ticket": "OPS-9"}
    answer = owner.send("/grants", **sent)
    page = answer.body.decode()
    assert (answer.status, "What to do:" in page) == (404, True)
    for text in ('value="nobody@example.test"', 'value="OPS-9"', "<option selected>all</option>"):
        assert text in page, text
    both = owner.send("/grants", member="owner@localhost", everyone="yes", server="stub")
    assert (both.status, "exactly one of" in both.body.decode()) == (400, True)
    wrong = owner.send("/grants", everyone="yes", server="stub", level="most")
    assert wrong.status == 400


def test_a_grant_is_foreseen_made_and_taken_back_with_a_receipt(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok("POST", f"{W}/members", {"email": "gil@example.test", "role": "member"})
    owner = visitors["owner"]
    sent = {"member": "gil@example.test", "server": "stub", "tool": "echo", "level": "all"}
    before = house.gov
    told = owner.send("/grants", **sent, for_seconds="8h", do="preview").body.decode()
    assert "1 gained, 0 lost" in told
    assert "grant.created" in told
    assert house.gov == before
    made = owner.send("/grants", **sent, for_seconds="8h")
    assert made.status == 303
    path = made.headers["location"].removeprefix(HOME).partition("?")[0]
    assert "gil@example.test" in owner.page(path)
    assert owner.send("/grants", **sent).status == 409
    tried = visitors["security"].send(f"{path}/revoke", do="preview").body.decode()
    assert "0 gained, 1 lost" in tried
    ended = visitors["security"].send(f"{path}/revoke", why="OPS-3").body.decode()
    assert "after it was committed" in ended
    assert "by security@example.test, for OPS-3" in ended
    assert owner.ask("GET", HOME + path).status == 404


def test_the_api_tells_who_would_gain_or_lose(house: House, stub: str) -> None:
    house.ok("POST", f"{W}/members", {"email": "ann@example.test", "role": "member"})
    body = {"member": "ann@example.test", "server": stub, "level": "all"}
    dry = house.ok("POST", f"{W}/grants?dry_run=true", body)
    assert (dry["gained"], dry["lost"]) == (2, 0)
    assert {each["change"] for each in dry["access"]} == {"gained"}
    grant = house.ok("POST", f"{W}/grants", body)["id"]
    dry = house.ok("POST", f"{W}/servers/{stub}/disable?dry_run=true", {})
    assert dry["lost"] >= 2
    dry = house.ok("DELETE", f"{W}/grants/{grant}?dry_run=true")
    assert {(each["principal"], each["change"]) for each in dry["access"]} == {
        ("ann@example.test", "lost")
    }


def test_an_agent_is_added_rests_and_comes_back(house: House, visitors: dict[str, Visitor]) -> None:
    admin = visitors["admin"]
    made = admin.send("/agents", name="night bot", owner="admin@example.test")
    assert made.status == 303
    path = f"/agents/{quote('night bot')}"
    assert "after it was committed" in admin.send(f"{path}/suspend").body.decode()
    assert house.ok("GET", f"{W}/agents/{quote('night bot')}")["status"] == "suspended"
    assert admin.send(f"{path}/resume").status == 303
    assert house.ok("GET", f"{W}/agents/{quote('night bot')}")["status"] == "active"


def test_a_token_is_shown_once_and_stands_in_no_address(
    house: House, visitors: dict[str, Visitor]
) -> None:
    admin = visitors["admin"]
    house.ok("POST", f"{W}/members", {"email": "tom@example.test", "role": "member"})
    for wrong in ({"member": "tom@example.test", "agent": "<i>"}, {"member": "", "label": "<i>"}):
        answer = admin.send("/tokens", **wrong)
        assert (answer.status, "exactly one" in answer.body.decode()) == (400, True), wrong
        assert 'value="&lt;i&gt;"' in answer.body.decode()
    answer = admin.send("/tokens", member="tom@example.test", label="laptop")
    page = answer.body.decode()
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    (token,) = set(re.findall(r'value="(gtl[^"]+)"', page))
    assert "location" not in answer.headers
    (path,) = re.findall(r'href="/console/w/main(/tokens/[^"]+)"', page)
    assert house.ask("GET", f"{W}/whoami", by=token).status == 200
    shown = admin.page(path)
    assert token not in shown + admin.page("/tokens?q=laptop")
    assert "after it was committed" in admin.send(f"{path}/revoke", why="OPS-2").body.decode()
    house.refused(401, "unauthenticated", "GET", f"{W}/access/history?principal=me", by=token)


def test_a_role_that_issues_for_itself_alone_issues_for_nobody_else(
    visitors: dict[str, Visitor],
) -> None:
    security = visitors["security"]
    assert security.send("/tokens", member="security@example.test").status == 200
    assert security.send("/tokens", member="owner@localhost").status == 403


def test_an_instance_is_paused_goes_on_and_is_stopped(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    house.ok("POST", f"{W}/members", {"email": "ike@example.test", "role": "member"})
    house.ok("POST", f"{W}/grants", {"member": "ike@example.test", "server": stub, "level": "all"})
    client = house.gate.client(
        house.ok("POST", f"{W}/tokens", {"member": "ike@example.test"})["token"]
    )
    assert client.call("stub__echo", {}).status == 200
    ident = house.ok("GET", f"{W}/instances?server={stub}")["items"][0]["id"]
    path, security = f"/instances/{ident}", visitors["security"]
    assert "How far it is kept apart" in visitors["auditor"].page(path)
    assert f"{path}/kill" not in visitors["auditor"].page(path)
    assert f"{path}/kill" in security.page(path)
    for act in ("pause", "resume"):
        answer = security.send(f"{path}/{act}")
        assert answer.status == 200, answer.body
        assert 'role="status">It is ' in answer.body.decode()
    assert security.send(f"{path}/attest").status == 200
    assert "It ended after" in security.send(f"{path}/stop").body.decode()
    assert security.send(f"{path}/stop").status == 404


@pytest.mark.parametrize("body", [b"label=" + b"a" * 300_000, b"a&" * 6_000])
def test_a_form_of_more_bytes_or_fields_than_ours_have_is_refused_before_it_is_read(
    visitors: dict[str, Visitor], body: bytes
) -> None:
    for path in ("/tokens", "/members/admin@example.test/revoke"):
        told = visitors["owner"].ask("POST", HOME + path, body)
        assert told.status in (400, 413, 429), told.body


def test_a_form_that_is_refused_shows_nobody_elses_row(
    house: House, visitors: dict[str, Visitor]
) -> None:
    rows = house.ok("GET", f"{W}/tokens")["items"]
    theirs = next(each for each in rows if each["principal"] == "admin@example.test")
    told = visitors["member"].send(f"/tokens/{theirs['id']}/revoke")
    assert told.status == 403
    assert theirs["last4"] not in told.body.decode()
    assert "admin@example.test" not in told.body.decode()
