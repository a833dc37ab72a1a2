"""A package becomes a server on pages: built while somebody watches, added, upgraded, looked at."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tests.console.browser import CHROMIUM, WAIT_MS, Watched, chromium
from tests.console.pages import HOME, Visitor
from tests.gate import Gate
from tests.integration.admin_house import ROLES, House, W
from tests.integration.packages.wheels import NEEDS, publish
from tests.wire import until

pytestmark = pytest.mark.slow

SOURCES = "pypi:mcp-server-*@*"
BUILD_SECONDS = 120.0
"""How long a build may take on a busy machine."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("wheels") / "place"
    publish(place, NEEDS, "1.0")
    for version in ("1.0", "1.1"):
        publish(place, "mcp-server-tiny", version, f"{NEEDS}==1.0")
    made = Gate(
        tmp_path_factory.mktemp("pages") / "data",
        f"hosting.api_sources={SOURCES}",
        UV_FIND_LINKS=str(place),
        UV_OFFLINE="1",
    )
    with made.prepared().running() as gate:
        yield House(gate)


@pytest.fixture(scope="module")
def visitors(house: House) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


def begun(visitor: Visitor, source: str) -> str:
    """The page of a build that somebody asked for."""
    made = visitor.send("/builds", source=source)
    assert made.status == 303, made.body
    return made.headers["location"].removeprefix(HOME).partition("?")[0]


def ended(visitor: Visitor, path: str) -> str:
    """The page of that build once it looks no more."""
    return until(lambda: "hx-trigger" not in (page := visitor.page(path)) and page, BUILD_SECONDS)


def test_a_package_is_built_added_and_looked_at_on_pages(
    house: House, visitors: dict[str, Visitor]
) -> None:
    owner = visitors["owner"]
    assert SOURCES in owner.page("/servers")
    # Which sources a setting names is for those who may see settings.
    assert SOURCES not in visitors["admin"].page("/servers")
    path = begun(owner, "pypi:mcp-server-tiny@1.0")
    page = ended(owner, path)
    assert "2 packages" in page
    assert 'value="tiny"' in page
    assert visitors["admin"].ask("GET", HOME + path).status == 200
    assert visitors["auditor"].ask("GET", HOME + path).status == 403
    image = re.findall(r"<code>(sha256:[0-9a-f]{64})</code>", page)[0]
    lie = {"alias": "tiny", "args": "--quiet", "cpus": "0.5", "image": f"sha256:{'0' * 64}"}
    made = owner.send(f"{path}/add", **lie, tier="weak", scope="per_user")
    assert made.headers["location"] == f"{HOME}/servers/tiny?done=artifact"
    row = house.ok("GET", f"{W}/servers/tiny")
    told = row["transport"]
    assert (told["image"], told["args"], told["scope"]) == (image, ["--quiet"], "per_user")
    assert (row["status"], told["limits"]["cpus"]) == ("proposed", 0.5)
    taken = owner.send(f"{path}/add", **lie)
    assert (taken.status, "already" in taken.body.decode()) == (409, True)
    assert owner.send("/servers/tiny/observe").status == 303
    assert "It waits for a word" in owner.page("/servers/tiny")


def test_a_server_moves_to_what_was_built_and_that_is_foreseen(
    house: House, visitors: dict[str, Visitor]
) -> None:
    owner = visitors["owner"]
    first = begun(owner, "pypi:mcp-server-tiny@1.0")
    ended(owner, first)
    assert owner.send(f"{first}/add", alias="moved").status == 303
    # Secrets of the vault are given one after the other, and stay when the image is another.
    for name in ("FIRST", "SECOND"):
        shown = house.ok("GET", f"{W}/servers/moved")["digest"]
        given = {"place": "variable", "name": name, "value": "s3cret", "description": shown}
        assert owner.send("/servers/moved/secret", **given).status == 303
    path = begun(owner, "pypi:mcp-server-tiny@1.1")
    page = ended(owner, path)
    assert "<option>moved</option>" in page
    digest = house.ok("GET", f"{W}/servers/moved")["digest"]
    assert f'name="description.moved" value="{digest}"' in page
    chosen = {"alias": "moved", "description.moved": digest}
    stale = {**chosen, "description.moved": "0" * 64}
    assert owner.send(f"{path}/move", **stale).status == 409
    before = house.ok("GET", f"{W}/servers/moved")["transport"]
    tried = owner.send(f"{path}/move", **chosen, do="preview").body.decode()
    assert "server.registered" in tried
    assert re.search(r"mcp-server-tiny</th><td>1\.0</td><td>1\.1</td>", tried)
    assert house.ok("GET", f"{W}/servers/moved")["transport"] == before
    assert owner.send(f"{path}/move", **chosen).status == 303
    after = house.ok("GET", f"{W}/servers/moved")["transport"]
    assert (after["source"], after["image"] != before["image"]) == (
        "pypi:mcp-server-tiny@1.1",
        True,
    )
    assert after["env"] == {"FIRST": "vault:moved-FIRST", "SECOND": "vault:moved-SECOND"}


def test_what_is_not_built_says_why(house: House, visitors: dict[str, Visitor]) -> None:
    owner = visitors["owner"]
    told = owner.send("/builds", source="npm:left-pad@1.0.0")
    assert (told.status, "hosting.api_sources" in told.body.decode()) == (403, True)
    told = owner.send("/builds", source="pypi:mcp-server-tiny")
    assert (told.status, 'value="pypi:mcp-server-tiny"' in told.body.decode()) == (400, True)
    path = begun(owner, "pypi:mcp-server-nowhere@1.0")
    page = ended(owner, path)
    assert "there is no mcp-server-nowhere==1.0" in page
    assert "Add it as a server" not in page
    assert owner.send(f"{path}/add", alias="nowhere").status == 409
    assert path in owner.page("/servers")
    fsck = house.ok("GET", "/jobs")["items"]
    assert {each["kind"].partition(" ")[0] for each in fsck} == {"artifact"}


@pytest.mark.skipif(not shutil.which(CHROMIUM), reason="Chromium is not installed")
def test_a_build_is_followed_to_its_end_without_a_reload(house: House) -> None:
    link = house.gate.cli("console", "--member", "owner@localhost")["url"]
    with chromium() as browser:
        visit = Watched(browser, f"http://127.0.0.1:{house.gate.port}")
        page = visit.open(link[link.index("/console/enter") :])
        page.wait_for_url(f"**{HOME}/")
        visit.open(f"{HOME}/servers")
        page.get_by_text("Add a server from a package or an image").first.click()
        page.get_by_label("Package or image").fill("pypi:mcp-server-tiny@1.0")
        page.get_by_text("More settings").last.click()
        page.get_by_label("Fetch it again").check()
        page.locator("#package button").last.click()
        expect(page.locator("#artifact")).to_be_visible(timeout=BUILD_SECONDS * 1000)
        page.locator("#artifact [name=alias]").fill("seen")
        page.locator("#artifact button").last.click()
        expect(page.get_by_role("status")).to_contain_text("It is described", timeout=WAIT_MS)
        assert visit.faults == []
        visit.close()
