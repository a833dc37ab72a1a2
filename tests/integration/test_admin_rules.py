"""What rules and tokens tell, and to whom, over the admin API."""

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
    (listed,) = house.ok("GET", f"{W}/guardrails")["items"]
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
