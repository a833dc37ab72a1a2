"""Sign-in to the console: what opens it, what it is recorded as, and what ends it."""

from pathlib import Path

import pytest
from tests.console.pages import HOME, Visitor, cookie_of
from tests.gate import Gate
from tests.integration.admin_house import House, W

from gatelodge.flows.identity.console import MOST_SESSIONS


@pytest.fixture
def visitor(house: House) -> Visitor:
    return Visitor(house)


def test_without_a_session_every_page_is_the_sign_in(visitor: Visitor) -> None:
    for path in ("/console/", f"{HOME}/", f"{HOME}/access", f"{HOME}/audit"):
        answer = visitor.ask("GET", path)
        assert answer.status == 401, path
        assert b"Sign in to gatelodge" in answer.body


def test_a_token_opens_a_session_that_is_a_token_of_its_own_and_ends_with_it(
    house: House, visitor: Visitor
) -> None:
    own = house.ok("POST", f"{W}/tokens", {"member": "admin@example.test"})
    opened = visitor.enter(own["token"])
    assert opened.status == 204
    said = opened.headers["set-cookie"].lower()
    for word in ("httponly", "secure", "samesite=strict", "path=/", "max-age=28800"):
        assert word in said, said
    assert "domain" not in said
    assert own["token"] not in said
    assert "Overview" in visitor.page()
    rows = house.ok("GET", f"{W}/tokens?limit=500")["items"]
    (session,) = [
        each for each in rows if each["label"] == "console" and each["parent"] == own["id"]
    ]
    house.ok("POST", f"{W}/tokens/{own['id']}/revoke", {})
    assert visitor.ask("GET", f"{HOME}/").status == 401
    changes = house.ok("GET", f"{W}/audit/changes?about={session['id']}")["items"]
    assert {each["type"] for each in changes} == {"token.issued", "token.revoked"}


def test_of_many_sessions_of_one_person_the_oldest_ends(house: House) -> None:
    house.ok("POST", f"{W}/members", {"email": "often@example.test", "role": "member"})
    own = house.ok("POST", f"{W}/tokens", {"member": "often@example.test"})
    visitors = [Visitor(house) for _ in range(MOST_SESSIONS + 2)]
    for each in visitors:
        assert each.enter(own["token"]).status == 204
    opens = [each.ask("GET", f"{HOME}/").status for each in visitors]
    assert opens == [401, 401] + [200] * MOST_SESSIONS
    rows = house.ok("GET", f"{W}/tokens?limit=500")["items"]
    assert own["id"] in {each["id"] for each in rows}


def test_signing_out_ends_the_session_at_the_gate(house: House, visitor: Visitor) -> None:
    visitor.enter(house.tokens["auditor"])
    left = visitor.ask("POST", "/console/sign-out")
    assert left.status == 204
    assert "max-age=0" in left.headers["set-cookie"].lower()
    assert visitor.ask("GET", f"{HOME}/").status == 401


def test_without_scripts_a_form_signs_out_and_the_sign_in_says_what_it_needs(
    house: House, visitor: Visitor
) -> None:
    visitor.enter(house.tokens["auditor"])
    assert '<form method="post" action="/console/sign-out">' in visitor.page()
    left = visitor.ask("POST", "/console/sign-out", b"do=sign-out")
    assert (left.status, left.headers["location"]) == (303, "/console/")
    assert "max-age=0" in left.headers["set-cookie"].lower()
    told = visitor.ask("GET", f"{HOME}/")
    assert (told.status, b"<noscript>" in told.body) == (401, True)


def test_a_link_of_the_operator_opens_one_session(house: House, visitor: Visitor) -> None:
    told = house.gate.cli("console", "--member", "admin@example.test")
    path, _, code = told["url"].partition("#")
    assert path.endswith("/console/enter")
    assert visitor.ask("GET", "/console/enter").status == 200
    first = visitor.ask("POST", "/console/enter", x_gatelodge_code=code)
    assert first.status == 204
    visitor.cookie = cookie_of(first)
    assert "Overview" in visitor.page()
    assert visitor.ask("POST", "/console/enter", x_gatelodge_code=code).status == 401
    issued = house.ok("GET", f"{W}/audit/changes?type=token.issued&by=local")["items"]
    assert issued[0]["names"], issued[0]


@pytest.mark.parametrize("code", ["", "x", "00.00", "é", "0" * 32 + "." + "0" * 32])
def test_a_code_that_was_guessed_opens_nothing(visitor: Visitor, code: str) -> None:
    answer = visitor.ask("POST", "/console/enter", x_gatelodge_code=code.encode().decode("latin-1"))
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_only_the_operator_of_the_machine_makes_links(house: House) -> None:
    for role in house.tokens:
        house.refused(403, "forbidden", "POST", f"{W}/console/links", {}, by=role)


def test_an_agents_token_opens_no_session(house: House, visitor: Visitor) -> None:
    house.ok("POST", f"{W}/agents", {"name": "bot", "owner": "admin@example.test"})
    token = house.ok("POST", f"{W}/tokens", {"agent": "bot"})["token"]
    assert visitor.enter(token).status == 403
    assert visitor.enter("gtlp_nonsense").status == 401


def test_a_change_comes_from_a_page_of_the_console_only(house: House, visitor: Visitor) -> None:
    house.ok("POST", f"{W}/members", {"email": "eve@example.test", "role": "member"})
    visitor.enter(house.tokens["owner"])
    path = f"{HOME}/members/eve@example.test/revoke"
    for origin in ("http://evil.example", "null", "", f"http://127.0.0.1:{visitor.port + 1}"):
        answer = visitor.ask("POST", path, b"why=HR-1", origin=origin)
        assert answer.status == 403, origin
    sent = visitor.ask("POST", path, b'{"why":"HR-1"}', content_type="application/json")
    assert sent.status == 400
    assert house.ok("GET", f"{W}/members/eve@example.test")["status"] == "active"


def test_a_bearer_token_is_no_session(house: House, visitor: Visitor) -> None:
    answer = visitor.ask("GET", f"{HOME}/", authorization=f"Bearer {house.tokens['owner']}")
    assert answer.status == 401


@pytest.mark.slow
def test_while_nothing_serves_no_link_is_made(tmp_path: Path) -> None:
    stopped = Gate(tmp_path / "data")
    stopped.cli("init")
    told = stopped.command("console")
    assert told.returncode == 3
    assert "gatelodge up" in told.stderr
