"""What a stranger, a page elsewhere and a hostile name try against the console comes to nothing."""

import html
import re

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import House, W

from gatelodge.web.console.face import COOKIE
from gatelodge.web.console.rendering import static_path


@pytest.fixture
def visitor(house: House) -> Visitor:
    return Visitor(house)


@pytest.mark.parametrize("name", ["%00.js", "a%00.css", "..%2fapp.js", "x" * 300 + ".js", "%ff.js"])
def test_a_stranger_who_asks_for_a_file_that_is_not_there_causes_no_incident(
    visitor: Visitor, name: str
) -> None:
    assert visitor.ask("GET", f"/console/static/x/{name}").status == 404


def test_a_file_is_served_at_the_path_of_its_content_alone(visitor: Visitor) -> None:
    good = visitor.ask("GET", static_path("console.css"))
    assert (good.status, good.headers["content-type"][:8]) == (200, "text/css")
    # Kept for a year: at another path an old content would be taken for a new one.
    assert visitor.ask("GET", "/console/static/000000000000/console.css").status == 404


@pytest.mark.parametrize("path", ["/console/session/", "/console/%73ession", "/console//session"])
def test_a_sessions_cookie_opens_no_other_session_however_the_path_is_spelled(
    house: House, visitor: Visitor, path: str
) -> None:
    visitor.enter(house.tokens["auditor"])
    answer = visitor.ask("POST", path)
    assert (answer.status in {401, 404}, answer.headers.get("set-cookie")) == (True, None)


def test_two_cookies_of_its_name_are_no_session(house: House, visitor: Visitor) -> None:
    visitor.enter(house.tokens["auditor"])
    own, planted = f"{COOKIE}={visitor.cookie}", f"{COOKIE}=planted"
    for both in (f"{own}; {planted}", f"{planted}; {own}", f"{own}; {own}"):
        assert visitor.ask("GET", f"{HOME}/", cookie=both).status == 401, both


def test_a_change_that_a_browser_says_another_site_asked_for_is_refused(
    house: House, visitor: Visitor
) -> None:
    # A page of the same name over plain HTTP has the Origin of the console but for its scheme.
    visitor.enter(house.tokens["auditor"])
    for site in ("cross-site", "same-site", "none"):
        assert visitor.ask("POST", "/console/sign-out", sec_fetch_site=site).status == 403, site
    assert visitor.ask("POST", "/console/sign-out", sec_fetch_site="same-origin").status == 204


def test_whoever_signed_in_too_often_can_still_sign_out(house: House, visitor: Visitor) -> None:
    house.ok("POST", f"{W}/members", {"email": "hasty@example.test", "role": "member"})
    token = house.ok("POST", f"{W}/tokens", {"member": "hasty@example.test"})["token"]
    seen = [visitor.enter(token).status for _ in range(62)]
    assert (seen[0], seen[-1]) == (204, 429)
    # One count for both faces.
    own = {"member": "hasty@example.test"}
    house.refused(429, "limit", "POST", f"{W}/tokens", own, by=token)
    assert visitor.ask("POST", "/console/sign-out").status == 204
    assert visitor.ask("GET", f"{HOME}/").status == 401


def test_an_address_that_looks_like_a_path_leads_to_nobody_else(
    house: House, visitor: Visitor
) -> None:
    email = "a/../zz@example.test"
    house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    house.ok("POST", f"{W}/groups", {"name": "paths"})
    house.ok("POST", f"{W}/groups/paths/add-member", {"principal": email})
    visitor.enter(house.tokens["owner"])
    for path in ("/members", "/members/a%2F..%2Fzz%40example.test", "/access", "/groups/paths"):
        targets = re.findall(r'(?:href|action|hx-[a-z]+)="([^"?]*)', visitor.page(path))
        about = [each for each in targets if "zz%40example.test" in each or "zz@" in each]
        assert all("/../" not in each and "a%2F..%2Fzz%40" in each for each in about), about
        # Pages of members are named by their ids.
        assert about or path != "/groups/paths"


def test_a_guardrail_is_listed_with_its_text(house: House, visitor: Visitor) -> None:
    rule = (
        '@reason("<b>no</b>") forbid (principal, action, resource) when { resource.destructive };'
    )
    house.ok("POST", f"{W}/guardrails", {"name": "calm", "text": rule, "mode": "observe"})
    visitor.enter(house.tokens["auditor"])
    page = visitor.page("/guardrails")
    assert "calm" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page


def test_members_are_shown_in_parts_and_each_of_them_once(house: House, visitor: Visitor) -> None:
    crowd = {f"crowd{i}@example.test" for i in range(103)}
    for email in sorted(crowd):
        house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    visitor.enter(house.tokens["auditor"])
    first = visitor.page("/members?q=crowd")
    (more,) = re.findall(r'class="more" href="([^"]+)"', first)
    second = visitor.page("/members" + html.unescape(more))
    shown = [re.findall(r">(crowd\d+@example\.test)</a>", each) for each in (first, second)]
    assert [len(each) for each in shown] == [100, 3]
    assert {*shown[0], *shown[1]} == crowd
    assert 'class="more"' not in second
