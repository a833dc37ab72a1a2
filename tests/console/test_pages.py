"""What the pages show, to whom, and that nothing in them runs or comes from elsewhere."""

import json
import re
from urllib.parse import quote

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import ROLES, House, W

from gatelodge.core.records.verify import verify_proof

PAGES: dict[str, frozenset[str]] = {
    "/": frozenset(ROLES),
    "/access": frozenset(ROLES) - {"member"},
    "/access?form=csv": frozenset(ROLES) - {"member"},
    "/access/me": frozenset(ROLES),
    "/access/me/history": frozenset(ROLES),
    "/access/admin@example.test/history?form=csv": frozenset(ROLES) - {"member"},
    "/access?unused=90": frozenset({"owner", "security", "auditor"}),
    "/access?day=1": frozenset(ROLES) - {"member"},
    "/access/admin@example.test?server=stub": frozenset(ROLES) - {"member"},
    "/recorded": frozenset(ROLES),
    "/recorded?form=csv&of=changes": frozenset(ROLES),
    "/unused": frozenset({"owner", "security", "auditor"}),
    "/unused?days=1&form=csv": frozenset({"owner", "security", "auditor"}),
    "/members": frozenset(ROLES) - {"member"},
    "/members/admin@example.test": frozenset(ROLES) - {"member"},
    "/servers": frozenset(ROLES) - {"member"},
    "/servers/stub": frozenset(ROLES) - {"member"},
    "/servers/stub/tool?name=echo": frozenset(ROLES) - {"member"},
    "/audit": frozenset({"owner", "security", "auditor"}),
    "/audit?form=json": frozenset({"owner", "security", "auditor"}),
    "/audit?form=jsonl&outcome=ok": frozenset({"owner", "security", "auditor"}),
    "/audit?outcome=denied&since=7d&tool=none": frozenset({"owner", "security", "auditor"}),
    **dict.fromkeys(
        (
            "/agents",
            "/groups",
            "/grants",
            "/tokens",
            "/secrets",
            "/cards",
            "/guardrails",
            "/instances",
            "/grants?form=csv&q=a",
        ),
        frozenset(ROLES) - {"member"},
    ),
    "/logs": frozenset({"owner", "security", "auditor"}),
    "/changes": frozenset({"owner", "security", "auditor"}),
    "/settings": frozenset({"owner", "auditor"}),
    "/settings?form=csv": frozenset({"owner", "auditor"}),
    "/live": frozenset({"owner", "security", "auditor"}),
    "/logs?form=json": frozenset({"owner", "security", "auditor"}),
    "/live?form=csv": frozenset({"owner", "security", "auditor"}),
}
"""Who may open which page; everybody else is refused."""

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7*7 }}",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
)


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


@pytest.mark.parametrize("path", PAGES)
def test_each_page_opens_to_the_roles_that_may_read_it(
    visitors: dict[str, Visitor], path: str
) -> None:
    for role, visitor in visitors.items():
        status = visitor.ask("GET", HOME + path).status
        assert status == (200 if role in PAGES[path] else 403), (role, path)


def test_a_method_that_a_page_does_not_take_is_answered_405(
    visitors: dict[str, Visitor],
) -> None:
    told = visitors["owner"].send("/access")
    assert told.status == 405
    assert b"Go back" in told.body


def test_the_table_of_pages_is_whole() -> None:
    from gatelodge.web.console.routes import SCREENS

    known = {path.partition("?")[0] for path in PAGES} | {"/audit/calls/{call:str}"}
    known |= {
        "/members/{who:str}",
        "/servers/{alias:str}",
        "/servers/{alias:str}/tool",
        "/access/{principal:str}",
        "/builds/{job:str}",
    }
    known |= {"/access/{principal:str}/history", "/diff", "/changes/{index:int}"}
    known |= {"/audit/calls/{call:str}/proof", "/changes/{index:int}/proof", "/audit/consistency"}
    known |= {
        f"/{noun}/{{name:str}}"
        for noun in ("agents", "groups", "grants", "guardrails", "instances", "secrets", "tokens")
    }
    known |= {"/cards/{name:str}"}
    known |= {"/live/events"}  # an answer without an end: see test_live
    for route in SCREENS:
        # What is sent as a form has a table of its own (`test_forms.py`).
        for path in route.paths if "GET" in route.http_methods else ():
            assert path in known, path


