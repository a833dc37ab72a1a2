"""Each of the four questions, answered by somebody who never saw the console, in under a minute.

In the demo's house, now and for a past moment, with the proof. They find their way by what stands
on the pages: navigation, labels, links and buttons; no journey knows an address.
"""

import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.console.browser import CHROMIUM, WAIT_MS, Watched, chromium
from tests.gate import Gate
from tests.scenario.demo_house import gate_with_history

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(CHROMIUM), reason="Chromium is not installed"),
]

MINUTE = 60.0
DAN, FATIMA = "dan@example.test", "fatima@example.test"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("journeys") / "data"
    with gate_with_history(directory).running() as gate:
        # Where packages can be fetched the demo does this: its servers serve again.
        for alias in ("git", "time"):
            gate.cli("server", "enable", alias, "--yes")
        yield gate


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, demo: Gate) -> Iterator[Page]:
    """The overview, as the auditor of the demo sees it after they opened the operator's link."""
    link = demo.cli("console", "--member", "owner@localhost")["url"]
    visit = Watched(browser, f"http://127.0.0.1:{demo.port}")
    began = time.monotonic()
    visit.open(link[link.index("/console/enter") :])
    expect(visit.page.get_by_role("note").first).to_contain_text("Demo data", timeout=WAIT_MS)
    yield visit.page
    visit.close()
    assert time.monotonic() - began < MINUTE
    assert visit.faults == []


def test_who_has_access_to_what_now_and_before_somebody_came(page: Page, demo: Gate) -> None:
    came = first(demo, "member.added", FATIMA)
    page.get_by_role("link", name="Access", exact=True).click()
    page.get_by_label("Who").fill("fatima")
    rows = page.locator("table.heat tbody tr")
    expect(rows).to_have_count(1, timeout=WAIT_MS)
    expect(rows.first).to_contain_text("12/12")
    rows.first.get_by_role("link", name=FATIMA).click()
    expect(page.locator("h1")).to_contain_text("fatima", timeout=WAIT_MS)
    expect(page.locator("main")).to_contain_text("git_status")

    page.get_by_role("link", name="Access", exact=True).click()
    page.get_by_label("At", exact=True).fill(before(came))
    page.get_by_role("button", name="Show").click()
    expect(page.locator("main")).to_contain_text("A past moment.", timeout=WAIT_MS)
    expect(page.locator("table.heat")).to_contain_text(DAN)
    expect(page.locator("table.heat")).not_to_contain_text(FATIMA)

    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_label("Earlier").fill(before(came))
    page.get_by_role("button", name="Compare").click()
    changed = page.locator("tbody tr").filter(has_text=FATIMA).first
    expect(changed).to_contain_text("gained", timeout=WAIT_MS)


def test_what_happened_and_when_an_agent_was_stopped(page: Page) -> None:
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_label("Agent", exact=True).fill("ci")
    page.get_by_label("Outcome", exact=True).fill("denied")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2, timeout=WAIT_MS)
    expect(rows.first).to_contain_text("git_commit")
    expect(rows.first).to_contain_text("guardrail")
    rows.first.get_by_role("link").last.click()
    expect(page.locator("main")).to_contain_text("the same", timeout=WAIT_MS)
    # Who made the rule, and when.
    page.get_by_role("link", name="Changes", exact=True).click()
    page.get_by_label("Type").fill("guardrail.published")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr").first).to_contain_text("ravi@example.test", timeout=WAIT_MS)


def test_how_access_ended_when_somebody_left_and_ends_for_the_next(page: Page, demo: Gate) -> None:
    page.get_by_role("link", name="Members", exact=True).click()
    page.get_by_role("link", name=DAN).click()
    expect(page.locator("main")).to_contain_text("revoked", timeout=WAIT_MS)
    page.get_by_role("link", name="What was changed about them").click()
    ended = page.locator("tbody tr").filter(has_text="member.revoked")
    expect(ended).to_contain_text("demo/HR-12", timeout=WAIT_MS)
    expect(page.locator("tbody tr").filter(has_text="revocation.receipt").first).to_be_visible()

    page.get_by_role("link", name="Members", exact=True).click()
    page.get_by_role("link", name="chen@example.test").click()
    page.locator("#revoke").get_by_label("Why").fill("HR-20")
    page.get_by_role("button", name="Revoke chen@example.test").click()
    told = page.get_by_role("status").filter(has_text="Access has ended")
    expect(told.first).to_be_visible(timeout=WAIT_MS)
    expect(told.first).to_contain_text(re.compile(r"[0-9]+ ms"))
    assert demo.cli("member", "show", "chen@example.test")["status"] == "revoked"


def test_a_call_of_last_week_is_proven_in_the_page(page: Page, demo: Gate) -> None:
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_label("Member").fill(DAN)
    page.get_by_label("Outcome", exact=True).fill("ok")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("tbody tr").filter(has_text=DAN)
    expect(rows.first).to_contain_text("dan", timeout=WAIT_MS)
    rows.first.get_by_role("link").last.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_contain_text("VERIFIED: these", timeout=WAIT_MS)
    expect(page.locator(".proof .steps li").first).to_be_visible()


def first(gate: Gate, kind: str, about: str) -> str:
    """When that was first changed about somebody."""
    found = gate.cli("audit", "changes", "search", "--about", about, "--type", kind)["items"]
    return str(found[-1]["at"])


def before(moment: str) -> str:
    """The minute before."""
    then = datetime.fromisoformat(moment) - timedelta(minutes=1)
    return then.isoformat().replace("+00:00", "Z")
