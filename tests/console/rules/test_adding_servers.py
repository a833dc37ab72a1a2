"""Servers are added, changed and ended on pages, as the API has it; no page shows a secret."""

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.rules.test_server_pages import definition, running_parts
from tests.console.test_pages import HOSTILE
from tests.integration.admin_house import ROLES, House, W
from tests.stage import Servers
from tests.upstreams.http_upstream import HttpUpstream

SECRET = "canary-f00d-secret"


@pytest.fixture(scope="module")
def upstream() -> Iterator[HttpUpstream]:
    servers = Servers()
    try:
        yield servers.open(HttpUpstream(definitions=[definition("send", "Sends a letter.")]))
    finally:
        servers.close()


@pytest.fixture(scope="module")
def visitors(house: House) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


@pytest.fixture
def admin(visitors: dict[str, Visitor]) -> Visitor:
    return visitors["admin"]


@pytest.fixture
def mail(house: House, admin: Visitor, upstream: HttpUpstream) -> Iterator[str]:
    """A server that somebody added on the page by its URL."""
    made = admin.send("/servers", alias="mail", url=upstream.url, allow_private="yes")
    assert (made.status, made.headers["location"]) == (303, f"{HOME}/servers/mail?done=url")
    yield "/servers/mail"
    house.ok("POST", f"{W}/servers/mail/remove", {})


def filled(page: str, action: str) -> dict[str, str]:
    """What the form of a page would send when nobody changed anything in it."""
    (inside,) = re.findall(
        rf'<form method="post" action="[^"]*{action}".*?</form>', page, re.DOTALL
    )
    found: dict[str, str] = {}
    for tag, text in re.findall(
        r"(<input[^>]*>|<select[^>]*>|<textarea[^>]*>)([^<]*)", inside, re.DOTALL
    ):
        name, value = (
            (re.findall(rf'{attribute}="([^"]*)"', tag) or [""])[0]
            for attribute in ("name", "value")
        )
        if tag.startswith("<textarea"):
            value = text.removeprefix("\n")
        if tag.startswith("<select"):
            (value,) = re.findall(
                rf'<select name="{name}">.*?<option selected>(\w+)</option>', inside, re.DOTALL
            )
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            found[name] = html.unescape(value)
    return found


def shown(house: House, alias: str = "mail") -> Any:
    return house.ok("GET", f"{W}/servers/{alias}")


def approve(house: House, alias: str = "mail") -> None:
    seen = house.ok("POST", f"{W}/servers/{alias}/observe")
    tools = {each["name"]: each["digest"] for each in seen["tools"]}
    sent = {"description": seen["digest"], "tools": tools}
    house.ok("POST", f"{W}/servers/{alias}/approve", sent)


def test_a_server_is_added_by_its_url_looked_at_and_approved_on_pages(
    house: House, admin: Visitor, mail: str
) -> None:
    page = admin.page(f"{mail}?done=url")
    assert "Read its tools next" in page
    assert "Approve the definition of mail alone" in page
    assert "Read its tools</button>" in page
    assert shown(house)["status"] == "proposed"
    assert admin.send(f"{mail}/observe").status == 303
    page = admin.page(mail)
    assert "Read its tools again" in page
    assert "Nobody approved this server yet" in page
    assert "Approve mail with what is ticked" in page
    assert "Sends a letter." in page
    digest = re.findall(r'name="tool" value="([^"]+)"', page)[0]
    sent = {"description": shown(house)["digest"], "tool": digest}
    assert admin.send(f"{mail}/approve", **sent).status == 303
    assert shown(house)["status"] == "approved"


def test_what_was_typed_of_a_server_stays_beside_what_was_wrong(admin: Visitor) -> None:
    wrong = {"alias": "Mail", "url": "http://10.0.0.1/mcp", "tags": "one\r\ntwo", "era": "legacy"}
    told = admin.send("/servers", **wrong)
    page = told.body.decode()
    assert (told.status, "What to do:" in page) == (400, True)
    for text in ('value="Mail"', ">\none\r\ntwo</textarea>", "<option selected>legacy</option>"):
        assert text in page, text
    told = admin.send("/servers", alias="mail", url="https://x.example/mcp", headers="Nothing")
    assert (told.status, "NAME=VALUE" in told.body.decode()) == (400, True)
    told = admin.send("/servers", alias="mail")
    assert told.status == 400
    told = admin.send("/servers", alias="mail", url="not a url").body.decode()
    assert "A URL begins with https://" in told
    told = admin.send("/servers", alias="mail", url="http://127.0.0.1/mcp").body.decode()
    assert "the box of that name on the page" in told


