"""What rules and tokens tell, and to whom, over the admin API."""

import pytest
from tests.gate import Client
from tests.integration.admin_house import House, W, house, stub

__all__ = ["house", "stub"]


def test_a_member_is_not_told_which_guardrail_hides_a_tool_from_them(
    house: House, stub: str
) -> None:
    tool = house.ok("GET", f"{W}/tools?server={stub}")["items"][0]["name"]
    grant = house.ok("POST", f"{W}/grants", {"everyone": True, "server": stub, "level": "all"})
    text = (
        '@reason("Secret reason.")\n'
        f'forbid (principal, action, resource in Gatelodge::Server::"{stub}");'
    )
    house.ok("POST", f"{W}/guardrails", {"name": "hide", "text": text})
    for kind in ("tools", "prompts", "resources"):
        asked = f"tool={stub}/{tool}" if kind == "tools" else f"server={stub}"
        question = f"{W}/access/explain?principal=me&kind={kind}&{asked}"
        told = house.refused(404, "not_found", "GET", question, by="member")
        assert "Secret" not in str(told)
        assert "Secret" in str(house.ok("GET", question))
    house.ok("POST", f"{W}/guardrails/hide/retire", {})
    house.ok("DELETE", f"{W}/grants/{grant['id']}")


def test_a_guardrail_about_what_is_not_there_is_refused_with_what_comes_near(
    house: House, stub: str
) -> None:
    text = '@reason("x")\nforbid (principal, action, resource in Gatelodge::Server::"stubb");'
    for path in ("guardrails/check", "guardrails"):
        body = {"text": text} if "check" in path else {"text": text, "name": "near"}
        told = house.refused(400, "invalid", "POST", f"{W}/{path}", body)
        assert "did you mean stub" in told["detail"]
        made = house.ok("POST", f"{W}/{path}", {**body, "unmatched": True})
        assert made["unmatched"] == ['Server::"stubb"']
    rows = house.ok("GET", f"{W}/guardrails")["items"]
    (listed,) = [each for each in rows if each["name"] == "near"]
    assert listed["unmatched"] == ['Server::"stubb"']
    house.ok("POST", f"{W}/guardrails/near/retire", {})


def test_a_leaked_tokens_offspring_ends_with_it(house: House) -> None:
    leaked = house.ok("POST", f"{W}/tokens", {"member": "member@example.test"})
    thief = house.ok("POST", f"{W}/tokens", {"member": "member@example.test"}, by=leaked["token"])
    assert thief["parent"] == leaked["id"]
    house.ok("POST", f"{W}/tokens/{leaked['id']}/revoke", {})
    listed = {each["id"]: each["status"] for each in house.ok("GET", f"{W}/tokens")["items"]}
    assert (listed[leaked["id"]], listed[thief["id"]]) == ("revoked", "revoked")
    assert house.ask("GET", f"{W}/tokens", by=thief["token"]).status == 401


def test_anybody_is_told_who_they_are(house: House) -> None:
    told = house.ok("GET", f"{W}/whoami", by="member")
    assert (told["principal"], told["role"]) == ("member@example.test", "member")
    assert told["token"].startswith("crd_")
    assert house.ask("GET", f"{W}/whoami", by="").status == 401


def test_the_matrix_is_cut_to_what_was_asked_about(house: House, stub: str) -> None:
    whole = house.ok("GET", f"{W}/access/matrix")["cells"]
    (tool, *_) = {each["tool"] for each in whole}
    who = "principal=auditor@example.test"
    mine = house.ok("GET", f"{W}/access/matrix?{who}&server={stub}")["cells"]
    assert {each["principal"] for each in mine} == {"auditor@example.test"}
    (cell,) = house.ok("GET", f"{W}/access/matrix?{who}&tool={tool}")["cells"]
    assert cell["tool"] == tool
    for wrong in ("principal=nobody", "server=nothing", "tool=nothing/at-all"):
        house.refused(404, "not_found", "GET", f"{W}/access/matrix?{wrong}")
    told = house.ask("GET", f"{W}/access/history?principal=ghost@example.test")
    assert (told.status, b"no member or agent is called" in told.body) == (404, True)


def test_a_grant_says_how_many_tools_it_reaches_and_an_explanation_what_is_missing(
    house: House, stub: str
) -> None:
    grant = house.ok("POST", f"{W}/grants", {"member": "member@example.test", "server": stub})
    listed = {each["id"]: each for each in house.ok("GET", f"{W}/grants")["items"]}[grant["id"]]
    tools = house.ok("GET", f"{W}/tools?server={stub}")["items"]
    unknown = [each["name"] for each in tools if not each["reviewed"]]
    assert (listed["of"] - listed["reaches"], listed["of"]) == (len(unknown), len(tools))
    question = f"{W}/access/explain?principal=member@example.test&tool={stub}/{unknown[0]}"
    assert f"gatelodge tool review {stub} {unknown[0]}" in house.ok("GET", question)["remedy"]
    house.ok("DELETE", f"{W}/grants/{grant['id']}")


