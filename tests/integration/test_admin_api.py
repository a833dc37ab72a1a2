"""The admin API over HTTP, as clients with tokens of every role meet it."""

from typing import Any
from urllib.parse import quote

import pytest
from tests.gate import Client
from tests.integration.admin_house import ROLES, House, W, house, stub

from gatelodge.config.schema import LimitSettings
from gatelodge.core.records.verify import ProofDocument, format_proof, verify_proof

__all__ = ["house", "stub"]


def test_without_a_good_token_nothing_is_told(house: House) -> None:
    forged = house.gate.token[:-1] + ("a" if house.gate.token[-1] != "a" else "b")
    for token in ("", "gtlp_nonsense", forged):
        answer = house.ask("GET", f"{W}/members", by=token)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json["code"] == "error.refused.unauthenticated"


def test_an_agents_token_opens_no_door_here(house: House) -> None:
    house.ok("POST", f"{W}/agents", {"name": "nightly", "owner": "admin@example.test"})
    made = house.ok("POST", f"{W}/tokens", {"agent": "nightly"})
    assert made["path"] == "/k/main/mcp"
    house.refused(403, "forbidden", "GET", f"{W}/members", by=made["token"])


@pytest.mark.parametrize(
    ("method", "path", "body", "may"),
    [
        ("GET", f"{W}/members", None, {"owner", "security", "admin", "auditor"}),
        ("POST", f"{W}/members", {"email": "x"}, {"owner", "admin"}),
        ("POST", f"{W}/members/none/revoke", {}, {"owner", "security", "admin"}),
        ("POST", f"{W}/guardrails", {"name": "x", "text": ""}, {"owner", "security"}),
        ("POST", f"{W}/apply", {"text": ""}, {"owner"}),
        ("GET", f"{W}/audit/records", None, {"owner", "security", "auditor"}),
        ("GET", f"{W}/tokens", None, set(ROLES)),
        ("GET", f"{W}/access/matrix", None, {"owner", "security", "admin", "auditor"}),
        ("POST", "/workspaces", {"slug": "x", "owner": "a@b.c"}, set()),
        ("POST", "/jobs", {"kind": "fsck"}, set()),
        ("GET", "/jobs", None, {"owner", "security", "admin", "auditor"}),
    ],
)
def test_a_role_may_do_what_its_row_says(
    house: House, method: str, path: str, body: Any, may: set[str]
) -> None:
    told = {role: house.ask(method, path, body, by=role).status for role in ROLES}
    assert {role for role, status in told.items() if status != 403} == may


def test_a_foreign_page_is_refused(house: House) -> None:
    answer = house.ask("GET", f"{W}/members", origin="https://evil.example")
    assert answer.status == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read(house: House, kind: str) -> None:
    body = {"email": "form@example.test"}
    answer = house.ask("POST", f"{W}/members", body, **{"content-type": kind})
    assert answer.status == 400
    assert "JSON" in answer.json["detail"]


def test_the_place_of_a_fault_is_named_and_its_value_is_not(house: House) -> None:
    body = {"email": 4711, "rôle": "x"}
    answer = house.ask("POST", f"{W}/members", body)
    assert answer.status == 400
    assert "4711" not in answer.body.decode()
    body = {"email": "a@example.test", "roll": "owner"}
    assert "roll" in house.refused(400, "invalid", "POST", f"{W}/members", body)["detail"]


def test_a_body_beyond_the_limit_is_refused(house: House) -> None:
    answer = house.ask("POST", f"{W}/guardrails/check", {"text": "x" * 70_000})
    assert answer.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", f"{W}/members", 405),
        ("OPTIONS", f"{W}/members", 405),
        ("OPTIONS", "/nothing", 405),
        ("GET", f"{W}/members?limit=0", 400),
        ("GET", f"{W}/members?cursor=nonsense", 400),
        ("GET", f"{W}/members/nobody@example.test", 404),
        ("GET", "/workspaces/elsewhere/members", 404),
    ],
)
def test_what_is_not_there_is_a_problem_document(
    house: House, method: str, path: str, status: int
) -> None:
    answer = house.ask(method, path)
    assert answer.status == status
    assert answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_workspace_looks_as_if_it_did_not_exist(house: House) -> None:
    house.gate.cli("workspace", "create", "second", "--owner", "other@example.test")
    there = house.ask("GET", "/workspaces/second/members")
    nowhere = house.ask("GET", "/workspaces/neverwas/members")
    assert there.status == nowhere.status == 404
    assert there.body.replace(b"second", b"") == nowhere.body.replace(b"neverwas", b"")
    assert [each["slug"] for each in house.ok("GET", "/workspaces")["items"]] == ["main"]
    logs = [each["log"] for each in house.ok("GET", "/node")["logs"]]
    main = house.ok("GET", W)["id"]
    assert set(logs) <= {"gov", f"calls:{main}"}


