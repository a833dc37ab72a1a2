"""Every route of the API and of the console, asked as every role: exactly what the page says."""

import http.client
import re
from pathlib import Path

import pytest
from docs.roles import ROLES, routes
from tests.console.pages import Visitor
from tests.gate import ROOT, WAIT
from tests.integration.admin_house import House

PAGE = Path(ROOT) / "docs" / "reference" / "roles.md"
ROW = re.compile(r"\| `([A-Z]+) (\S+)` \| ([^|]*) \| " + r" \| ".join([r"(yes|·)"] * len(ROLES)))
NOBODY = ""
OWN = frozenset({"/console/session", "/console/enter"})
"""They begin a session, or end the one that asks: `test_session` is about them."""
NOT_THERE = {"workspace": "main", "index": "999999999", "principal": "me"}
"""What stands for a part of a path; for any other a name that nobody has: nothing is changed."""


def documented() -> dict[tuple[str, str], dict[str, bool]]:
    """Each route of the page, and to whom it is open; `open` ones to whoever sent nothing too."""
    found = {}
    for method, path, acts, *marks in ROW.findall(PAGE.read_text("utf-8")):
        rows = dict(zip(ROLES, (mark == "yes" for mark in marks), strict=True))
        found[method, path] = {**rows, NOBODY: acts == "open"}
    return found


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {NOBODY: Visitor(house)}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


def test_the_page_names_every_route() -> None:
    known = documented()
    for before, handler in routes():
        for path in handler.paths:
            shown = re.sub(r":\w+}", "}", before + ("" if path == "/" else path))
            for method in handler.http_methods:
                named = (method, shown) in known or (method, shown + "/") in known
                assert named, f"{method} {shown} is not in {PAGE.name}: run `make docs`"


@pytest.mark.slow
def test_each_route_answers_each_role_as_the_page_says(
    house: House, visitors: dict[str, Visitor]
) -> None:
    wrong = []
    for (method, path), rows in documented().items():
        if path in OWN:
            continue
        asked = re.sub(r"{(\w+)}", lambda part: NOT_THERE.get(part[1], "nothing_such"), path)
        for role, opened in rows.items():
            status = status_of(house, visitors[role], role, method, asked)
            refused = status in ({403} if role else {401, 403})
            if refused == opened or (status >= 500 and status != 503):
                wrong.append(f"{method} {path} as {role or 'nobody'}: {status}")
    assert wrong == []


def status_of(house: House, visitor: Visitor, role: str, method: str, path: str) -> int:
    """What is answered; what follows it is not waited for, since some answers have no end."""
    console = path.startswith("/console")
    headers = {}
    if console:
        headers = {"cookie": f"__Host-gatelodge={visitor.cookie}"} if visitor.cookie else {}
        if method != "GET":
            headers |= {"origin": visitor.origin}
            headers |= {"content-type": "application/x-www-form-urlencoded"}
    elif role:
        headers = {"authorization": f"Bearer {house.tokens[role]}"}
    if not console and method in {"POST", "PUT"}:
        headers |= {"content-type": "application/json"}
    body = (b"x=y" if console else b"{}") if method in {"POST", "PUT"} else b""
    link = http.client.HTTPConnection("127.0.0.1", house.gate.port, timeout=WAIT)
    try:
        link.request(method, path, body, headers)
        return link.getresponse().status
    finally:
        link.close()