NOWHERE = '@reason("x") forbid (principal, action, resource in Gatelodge::Server::"nothing");'


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ('[[members]]\nemail = "owner@localhost"\nrole = "member"', 409),
        ('[[servers]]\nalias = "x"\nurl = "ftp://x.example.com"', 400),
        ('[[grants]]\nto = "everyone"\nserver = "stub"\ntool = "nothing"', 404),
        ("[[guardrails]]\nname = 'g'\ntext = 'permit (principal, action, resource);'", 400),
        (f"[[guardrails]]\nname = 'g'\ntext = '{NOWHERE}'", 400),
    ],
)
def test_a_dry_run_refuses_what_the_real_run_refuses(
    house: House, stub: str, file: str, status: int
) -> None:
    before = house.gov
    body = {"text": f'workspace = "main"\n{file}\n'}
    answers = [house.ask("POST", f"{W}/apply{query}", body) for query in ("?dry_run=true", "")]
    assert [each.status for each in answers] == [status, status]
    assert answers[0].json["detail"] == answers[1].json["detail"]
    assert house.gov == before


def test_a_members_name_in_a_file_is_applied_once(house: House) -> None:
    text = 'workspace = "main"\n[[members]]\nemail = "member@example.test"\nname = "Mia"\n'
    first, second = (house.ok("POST", f"{W}/apply", {"text": text})["lines"] for _ in range(2))
    assert (len(first), second) == (1, [])
    assert house.ok("GET", f"{W}/members/member@example.test")["name"] == "Mia"


def test_of_a_rule_for_every_workspace_only_the_operator_is_told(house: House) -> None:
    text = '@reason("x") forbid (principal in Gatelodge::Group::"main/x", action, resource);'
    body = {"text": text, "everywhere": True}
    for role in ("owner", "security", "admin", "auditor"):
        house.refused(403, "forbidden", "POST", f"{W}/guardrails/check", body, by=role)
    house.refused(403, "forbidden", "POST", f"{W}/guardrails", {**body, "name": "x"})


def test_what_nests_too_deep_is_the_senders_fault_and_no_answer_repeats_all_that_was_asked(
    house: House,
) -> None:
    client = Client(house.gate.port, house.gate.token, f"/api/v1{W}/groups")
    for body in (b"[" * 60_000, b'{"a":' * 10_000, b'{"name":"x","y":' + b"[" * 2_000):
        answer = client.post(body)
        assert (answer.status, answer.json["code"]) == (400, "error.refused.invalid")
    missing = house.refused(404, "not_found", "POST", f"{W}/tokens", {"member": "x" * 60_000})
    assert len(missing["detail"]) < 5_000


def test_a_rule_for_every_workspace_names_nobody_to_those_of_one(house: House) -> None:
    """Its words may name people and servers of other workspaces: a workspace reads its ids."""
    text = (
        '@reason("x")\n'
        'forbid (principal == Gatelodge::Member::"main/member@example.test", action, resource);'
    )
    body = {"name": "house", "text": text, "everywhere": True, "mode": "observe"}
    told = house.gate.api("POST", f"{W}/guardrails", body, local=True)
    assert "member@example.test" in told["text"]
    for path in ("guardrails", "guardrails/house"):
        seen = str(house.ok("GET", f"{W}/{path}", by="auditor"))
        assert "mem_" in seen
        assert "member@example.test" not in seen
    house.gate.api("POST", f"{W}/guardrails/house/retire", {}, local=True)


def test_every_route_that_takes_a_body_says_so_when_there_is_none_or_no_object(house):
    described = house.gate.client(house.gate.token, "/api/openapi.json").send("GET", b"", {}).json
    routes = [
        path.removeprefix("/api/v1")
        .replace("{workspace}", "main")
        .replace("{", "")
        .replace("}", "")
        for path, operation in described["paths"].items()
        if "requestBody" in operation.get("post", {})
    ]
    assert len(routes) > 20
    for path in routes:
        none, wrong = house.ask("POST", path), house.ask("POST", path, ["x"])
        if none.status in (403, 429):  # the operator's own, or asked for too often
            continue
        assert (none.status, wrong.status) == (400, 400), (path, none.body, wrong.body)
        assert "takes a JSON object" in none.json["detail"], path
        assert "{}" in none.json["remedy"]
        assert wrong.json["detail"].startswith("body: Expected `object`"), (path, wrong.body)