@pytest.mark.parametrize("name", ["eng/web", "50%", "a%2Fb", "..", "a?b#c"])
def test_whatever_a_row_is_called_it_is_found_changed_and_removed_by_that(
    house: House, name: str
) -> None:
    house.ok("POST", f"{W}/groups", {"name": name})
    at = f"{W}/groups/{quote(name, safe='')}"
    assert house.ok("GET", at)["name"] == name
    owner = house.ok("GET", f"{W}/members")["items"][0]["email"]
    assert house.ok("POST", f"{at}/add-member", {"principal": owner})["principals"] == [owner]
    assert house.ok("DELETE", at)["removed"] == name
    email = f"{name.replace('#', '')}@example.test"
    house.ok("POST", f"{W}/members", {"email": email})
    ended = house.ok("POST", f"{W}/members/{quote(email, safe='')}/revoke", {"why": "leaver"})
    assert ended["kind"] == "member"


def test_lists_come_page_by_page(house: House) -> None:
    whole = house.ok("GET", f"{W}/members?limit=500")["items"]
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = house.ok("GET", f"{W}/members?limit=2&cursor={cursor}")
        assert len(page["items"]) <= 2
        seen += page["items"]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == whole


def test_a_member_sees_and_ends_their_own_tokens_only(house: House) -> None:
    mine = house.ok("POST", f"{W}/tokens", {"member": "member@example.test"}, by="member")
    listed = house.ok("GET", f"{W}/tokens", by="member")["items"]
    assert {each["principal"] for each in listed} == {"member@example.test"}
    others = [each["id"] for each in house.ok("GET", f"{W}/tokens")["items"]]
    foreign = next(each for each in others if each not in {row["id"] for row in listed})
    path = f"{W}/tokens/{foreign}/revoke"
    house.refused(403, "forbidden", "POST", path, {}, by="member")
    house.refused(403, "forbidden", "GET", f"{W}/tokens/{foreign}", by="member")
    assert house.ok("GET", f"{W}/tokens/{mine['id']}", by="member") in listed
    told = [
        house.refused(403, "forbidden", "POST", f"{W}/tokens", body, by="member")
        for body in ({"member": "owner@localhost"}, {"member": "nobody@x.test"}, {"agent": "none"})
    ]
    assert told[0] == told[1] == told[2]
    house.ok("POST", f"{W}/tokens/{mine['id']}/revoke", {}, by="member")
    assert house.ask("GET", f"{W}/tokens", by=mine["token"]).status == 401


def test_a_token_stands_in_one_answer_and_nowhere_else(house: House) -> None:
    made = house.ok("POST", f"{W}/tokens", {"member": "auditor@example.test"})
    secret = made["token"]
    for path in (f"{W}/tokens", f"{W}/members/auditor@example.test", "/node"):
        body = house.ask("GET", path).body.decode()
        assert secret not in body
        assert "digest" not in body
    assert secret not in house.gate.stderr
    path = f"{W}/tokens/{made['id']}"
    assert secret not in house.ask("GET", path).body.decode()


def test_a_revoked_member_is_out_at_once_and_the_receipt_says_when(house: House) -> None:
    email = "leaver@example.test"
    house.ok("POST", f"{W}/members", {"email": email, "role": "admin"})
    token = house.ok("POST", f"{W}/tokens", {"member": email})["token"]
    assert house.ask("GET", f"{W}/members", by=token).status == 200
    path = f"{W}/members/{email}/revoke"
    gov = house.gov
    would = house.ok("POST", f"{path}?dry_run=true", {"why": "leaver"})
    assert [each["what"] for each in would["changes"]] == ["token.revoked", "member.revoked"]
    assert house.gov == gov
    assert house.ask("GET", f"{W}/members", by=token).status == 200
    receipt = house.ok("POST", path, {"why": "OPS-1"})
    assert house.ask("GET", f"{W}/members", by=token).status == 401
    assert receipt["completed_ms"] <= receipt["bound_ms"]
    assert [each["how"] for each in receipt["nodes"]] == ["acknowledged"]
    assert len(receipt["cascade"]) == 1
    assert receipt["why"] == "OPS-1"