def test_a_command_is_said_to_be_the_operators_and_is_refused(admin: Visitor) -> None:
    page = admin.page("/servers")
    assert "gatelodge server add ALIAS -- CMD ARGS" in page
    assert "gatelodge server add pypi:NAME@VERSION" in page
    assert "Add a server by a command" not in page
    told = admin.send("/servers", do="command", alias="mine", command="/bin/sh\n-c\nid")
    assert (told.status, "only the operator" in told.body.decode()) == (403, True)


def test_a_package_that_only_the_operator_may_have_built_is_refused(admin: Visitor) -> None:
    told = admin.send("/builds", source="pypi:mcp-server-time@1.0")
    assert (told.status, "only the operator" in told.body.decode()) == (403, True)
    assert admin.ask("GET", f"{HOME}/builds/job_nothing").status == 404


def test_an_edit_is_foreseen_and_names_only_what_was_changed(
    house: House, admin: Visitor, mail: str, upstream: HttpUpstream
) -> None:
    approve(house)
    given = {"everyone": True, "server": "mail", "level": "all"}
    grant = house.ok("POST", f"{W}/grants", given)
    assert (grant["reaches"], grant["reaches_nothing"]) == (grant["of"], "")
    sent = filled(admin.page(mail), "/edit")
    assert sent["url"] == upstream.url.partition("?")[0] + "?***"
    told = admin.send(f"{mail}/edit", **sent)
    assert (told.status, "nothing is changed" in told.body.decode()) == (400, True)
    wish = {**sent, "tags": "post\nslow", "hide_roots": "yes"}
    tried = admin.send(f"{mail}/edit", **wish, do="preview").body.decode()
    assert "0 gained" in tried
    assert "mail/send" in tried
    assert "would need approval anew" in tried
    assert re.search("\npost\r?\nslow</textarea>", tried)
    assert shown(house)["status"] == "approved"
    assert admin.send(f"{mail}/edit", **wish).status == 303
    now = shown(house)
    assert (now["status"], now["tags"]) == ("proposed", ["post", "slow"])
    assert now["hidden_capabilities"] == ["roots"]
    page = admin.page(mail)
    assert "Its definition changed, and waits for approval anew" in page
    assert "Nobody approved" not in page
    told = admin.page(f"/grants/{grant['id']}?done=add")
    assert "It reaches nothing yet. mail waits for its approval" in told
    sent = filled(page, "/edit")
    del sent["hide_roots"]
    assert admin.send(f"{mail}/edit", **{**sent, "tags": ""}).status == 303
    assert (shown(house)["tags"], shown(house)["hidden_capabilities"]) == ([], [])


def test_a_secret_is_typed_once_and_stands_in_no_page(
    house: House, visitors: dict[str, Visitor], mail: str
) -> None:
    admin, path = visitors["admin"], f"{mail}/secret"
    typed = {"place": "header", "name": "X-Key", "before": "Bearer", "value": SECRET}
    given = {**filled(admin.page(mail), "/secret"), **typed}
    wrong = admin.send(path, **{**given, "name": "Bad Name"})
    assert (wrong.status, SECRET in wrong.body.decode()) == (400, False)
    assert house.ok("GET", f"{W}/secrets")["items"] == []
    assert admin.send(path, **given).status == 303
    kept = house.ok("GET", f"{W}/secrets/mail-X-Key")
    assert (kept["values"], kept["servers"]) == (1, ["mail"])
    assert shown(house)["transport"]["headers"] == {"X-Key": "Bearer vault:mail-X-Key"}
    assert "<dd>header X-Key, from the vault</dd>" in admin.page(mail)
    again = admin.send(path, **{**filled(admin.page(mail), "/secret"), **typed})
    assert (again.status, "there is a secret" in again.body.decode()) == (409, True)
    for role in ROLES[:-1]:
        assert SECRET not in visitors[role].page(mail) + visitors[role].page("/secrets")
    house.ok("DELETE", f"{W}/secrets/mail-X-Key")


