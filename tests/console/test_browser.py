"""The console in a real browser: each of the four questions, every page in every shape."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from tests.console.browser import CHROMIUM, WAIT_MS, SignedIn, Watched, chromium
from tests.console.pages import HOME
from tests.console.test_pages import HOSTILE
from tests.integration.admin_house import STUB, House, W
from tests.integration.hosting.gates import empty_image

from gatelodge.web.console.routes import SCREENS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(CHROMIUM), reason="Chromium is not installed"),
]

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
NO_PAGES = frozenset(
    {
        "/live/events",
        "/audit/calls/{call:str}/proof",
        "/changes/{index:int}/proof",
        "/audit/consistency",
    }
)
"""Routes that answer with something else than a page."""
SAMPLES = {
    "/access/{principal:str}": ("/access/ada@example.test",),
    "/access/{principal:str}/history": ("/access/ada@example.test/history",),
    "/members/{who:str}": ("/members/ada@example.test",),
    "/servers/{alias:str}": ("/servers/stub", "/servers/fresh"),
    "/servers/{alias:str}/tool": ("/servers/stub/tool?name=echo",),
    "/guardrails/{name:str}": ("/guardrails/calmer",),
    "/groups/{name:str}": ("/groups/pilots",),
    "/changes/{index:int}": ("/changes/3",),
    # A build takes a gate that may build: tests/integration/packages/test_added_on_pages.py.
    "/builds/{job:str}": (),
}
"""For a route with a part that stands for something: what is there."""
LISTED = {
    "/agents/{name:str}": ("agents", "name"),
    "/grants/{name:str}": ("grants", "id"),
    "/tokens/{name:str}": ("tokens", "id"),
    "/secrets/{name:str}": ("secrets", "name"),
    "/instances/{name:str}": ("instances", "id"),
    "/cards/{name:str}": ("cards", "id"),
    "/audit/calls/{call:str}": ("audit/records?type=call.intent", "call"),
}
"""And what is found in a list of the API; nothing where the list is empty."""
SHAPES = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


DAYS = (
    "[...new Set([...document.querySelectorAll('#live tr')].map((row) => row.dataset.day + ' '))]"
)
DAYS_TOLD = (
    "[...document.querySelectorAll('#live .day:not([hidden])')].map((day) => day.textContent)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def told(house: House, stub: str) -> House:
    """A house in which something happened."""
    for name in ("ada", "bob"):
        house.ok("POST", f"{W}/members", {"email": f"{name}@example.test", "role": "member"})
    house.ok("POST", f"{W}/grants", {"member": "ada@example.test", "server": stub, "level": "all"})
    command = [sys.executable, str(STUB)]
    fresh = {"type": "stdio", "command": command, "run_as": "gateway"}
    house.gate.api("POST", f"{W}/servers", {"alias": "fresh", "transport": fresh}, local=True)
    house.ok("POST", f"{W}/servers/fresh/observe")
    rule = '@reason("No.") forbid (principal, action, resource) when { resource.destructive };'
    house.ok("POST", f"{W}/guardrails", {"name": "calmer", "text": rule, "mode": "observe"})
    house.ok("POST", f"{W}/groups", {"name": "pilots"})
    house.ok("POST", f"{W}/secrets", {"name": "told", "mode": "member"})
    house.ok("POST", f"{W}/agents", {"name": "pilot", "owner": "owner@localhost"})
    house.ok("POST", f"{W}/groups/pilots/add-member", {"principal": "ada@example.test"})
    token = house.ok("POST", f"{W}/tokens", {"member": "ada@example.test"})["token"]
    client = house.gate.client(token)
    client.call("stub__echo", {"text": "x"})
    client.call("stub__nothing", {})
    image = empty_image(house.gate)
    house.gate.api("POST", f"{W}/cards", {"image": image}, local=True)
    for at, text in enumerate(HOSTILE):
        member = {"email": f"h{at}@example.test", "name": text, "role": "member"}
        house.ok("POST", f"{W}/members", member)
        house.ok("POST", f"{W}/groups", {"name": f"g{at} {text}"})
    return house


@pytest.fixture(scope="module")
def kept(browser: Browser, told: House) -> SignedIn:
    """What a browser keeps of somebody who is signed in, by the operator's link."""
    link = told.gate.cli("console", "--member", "owner@localhost")["url"]
    path = link[link.index("/console/enter") :]
    visit = Watched(browser, f"http://127.0.0.1:{told.gate.port}")
    visit.open(path)
    visit.page.wait_for_url(f"**{HOME}/")
    assert visit.page.evaluate("document.cookie") == ""
    assert visit.faults == []
    found = SignedIn(visit.context.storage_state())
    visit.close()
    return found