def test_free_text_never_becomes_a_reason(house: House) -> None:
    body = {"why": "Ada left us for a competitor"}
    path = f"{W}/members/member@example.test/suspend"
    told = house.refused(400, "invalid", "POST", path, body)
    assert "competitor" not in told["detail"]


def test_the_last_owner_stays(house: House) -> None:
    house.refused(409, "conflict", "POST", f"{W}/members/owner@localhost/revoke", {})


def test_nobody_gives_a_role_beyond_their_own(house: House) -> None:
    body = {"email": "climber@example.test", "role": "owner"}
    house.refused(403, "forbidden", "POST", f"{W}/members", body, by="admin")


def test_what_a_server_is_reached_with_is_shown_without_secrets(house: House, stub: str) -> None:
    shown = house.ok("GET", f"{W}/servers/{stub}")
    assert shown["transport"]["env"] == {"PLAIN": "***", "REFERRED": "env:PATH"}
    assert "canary-literal" not in house.ask("GET", f"{W}/servers").body.decode()


def test_tools_are_seen_pinned_reviewed_and_blocked(house: House, stub: str) -> None:
    tools = house.ok("GET", f"{W}/tools?server={stub}&limit=500")["items"]
    assert {each["standing"] for each in tools} == {"pinned"}
    one = tools[0]["name"]
    base = f"{W}/servers/{stub}/tools"
    finding = {"digest": tools[0]["digest"], "read_only": True}
    told = house.ok("POST", f"{base}/review", {"tools": {one: finding}})
    (found,) = told["reviewed"]
    assert (found["read_only"], found["destructive"], found["reviewed"]) == (True, False, True)
    body = {"tools": {one: {**finding, "destructive": True}}}
    house.refused(400, "invalid", "POST", f"{base}/review", body)
    body = {"tools": {one: {**finding, "digest": "0" * 64}}}
    house.refused(409, "conflict", "POST", f"{base}/review", body)
    house.ok("POST", f"{base}/block", {"tool": one})
    (only,) = house.ok("GET", f"{base}/diff")["changes"]
    assert (only["name"], only["standing"]) == (one, "blocked")
    assert only["definition"]["name"] == one
    shown = {"tools": {one: only["digest"]}}
    house.refused(409, "conflict", "POST", f"{base}/approve", shown)
    (lifted,) = house.ok("POST", f"{base}/unblock", {"tools": [one]})["unblocked"]
    assert (lifted["standing"], lifted["reviewed"]) == ("pinned", True)
    assert house.ok("POST", f"{base}/approve", shown)["approved"] == []
    assert house.ok("GET", f"{base}/diff")["changes"] == []


def test_nothing_is_approved_but_by_the_digest_of_what_was_shown(house: House, stub: str) -> None:
    one = house.ok("GET", f"{W}/tools?server={stub}")["items"][0]
    base = f"{W}/servers/{stub}"
    house.refused(400, "invalid", "POST", f"{base}/tools/approve", {"tools": [one["name"]]})
    house.refused(400, "invalid", "POST", f"{base}/approve", {})
    wrong = {"tools": {one["name"]: "0" * 64}}
    told = house.refused(409, "conflict", "POST", f"{base}/tools/approve", wrong)
    assert one["name"] in told["detail"]
    shown = {"description": house.ok("GET", base)["digest"]}
    house.refused(409, "conflict", "POST", f"{base}/approve", {**shown, **wrong})
    house.refused(409, "conflict", "POST", f"{base}/approve", {**shown, "instructions": "0" * 64})
    house.refused(409, "conflict", "POST", f"{base}/approve", {"description": "0" * 64})
    assert house.ok("POST", f"{base}/approve", shown)["approved"] == []


