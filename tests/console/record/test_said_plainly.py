"""What a page says of time and of what it does not know."""

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import House, W


@pytest.fixture(scope="module")
def auditor(house: House) -> Visitor:
    found = Visitor(house)
    assert found.enter(house.tokens["auditor"]).status == 204
    return found


def test_a_log_that_is_younger_than_what_is_asked_for_is_no_clean_bill(auditor: Visitor) -> None:
    page = auditor.page("/unused?days=90")
    assert "The log began on 20" in page
    assert "less than 90 days ago" in page
    assert "is unused" not in page
    assert "--days 30" not in page


def test_every_record_of_the_overview_says_what_it_is_and_a_call_leads_to_its_page(
    house: House, stub: str, auditor: Visitor
) -> None:
    house.ok("POST", f"{W}/grants", {"member": "owner@localhost", "server": stub, "level": "all"})
    house.gate.client(house.gate.token).call("stub__echo", {"text": "x"})
    house.ok("POST", f"{W}/servers/{stub}/restart", {})
    house.gate.client(house.gate.token).call("stub__echo", {"text": "x"})
    house.ok("GET", f"{W}/audit/tail")
    page = auditor.page()
    assert f'href="{HOME}/audit/calls/c_' in page
    latest = page[page.index('id="latest"') :]
    assert "<td>instance started</td>" in latest
    assert "<td></td>" not in latest
    live = auditor.page("/live")
    assert live.count('class="day"') > live.count('class="day">')
    assert live.count('class="day">') >= 1