@pytest.fixture
def visit(browser: Browser, told: House, kept: SignedIn) -> Iterator[Watched]:
    made = Watched(browser, f"http://127.0.0.1:{told.gate.port}", kept)
    yield made
    made.close()
    assert made.faults == []


def test_a_token_that_is_pasted_once_signs_in(browser: Browser, told: House) -> None:
    made = Watched(browser, f"http://127.0.0.1:{told.gate.port}")
    page = made.page
    page.goto(f"{made.origin}{HOME}/access")
    page.get_by_label("Your personal token").fill("gtlp_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("opens nothing here", timeout=WAIT_MS)
    page.get_by_label("Your personal token").fill(told.tokens["auditor"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("Who has access to what", timeout=WAIT_MS)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your personal token")).to_be_visible(timeout=WAIT_MS)
    made.close()


def test_who_has_access_to_what(visit: Watched) -> None:
    page = visit.open(f"{HOME}/")
    page.get_by_role("link", name="Access", exact=True).click()
    page.get_by_label("Who").fill("ada")
    rows = page.locator("table.heat tbody tr")
    expect(rows).to_have_count(1, timeout=WAIT_MS)
    expect(rows.first.locator("td")).to_have_text("2/2")
    expect(page.get_by_label("Who")).to_be_focused()
    page.get_by_role("link", name="ada@example.test").click()
    expect(page.locator("tbody .chip.good")).to_have_count(2, timeout=WAIT_MS)


def test_what_happened_and_when(visit: Watched) -> None:
    page = visit.open(f"{HOME}/")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.get_by_label("Member").fill("ada@example.test")
    page.get_by_label("Outcome").fill("ok")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1, timeout=WAIT_MS)
    expect(rows.first).to_contain_text("echo")
    rows.first.locator("td:last-child a").click()
    expect(page.get_by_role("heading", name="The decision, made again")).to_be_visible()
    expect(page.locator("main")).to_contain_text("the same")


def test_how_access_is_removed_when_someone_leaves(visit: Watched, told: House) -> None:
    told.ok("POST", f"{W}/tokens", {"member": "bob@example.test"})
    page = visit.open(f"{HOME}/members/bob@example.test")
    page.locator("#revoke").get_by_label("Why").fill("HR-7")
    page.get_by_role("button", name="Revoke bob@example.test").click()
    expect(page.get_by_role("status")).to_contain_text("Access has ended", timeout=WAIT_MS)
    expect(page.get_by_role("status")).to_contain_text("for HR-7")
    expect(page.get_by_role("status")).to_contain_text("tokens that ended")
    expect(page.get_by_role("definition").get_by_text("revoked")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".facts")).to_contain_text("Good tokens0")
    expect(page.locator("main")).not_to_contain_text("What they may use")
    assert told.ok("GET", f"{W}/members/bob@example.test")["status"] == "revoked"


def test_access_is_removed_by_a_browser_without_scripts_too(
    browser: Browser, told: House, kept: SignedIn
) -> None:
    # A form's own request bears the page's Origin only where the page may be named to its own gate.
    told.ok("POST", f"{W}/members", {"email": "eli@example.test", "role": "member"})
    made = Watched(browser, f"http://127.0.0.1:{told.gate.port}", kept, java_script_enabled=False)
    page = made.open(f"{HOME}/members/eli@example.test")
    page.locator("#revoke").get_by_label("Why").fill("HR-8")
    page.get_by_role("button", name="Revoke eli@example.test").click()
    page.get_by_role("heading", name="Access has ended").wait_for()
    made.close()
    assert told.ok("GET", f"{W}/members/eli@example.test")["status"] == "revoked"


def test_how_it_is_proven_is_told_where_it_is_asked(visit: Watched) -> None:
    page = visit.open(f"{HOME}/audit?tool=echo")
    page.locator("tbody td:last-child a").first.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_contain_text("VERIFIED: these", timeout=WAIT_MS)
    expect(page.locator("main")).to_contain_text("gatelodge audit prove c_")
    steps = page.locator("ol.steps > li")
    expect(steps).to_have_count(8)
    expect(page.locator("ol.steps .chip.good")).to_have_count(8)
    page.get_by_text("The path").first.click()
    # Again: by now this browser has seen the log, and has it shown that it goes on from there.
    page.get_by_role("button", name="Verify").click()
    expect(steps.last).to_contain_text("leaves that this browser saw last", timeout=WAIT_MS)


def test_calls_are_seen_as_they_come(visit: Watched, told: House) -> None:
    page = visit.open(f"{HOME}/live")
    expect(page.get_by_role("status")).to_have_text("Live", timeout=WAIT_MS)
    token = told.ok("POST", f"{W}/tokens", {"member": "ada@example.test"})["token"]
    told.gate.client(token).call("stub__echo", {"text": "x"})
    first = page.locator("#live tr").filter(has_text="ada@example.test").first
    expect(first).to_contain_text("echo", timeout=WAIT_MS)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    # The row that came has the day, and those below only where it is another one.
    assert page.evaluate(DAYS_TOLD) == page.evaluate(DAYS)
    first.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("One call", timeout=WAIT_MS)


def _spoilt(text: str) -> str:
    at = text.index('"leaf": "') + 40
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_a_proof_with_one_sign_changed_is_refused_in_the_page_with_the_step(
    visit: Watched,
) -> None:
    page = visit.open(f"{HOME}/audit?tool=echo")
    page.locator("tbody td:last-child a").first.click()

    def spoil(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=_spoilt(answer.text()))

    page.route("**/proof?*", spoil)
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_contain_text("NOT VERIFIED", timeout=WAIT_MS)
    expect(page.locator("ol.steps .chip.bad")).to_have_count(1)
    expect(page.locator("ol.steps > li").last).to_contain_text("in the tree")


def test_a_change_is_verified_in_the_page_too(visit: Watched) -> None:
    page = visit.open(f"{HOME}/changes?type=grant.created")
    page.locator("tbody td:last-child a").first.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_contain_text("VERIFIED: these", timeout=WAIT_MS)


@pytest.mark.parametrize(("scheme", "width"), SHAPES)
def test_every_page_fits_and_is_readable(
    browser: Browser, told: House, kept: SignedIn, tmp_path: Path, scheme: Any, width: int
) -> None:
    size: Any = {"width": width, "height": 800}
    visit = Watched(
        browser, f"http://127.0.0.1:{told.gate.port}", kept, viewport=size, color_scheme=scheme
    )
    # Colours differ by scheme and sizes by width: two of the four shapes show axe all of both.
    is_judged = AXE.is_file() and (scheme, width) in (("light", 390), ("dark", 1280))
    axe = AXE.read_text("utf-8") if is_judged else ""
    for at, path in enumerate(every_page(told)):
        page = visit.open(HOME + path)
        wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, path
        page.screenshot(path=tmp_path / f"{at}.png", full_page=True)
        if axe:
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            grave = [
                (each["id"], each["nodes"][0]["html"])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert grave == [], path
    assert visit.faults == []
    visit.close()


def test_a_page_on_paper_is_its_content(visit: Watched) -> None:
    for path in ("/access", "/audit", "/changes", "/members/ada@example.test"):
        page = visit.open(HOME + path)
        page.emulate_media(media="print")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("nav")).to_be_hidden()
        expect(page.locator("main form").first).to_be_hidden()
    for path, asked in (("/changes?by=local", "by local"), ("/members?q=ada", "who ada")):
        page = visit.open(HOME + path)
        expect(page.locator(".printed")).to_contain_text(f"Asked for: {asked}")
        expect(page.locator(".printed")).to_be_visible()
    page.emulate_media(media="screen")


def test_what_is_done_most_is_reached_by_keyboard_alone(visit: Watched) -> None:
    page = visit.open(f"{HOME}/members/ada@example.test")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "Why")
    page.keyboard.type("HR-9")
    tab_to(page, "Revoke ada@example.test")
    page = visit.open(f"{HOME}/audit")
    tab_to(page, "Search")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the field or button of that name has the focus."""
    spoken = "e => (e.labels?.[0]?.innerText ?? e.innerText ?? '').trim()"
    for _ in range(60):
        if page.evaluate(f"({spoken})(document.activeElement)") == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name!r} is not reached by Tab")


def every_page(told: House) -> list[str]:
    """A path of each page, as the console's routes name them."""
    found = []
    for route in SCREENS:
        for path in route.paths if "GET" in route.http_methods else ():
            if path in NO_PAGES:
                continue
            if path in LISTED:
                place, field = LISTED[path]
                rows = told.ok("GET", f"{W}/{place}")["items"][:1]
                found += [re.sub(r"{.*}", quote(each[field]), path) for each in rows]
            else:
                # A new route with a part that stands for something is named by this KeyError.
                found += SAMPLES[path] if "{" in path else (path,)
    return sorted(set(found))