def test_a_grant_is_given_explained_and_taken_back(house: House, stub: str) -> None:
    tool = house.ok("GET", f"{W}/tools?server={stub}")["items"][0]["name"]
    question = f"{W}/access/explain?principal=me&tool={stub}/{tool}"
    told = house.refused(404, "not_found", "GET", question, by="member")
    unknown = house.refused(404, "not_found", "GET", f"{question}-not", by="member")
    assert {**told, "detail": ""} == {**unknown, "detail": ""}
    assert told["detail"] == unknown["detail"].replace(f"{tool}-not", tool)
    body = {"member": "member@example.test", "server": stub, "level": "all", "for_seconds": 3600}
    grant = house.ok("POST", f"{W}/grants", body)
    assert grant["expires_at"]
    explained = house.ok("GET", question, by="member")
    assert (explained["allowed"], explained["rule"]) == (True, grant["id"])
    assert explained["grants"] == []
    named = question.replace("=me", "=Member@example.test")
    assert house.ok("GET", named, by="member")["rule"] == grant["id"]
    refusals = [
        house.refused(403, "forbidden", "GET", question.replace("=me", f"={who}"), by="member")
        for who in ("owner@localhost", "nobody@example.test")
    ]
    assert refusals[0] == refusals[1]
    cells = house.ok("GET", f"{W}/access/matrix")["cells"]
    mine = [each for each in cells if each["principal"] == "member@example.test"]
    assert {each["rule"] for each in mine if each["tool"].startswith(stub)} == {grant["id"]}
    house.refused(409, "conflict", "POST", f"{W}/grants", body)
    house.ok("DELETE", f"{W}/grants/{grant['id']}")
    house.refused(404, "not_found", "GET", question, by="member")


@pytest.mark.parametrize(
    "body",
    [
        {"server": "stub"},
        {"server": "stub", "everyone": True, "member": "member@example.test"},
        {"server": "stub", "everyone": True, "for_seconds": 1, "until": "2030-01-01T00:00:00Z"},
        {"server": "stub", "everyone": True, "until": "soon"},
        {"server": "stub", "everyone": True, "until": "2001-01-01T00:00:00Z"},
        {"server": "stub", "everyone": True, "for_seconds": 0},
        {"server": "stub", "everyone": True, "level": "root"},
    ],
)
def test_a_grant_that_is_unclear_is_refused(house: House, stub: str, body: Any) -> None:
    house.refused(400, "invalid", "POST", f"{W}/grants", body)


def test_a_guardrail_is_checked_published_replaced_and_retired(house: House) -> None:
    text = '@reason("Not at night.")\nforbid (principal, action, resource);'
    fault = house.refused(400, "invalid", "POST", f"{W}/guardrails/check", {"text": "permit"})
    assert fault["detail"]
    house.ok("POST", f"{W}/guardrails/check", {"text": text})
    body = {"name": "night", "text": text, "mode": "observe"}
    first = house.ok("POST", f"{W}/guardrails", body, by="security")
    second = house.ok("POST", f"{W}/guardrails", {**body, "text": text + "\n"}, by="security")
    listed = house.ok("GET", f"{W}/guardrails")["items"]
    assert [each["id"] for each in listed if each["name"] == "night"] == [second["id"]]
    every = house.ok("GET", f"{W}/guardrails?retired=true")["items"]
    assert {e["id"] for e in every if e["name"] == "night"} == {first["id"], second["id"]}
    assert house.ok("POST", f"{W}/guardrails/night/retire", {})["mode"] == "retired"
    everywhere = {**body, "everywhere": True}
    house.refused(403, "forbidden", "POST", f"{W}/guardrails", everywhere)