def test_the_navigation_shows_what_the_role_may_open(visitors: dict[str, Visitor]) -> None:
    for role, visitor in visitors.items():
        page = visitor.page()
        for path, roles in PAGES.items():
            if path.count("/") == 1 and path != "/" and "?" not in path:
                assert (f'href="{HOME}{path}"' in page) == (role in roles), (role, path)


def test_a_member_sees_their_own_tools_and_no_one_elses(
    house: House, visitors: dict[str, Visitor]
) -> None:
    member = visitors["member"]
    assert "What member@example.test may use" in member.page("/access/me")
    house.ok("POST", f"{W}/members", {"email": "new@example.test", "role": "member"})
    page = visitors["owner"].page("/access/new@example.test")
    assert "no grant reaches it" in page
    assert "no_grant" not in page
    only = visitors["owner"].page("/access/new@example.test?only=allowed")
    assert "no grant reaches it" not in only
    assert member.ask("GET", f"{HOME}/access/owner@localhost").status == 403


def test_every_answer_lets_nothing_run_and_nothing_in(visitors: dict[str, Visitor]) -> None:
    for path in (*PAGES, "/nothing", "/members/nobody"):
        answer = visitors["owner"].ask("GET", HOME + path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == (
            "nosniff",
            "no-store",
        )
        if not answer.headers["content-type"].startswith("text/html"):
            continue  # a browser takes it for nothing else
        text = answer.body.decode()
        assert not re.search(r"<script(?! src=\"/console/static/)|<style", text), path
        # What stands between quotes is a value: a name in it is what somebody wrote.
        assert not re.search(r"<[^>]*\s(on\w+|style)=", re.sub(r'"[^"]*"', '""', text)), path
        for place in re.findall(r"(?:src|href|action|hx-\w+)=\"([^\"]*)\"", text):
            assert not re.match(r"(?i)\s*(https?:)?//|data:|javascript:", place), (path, place)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_somebody_writes_into_a_name_stays_text(
    house: House, visitors: dict[str, Visitor], text: str
) -> None:
    email = f"x{HOSTILE.index(text)}@example.test"
    house.ok("POST", f"{W}/members", {"email": email, "role": "member", "name": text})
    house.ok("POST", f"{W}/groups", {"name": text[:60]})
    house.ok("POST", f"{W}/groups/{quote(text[:60], safe='')}/add-member", {"principal": email})
    owner = visitors["owner"]
    for path in (
        "/members",
        f"/members/{email}",
        f"/members?q={quote(text)}",
        f"/access?q={quote(text)}",
        f"/groups?q={quote(text)}",
        f"/groups/{quote(text[:60], safe='')}",
    ):
        page = owner.page(path)
        assert text not in re.sub(r"javascript:alert\(1\)|\{\{ 7\*7 \}\}", "", page), path
        assert "49" not in re.findall(r"<dd>([^<]*)</dd>", page)


def test_a_table_is_to_be_had_as_a_file_that_no_spreadsheet_runs(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok(
        "POST", f"{W}/members", {"email": "formula@example.test", "name": "=1+1", "role": "member"}
    )
    answer = visitors["owner"].ask("GET", f"{HOME}/members?form=csv&q=formula")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "'=1+1" in answer.body.decode()
    rows = json.loads(visitors["owner"].ask("GET", f"{HOME}/members?form=json&q=formula").body)
    assert [each["name"] for each in rows] == ["=1+1"]


def test_whoever_looks_at_who_called_is_written_down(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    client = house.gate.client(house.gate.token)
    house.ok("POST", f"{W}/grants", {"member": "owner@localhost", "server": stub, "level": "all"})
    client.call("stub__echo", {"text": "x"})
    before = len(house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"])
    page = visitors["auditor"].page("/audit?tool=echo")
    (call, *_) = re.findall(r"/audit/calls/(c_[\w-]+)", page)
    told = visitors["auditor"].page(f"/audit/calls/{call}")
    assert "the same" in told
    assert "echo" in told
    after = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"]
    assert len(after) >= before + 2
    assert after[0]["by_name"] == "auditor@example.test"


def test_a_page_of_the_past_shows_who_could_use_what_then(
    house: House, visitors: dict[str, Visitor]
) -> None:
    then = house.ok("GET", f"{W}/access/matrix?server=stub")["at"]
    house.ok("POST", f"{W}/members", {"email": "later@example.test", "role": "member"})
    owner = visitors["owner"]
    assert "later@example.test" in owner.page("/access?q=later")
    grant = {"member": "later@example.test", "server": "stub", "tool": "echo", "level": "all"}
    house.ok("POST", f"{W}/grants", grant)
    compared = owner.page(f"/diff?earlier={then}")
    assert "later@example.test" in compared
    assert "gained" in compared
    # Whichever came first: what others were granted may reach them from their first moment on.
    timeline = owner.page("/access/later@example.test/history")
    assert "grant.created" in timeline or "member.added" in timeline
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="timeline"' in timeline
    assert "<title>stub/echo: from " in timeline
    assert visitors["member"].ask("GET", f"{HOME}/diff?earlier={then}").status == 403
    page = owner.page(f"/access?q=later&at={then}")
    assert "later@example.test" not in page
    assert "A past moment." in page


def test_a_cell_of_the_heat_map_leads_to_the_grant_behind_it(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok("POST", f"{W}/members", {"email": "idle@example.test", "role": "member"})
    grant = {"member": "idle@example.test", "server": "stub", "level": "all"}
    house.ok("POST", f"{W}/grants", grant)
    owner = visitors["owner"]
    page = owner.page("/access?q=idle&unused=30")
    (cell,) = re.findall(r'<td class="reach-all idle"><a href="([^"]+)"', page)
    assert cell.startswith(f"{HOME}/access/idle%40example.test?server=stub"), cell
    why = owner.page(cell.removeprefix(HOME))
    # Which of the grants that reach them is the reason is for the policy to say.
    (rule, *_) = re.findall(rf"{HOME}/grants/(grn_[\w-]+)", why)
    assert house.ok("GET", f"{W}/grants/{rule}")["id"] == rule
    assert "until it is revoked" in why
    assert "by owner@localhost" in why
    assert house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=1")["items"][0]["subject"][
        "what"
    ] == ("unused")
    assert visitors["admin"].ask("GET", f"{HOME}/access?unused=30").status == 403
    for bad in ("unused=0", "unused=x", "day=x", "day=-1"):
        assert owner.ask("GET", f"{HOME}/access?{bad}").status == 400, bad


def test_a_member_and_an_agent_have_a_page_of_what_they_hold(
    house: House, visitors: dict[str, Visitor]
) -> None:
    owner = house.ok("POST", f"{W}/members", {"email": "holder@example.test", "role": "member"})
    agent = {"name": "night-build", "owner": "holder@example.test"}
    house.ok("POST", f"{W}/agents", agent)
    for to in ({"member": "holder@example.test"}, {"agent": "night-build"}):
        house.ok("POST", f"{W}/grants", {**to, "server": "stub", "tool": "echo", "level": "all"})
    for path in ("/members/holder@example.test", "/agents/night-build"):
        page = visitors["admin"].page(path)
        assert "What they may use now" in page, path
        assert re.search(r"[12] of 2", page), path
        assert "by owner@localhost" in page, path
    page = visitors["admin"].page("/agents/night-build")
    assert f'href="{HOME}/members/{owner["id"]}"' in page


def test_a_proof_and_that_the_log_grew_are_for_those_who_may_take_them_along(
    house: House, visitors: dict[str, Visitor]
) -> None:
    last = house.gov - 1
    for path in (f"/changes/{last}/proof", "/audit/consistency?log=gov&old=1&new=2"):
        for role, visitor in visitors.items():
            status = visitor.ask("GET", HOME + path).status
            assert status == (200 if role in PAGES["/audit"] else 403), (role, path)
    proof = visitors["auditor"].ask("GET", f"{HOME}/changes/{last}/proof")
    key = house.ok("GET", f"{W}/audit/key")["key"]
    assert verify_proof(proof.body, [key]).verdict == "VERIFIED"
    assert f"<code>{key}</code>" in visitors["auditor"].page(f"/changes/{last}")
    for wrong in ("log=gov&old=2&new=1", "log=gov&old=1&new=99999999", "log=x&old=1&new=1"):
        assert visitors["owner"].ask("GET", f"{HOME}/audit/consistency?{wrong}").status == 400


def test_the_overview_counts_the_calls_of_the_last_hours_and_each_number_leads_to_its_records(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    house.ok("POST", f"{W}/members", {"email": "busy@example.test", "role": "member"})
    grant = {"member": "busy@example.test", "server": stub, "level": "all"}
    house.ok("POST", f"{W}/grants", grant)
    token = house.ok("POST", f"{W}/tokens", {"member": "busy@example.test"})["token"]
    house.ok("GET", f"{W}/audit/tail")  # what others did is in the log before
    before = house.ok("GET", f"{W}/audit/activity")
    house.gate.client(token).call("stub__echo", {"text": "x"})
    house.ok("GET", f"{W}/audit/tail")  # brings what was acknowledged into the log
    told = house.ok("GET", f"{W}/audit/activity")
    assert told["ok"] == before["ok"] + 1
    assert told["hours"][-1]["counted"]
    page = visitors["auditor"].page()
    assert 'class="spark"' in page
    assert 'class="strip"' in page
    assert f"{HOME}/audit?since=" in page
    assert 'class="spark"' not in visitors["admin"].page()
    house.refused(403, "forbidden", "GET", f"{W}/audit/activity", by="admin")
    picture = house.gate.command("audit", "activity", "--svg")
    assert all(each in picture.stdout for each in ("<svg ", ' width="', ">denied<", ":00<"))
    assert "Together:" in house.gate.command("audit", "activity").stdout


def test_the_page_of_logs_says_what_is_signed_by_which_key_and_since_when(
    house: House, visitors: dict[str, Visitor]
) -> None:
    newest = house.ok("GET", f"{W}/audit/changes")["items"][0]["index"]
    house.ok("GET", f"{W}/audit/changes/{newest}/proof")  # so there is a checkpoint
    told = house.ok("GET", f"{W}/audit/keeping", by="auditor")
    gov = next(each for each in told["logs"] if each["log"] == "gov")
    assert 0 < gov["signed"] <= gov["size"]
    (line,) = gov["signatures"]
    assert (line["own"], line["key_id"] in told["key"]) == (True, True)
    assert told["keys"][0]["index"] >= 0
    assert told["failing"] == {}
    page = visitors["auditor"].page("/logs")
    for text in (line["key_id"], told["key"].replace("+", "&#43;"), "Room on the disk"):
        assert text in page or text.replace("&#43;", "+") in page, text
    assert "was signed" in house.gate.command("audit", "keeping").stdout
    house.refused(403, "forbidden", "GET", f"{W}/audit/keeping", by="admin")


def test_a_change_is_shown_as_it_stands_in_the_log(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok("POST", f"{W}/groups", {"name": "shown-here"})
    (made,) = house.ok("GET", f"{W}/audit/changes?about=shown-here")["items"]
    told = visitors["auditor"].page(f"/changes/{made['index']}")
    assert f'data-leaf="{made["index"]}"' in told
    assert "group.created" in told
    assert "gatelodge audit changes prove" in told
    assert visitors["auditor"].ask("GET", f"{HOME}/changes/99999999").status == 404


def test_what_is_not_there_is_told_with_what_to_do(visitors: dict[str, Visitor]) -> None:
    for path, status in (
        ("/nothing", 404),
        ("/members/nobody@example.test", 404),
        ("/access?at=soon", 400),
        ("/access?form=pdf", 400),
        ("/audit?outcome=bogus", 400),
        ("/access?unused=00001999999999", 400),
        (f"/audit/calls/c_{'_' * 22}", 400),
        ("/changes/-10000000000000000000000000", 404),
        ("/audit?nonsense=1", 400),
        ("/access/gone@example.test", 404),
    ):
        answer = visitors["owner"].ask("GET", HOME + path)
        assert answer.status == status, path
        assert b"What to do:" in answer.body, path
        # Who is signed in is not stranded: the way on stands there, and what to type as such.
        assert (b'<nav aria-label="Pages">' in answer.body, b"`" in answer.body) == (True, False)
    other = visitors["owner"].ask("GET", "/console/w/elsewhere/")
    assert other.status == 404
