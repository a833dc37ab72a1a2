"""What is set and where from: on a page, by command and by the API."""

import json

from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import House


def test_each_setting_is_told_with_where_it_came_from(house: House) -> None:
    told = {each["key"]: each for each in house.ok("GET", "/settings", by="auditor")}
    assert told["limits.body_bytes"]["value"] == "65536"
    assert told["limits.body_bytes"]["changed"]
    assert told["limits.header_bytes"]["origin"] == "default"
    for role in ("security", "admin", "member"):
        house.refused(403, "forbidden", "GET", "/settings", by=role)
    shown = house.gate.cli("config", "show", "--running")
    assert {each["key"] for each in shown} == set(told)


def test_the_page_finds_a_setting_and_gives_it_as_a_file(house: House) -> None:
    visitor = Visitor(house)
    visitor.enter(house.tokens["auditor"])
    page = visitor.page("/settings?q=body_bytes")
    assert "limits.body_bytes" in page
    assert "limits.header_bytes" not in page
    answer = visitor.ask("GET", f"{HOME}/settings?form=json&q=body_bytes")
    assert [each["key"] for each in json.loads(answer.body)] == ["limits.body_bytes"]
    assert "No setting is called so." in visitor.page("/settings?q=nothing_such")