def test_a_call_is_found_shown_proved_and_its_reading_written_down(house: House, stub: str) -> None:
    body = {"member": "auditor@example.test", "server": stub, "level": "all"}
    house.ok("POST", f"{W}/grants", body)
    client = house.gate.client(house.tokens["auditor"])
    tool = next(name for name in client.tools() if name.startswith("stub__echo"))
    start = house.ok("GET", f"{W}/audit/tail?who=false", by="auditor")["next"]
    assert client.call(tool, {"canary": "payload-4711"}).status == 200
    assert client.call("stub__no_such_tool").status == 400

    gov = house.gov
    followed = house.ok("GET", f"{W}/audit/tail?after={start}&who=false", by="auditor")["items"]
    assert [each["outcome"] for each in followed] == ["ok", "denied: tool_unknown"]
    assert {each["who"] for each in followed} == {""}
    assert house.gov == gov

    query = f"{W}/audit/records?member=auditor@example.test&server=stub&outcome=ok&since=1h"
    (found,) = house.ok("GET", query, by="auditor")["items"]
    assert (found["who"], found["server"]) == ("auditor@example.test", "stub")
    assert house.gov == gov + 1
    for copied in ("denied", "denied:%20tool_unknown"):
        denied = house.ok("GET", f"{W}/audit/records?outcome={copied}&limit=1")["items"]
        assert denied[0]["outcome"] == "denied: tool_unknown"

    shown = house.ask("GET", f"{W}/audit/calls/{found['call']}", by="auditor")
    assert [each["t"] for each in shown.json["leaves"].values()] == ["call.intent", "call.outcome"]
    assert "payload-4711" not in shown.body.decode()

    house.refused(403, "forbidden", "GET", f"{W}/audit/calls/{found['call']}/proof", by="admin")
    import msgspec

    proof = house.ok("GET", f"{W}/audit/calls/{found['call']}/proof", by="auditor")
    document = format_proof(msgspec.convert(proof, ProofDocument))
    key = house.ok("GET", f"{W}/audit/key", by="auditor")["key"]
    assert verify_proof(document, [key]).verdict == "VERIFIED"
    heads = house.ok("GET", f"{W}/audit/checkpoints", by="auditor")
    assert {each["log"].partition(":")[0] for each in heads} == {"gov", "calls"}


@pytest.mark.parametrize(
    "path",
    ["audit/records?since=yesterday", "audit/records?cursor=x", "audit/calls/c_x"],
)
def test_a_question_that_is_unclear_is_refused(house: House, stub: str, path: str) -> None:
    house.refused(400, "invalid", "GET", f"{W}/{path}", by="auditor")


def test_a_file_is_applied_once(house: House) -> None:
    text = 'workspace = "main"\n[[members]]\nemail = "filed@example.test"\n'
    would = house.ok("POST", f"{W}/apply?dry_run=true", {"text": text})
    assert would["dry_run"] is True
    assert would["lines"] == ["+ member filed@example.test as member"]
    assert house.ok("POST", f"{W}/apply", {"text": text})["lines"] == would["lines"]
    assert house.ok("POST", f"{W}/apply", {"text": text})["lines"] == []
    broken = {"text": 'workspace = "main"\n[[member]]\n'}
    house.refused(400, "invalid", "POST", f"{W}/apply", broken)


def test_anybody_may_ask_whether_the_node_lives(house: House) -> None:
    assert house.ask("GET", "/health", by="").json == {"status": "ok"}
    assert house.ask("GET", "/ready", by="").json == {"status": "ok"}
    document = Client(house.gate.port, "", "/api/openapi.json").send("GET", b"", {}).json
    assert document["openapi"].startswith("3.1")


def test_a_member_changes_their_own_at_a_pace_that_holds_nobody_else_up(house: House) -> None:
    house.ok("POST", f"{W}/members", {"email": "eager@example.test"})
    house.tokens["eager"] = house.ok("POST", f"{W}/tokens", {"member": "eager@example.test"})[
        "token"
    ]
    most = LimitSettings().own_changes_per_minute
    for path in (["tokens/unknown/revoke", "tokens"] * most)[:most]:
        assert house.ask("POST", f"{W}/{path}", {}, by="eager").status in {400, 404}
    before = house.gov
    for path, body in (("tokens", {"member": "eager@example.test"}), ("tokens/x/revoke", {})):
        assert house.refused(429, "limit", "POST", f"{W}/{path}", body, by="eager")["retry_after"]
    assert house.gov == before
    (own,) = house.ok("GET", f"{W}/tokens", by="eager")["items"]
    house.ok("GET", f"{W}/whoami", by="eager")
    for _ in range(most + 1):  # whoever may do it for others is never too early
        house.refused(404, "not_found", "POST", f"{W}/tokens/unknown/revoke", {}, by="admin")
    house.ok("POST", f"{W}/tokens/{own['id']}/revoke", {}, by="admin")
    house.gate.api("POST", f"{W}/tokens", {"member": "eager@example.test"}, local=True)