def test_a_value_that_was_typed_into_the_definition_is_stars_and_stays(
    house: House, admin: Visitor, mail: str, upstream: HttpUpstream
) -> None:
    url = upstream.url.partition("?")[0]
    wish = {"url": f"{url}?key={SECRET}", "headers": {"X-Key": SECRET, "X-Old": "1"}}
    house.ok("POST", f"{W}/servers/mail/edit", wish)
    page = admin.page(mail)
    sent = filled(page, "/edit")
    assert SECRET not in page
    assert sent["headers"] == "X-Key=***\nX-Old=***"
    assert sent["url"].endswith("?***")
    kept = {**sent, "headers": "X-Key=***\nX-New=vault:other"}
    assert admin.send(f"{mail}/edit", **kept).status == 303
    assert shown(house)["transport"]["headers"] == {"X-Key": "***", "X-New": "vault:other"}
    for wrong in (
        {"headers": "X-Key=***\nX-New=***"},
        {"url": f"{upstream.url.partition('?')[0]}/other?***"},
        {"headers": "X-Key=1\nX-Key=2"},
    ):
        told = admin.send(f"{mail}/edit", **{**filled(admin.page(mail), "/edit"), **wrong})
        assert told.status == 400, wrong
    # Elsewhere a value would be sent to whoever is there.
    moved = {**filled(admin.page(mail), "/edit"), "url": "https://evil.example/mcp"}
    told = admin.send(f"{mail}/edit", **moved)
    assert (told.status, "given for another place" in told.body.decode()) == (400, True)


def test_what_is_lost_is_shown_before_a_server_is_killed_or_removed(
    house: House, visitors: dict[str, Visitor], mail: str
) -> None:
    approve(house)
    house.ok("POST", f"{W}/grants", {"everyone": True, "server": "mail", "level": "all"})
    for name, role in (("kill", "security"), ("disable", "security"), ("remove", "admin")):
        tried = visitors[role].send(f"{mail}/{name}", do="preview").body.decode()
        assert "0 gained" in tried, name
        assert "mail/send" in tried, name
    assert shown(house)["status"] == "approved"
    assert visitors["admin"].send(f"{mail}/restart").status == 303
    ended = visitors["security"].send(f"{mail}/kill").body.decode()
    assert "after it was committed" in ended
    assert "Instances killed on this node: 0" in ended
    assert shown(house)["status"] == "disabled"
    assert visitors["admin"].send(f"{mail}/restart").status == 409


def test_a_form_is_shown_to_the_roles_that_may_send_it(
    visitors: dict[str, Visitor], mail: str, house: House
) -> None:
    approve(house)
    for role in ROLES[:-1]:
        adds, ends = role in ("owner", "admin"), role in ("owner", "admin", "security")
        page = visitors[role].page(mail)
        for act in ("edit", "secret", "restart", "remove"):
            assert (f'action="{HOME}{mail}/{act}"' in page) == adds, (role, act)
        for act in ("kill", "disable"):
            assert (f'action="{HOME}{mail}/{act}"' in page) == ends, (role, act)
        assert ("Add a server by its URL" in visitors[role].page("/servers")) == adds, role


def test_the_operators_command_is_shown_and_changed_on_the_machine_alone(
    house: House, admin: Visitor, stub: str
) -> None:
    page = admin.page(f"/servers/{stub}")
    assert f"gatelodge server edit {stub} --help" in page
    sent = filled(page, "/edit")
    assert "command" not in sent
    told = admin.send(f"/servers/{stub}/edit", **sent, command="/bin/sh")
    assert (told.status, "nothing is changed" in told.body.decode()) == (400, True)
    assert f'action="{HOME}/servers/{stub}/secret"' not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_what_somebody_types_stays_text(house: House, admin: Visitor, mail: str, text: str) -> None:
    forms = {
        "/servers": ("alias", "url", "headers", "tags", "era", "call_seconds"),
        f"{mail}/edit": ("url", "headers", "tags"),
        f"{mail}/secret": ("place", "name", "before", "secret", "value"),
    }
    for path, names in forms.items():
        borne = {"description": shown(house)["digest"]}
        told = admin.send(path, **borne, **dict.fromkeys(names, text))
        page = told.body.decode()
        assert told.status == 400, (path, page)
        left = re.sub(r"javascript:alert\(1\)|\{\{ 7\*7 \}\}", "", page)
        assert text not in left, path
        assert running_parts(page) == [], path
