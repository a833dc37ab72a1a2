"""A name that looks like another one, or hides a letter, is written out on every page."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from tests.console.pages import Visitor
from tests.console.rules.test_server_pages import definition
from tests.integration.admin_house import House, W
from tests.stage import Servers, all_of
from tests.upstreams.http_upstream import HttpUpstream

from gatelodge.web.console import rendering

TOOL, AGENT, GROUP = "p\u0430y", "b\u043et", "te\u0430m"
EMAIL = "m\u0430rk@example.test"
LOOKALIKES = (TOOL, AGENT, GROUP, EMAIL)


@pytest.fixture(scope="module")
def disguised(house: House) -> Iterator[House]:
    """A house in which names are borne that look like others, and a call was made under them."""
    servers = Servers()
    try:
        there = servers.open(HttpUpstream(definitions=[definition(TOOL, "It pays.")]))
        transport = {"type": "http", "url": there.url, "allow_private": True}
        house.ok("POST", f"{W}/servers", {"alias": "guise", "transport": transport})
        seen = house.ok("POST", f"{W}/servers/guise/observe")
        house.ok("POST", f"{W}/servers/guise/approve", all_of(seen))
        house.ok("POST", f"{W}/members", {"email": EMAIL, "role": "member", "name": TOOL})
        house.ok("POST", f"{W}/agents", {"name": AGENT, "owner": EMAIL})
        house.ok("POST", f"{W}/groups", {"name": GROUP})
        house.ok("POST", f"{W}/groups/{quote(GROUP)}/add-member", {"principal": EMAIL})
        for who in ({"member": EMAIL}, {"agent": AGENT}, {"group": GROUP}):
            house.ok(
                "POST", f"{W}/grants", {**who, "server": "guise", "tool": TOOL, "level": "all"}
            )
        token = house.ok("POST", f"{W}/tokens", {"agent": AGENT, "label": TOOL})["token"]
        (offered,) = seen["tools"]
        answer = house.gate.client(token).call(offered["shown"], {})
        assert answer.status == 200, answer.body
        yield house
        house.ok("POST", f"{W}/servers/guise/remove", {})
    finally:
        servers.close()


def test_a_lookalike_is_written_out_on_every_page(disguised: House) -> None:
    owner = Visitor(disguised)
    owner.enter(disguised.tokens["owner"])
    who, bot = quote(EMAIL), quote(AGENT)
    pages = (
        f"/members?q={who}",
        f"/members/{who}",
        f"/agents?q={bot}",
        f"/agents/{bot}",
        f"/groups?q={quote(GROUP)}",
        f"/groups/{quote(GROUP)}",
        f"/grants?q={who}",
        f"/tokens?q={bot}",
        f"/access?q={quote(EMAIL)}",
        f"/access/{who}",
        f"/access/{who}/history",
        "/diff?earlier=&later=",
        "/unused?days=1&used=true",
        "/live",
        f"/audit?tool={quote(TOOL)}&member={who}",
        f"/changes?about={who}",
        "/servers/guise",
        f"/servers/guise/tool?name={quote(TOOL)}",
    )
    for path in pages:
        page = owner.page(path)
        assert "&lt;U+0430&gt;" in page or "&lt;U+043E&gt;" in page or path == "/unused", path
        told = told_by(page)
        assert [each for each in LOOKALIKES if each in told] == [], path
    mine = Visitor(disguised)
    mine.enter(disguised.ok("POST", f"{W}/tokens", {"member": EMAIL})["token"])
    for path in ("/recorded", "/access/me"):
        told = told_by(mine.page(path))
        assert [each for each in LOOKALIKES if each in told] == [], path


def told_by(page: str) -> str:
    """What a reader is told: the text, and what stands in titles."""
    told: list[str] = []

    class Reader(HTMLParser):
        inside = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag
            told.extend(text or "" for name, text in attrs if name in ("title", "aria-label"))

        def handle_endtag(self, tag: str) -> None:
            self.inside = ""

        def handle_data(self, data: str) -> None:
            if self.inside not in ("textarea", "option"):
                told.append(data)

    Reader().feed(page)
    return "\n".join(told)


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("<td>{{ x }}</td>", "<td>p&lt;U+0430&gt;y</td>"),
        ('<td title="{{ x }}" {% if 2 > 1 %}class="a"{% endif %}>{{ [x]|join(", ") }}</td>', None),
        ("{% set y = x %}{{ y or '—' }}", "p&lt;U+0430&gt;y"),
        ("{% macro m(v) %}<b>{{ v }}</b>{% endmacro %}{{ m(x) }}", "<b>p&lt;U+0430&gt;y</b>"),
        ('<input value="{{ x }}">', f'<input value="{TOOL}">'),
        ('<a href="?q={{ x|urlencode }}">a</a>', '<a href="?q=p%D0%B0y">a</a>'),
        ("<textarea>{{ x }}</textarea>", f"<textarea>{TOOL}</textarea>"),
        ("<code>{{ x|leaf_text }}</code>", f"<code>{TOOL}</code>"),
        ("{{ 1 }}{{ none }}{{ x|length }}", "1None3"),
    ],
)
def test_it_is_the_engine_that_writes_it_out_and_no_template_has_to(
    template: str, written: str | None
) -> None:
    made = rendering._environment().from_string(template).render(x=TOOL)
    if written is None:
        written = '<td title="p&lt;U+0430&gt;y" class="a">p&lt;U+0430&gt;y</td>'
    assert made == written
