"""What a token may do with servers over the network, and what only the operator may do."""

import sys

import pytest
from tests.integration.admin_house import STUB, W, house  # noqa: F401 - a fixture
from tests.stage import all_of
from tests.wire import until

SHELL = {"type": "stdio", "command": ["/bin/cat"], "run_as": "own"}
KEYS = {"type": "http", "url": "https://x.example/mcp", "headers": {"X": "file:/etc/passwd"}}


@pytest.mark.parametrize("by", ["owner", "admin"])
@pytest.mark.parametrize("transport", [SHELL, {**SHELL, "run_as": "gateway"}, KEYS])
def test_a_process_and_a_reference_are_the_operators_over_every_route(house, transport, by):  # noqa: F811
    wanted = {"alias": "taken", "transport": transport}
    house.refused(403, "forbidden", "POST", f"{W}/servers", wanted, by=by)
    web = {"type": "http", "url": "https://x.example/mcp"}
    alias = f"web-{by}-{transport.get('run_as', 'web')}"
    house.ok("POST", f"{W}/servers", {"alias": alias, "transport": web}, by=by)
    edits = (
        {"command": ["/bin/cat"]}
        if transport["type"] == "stdio"
        else {"headers": transport["headers"]}
    )
    path = f"{W}/servers/{alias}/edit"
    house.refused(403, "forbidden", "POST", path, edits, by=by)
    house.refused(403, "forbidden", "POST", f"{path}?dry_run=true", edits, by=by)
    assert house.ok("GET", f"{W}/servers/{alias}")["kind"] == "http"


def test_a_file_that_an_owner_applies_reaches_no_further(house):  # noqa: F811
    text = 'workspace = "main"\n[[servers]]\nalias = "cat"\ncommand = ["/bin/cat"]\n'
    house.refused(403, "forbidden", "POST", f"{W}/apply", {"text": text})
    house.refused(403, "forbidden", "POST", f"{W}/apply?dry_run=true", {"text": text})


def test_an_admin_starts_nothing_that_nobody_approved_and_sees_why_it_failed(house):  # noqa: F811
    run = ["/bin/sh", "-c", "echo last words >&2; exit 3"]
    wanted = {"alias": "ends", "transport": {**SHELL, "command": run, "run_as": "gateway"}}
    house.gate.api("POST", f"{W}/servers", wanted, local=True)
    look = f"{W}/servers/ends/observe"
    house.refused(403, "forbidden", "POST", look, by="admin")
    assert house.ask("POST", look).json["said"] == ["stderr: last words"]
    for by, said in (("admin", ["stderr: last words"]), ("auditor", [])):
        assert house.ok("GET", f"{W}/servers/ends", by=by)["said"] == said
        assert house.ok("GET", f"{W}/servers/ends/health", by=by)["said"] == said


def test_the_process_says_what_becomes_of_servers_sign_ins_and_access(house):  # noqa: F811
    def told(what: str) -> bool:
        return any(what in line for line in house.gate.stderr.splitlines())

    run = ["/bin/sh", "-c", "echo canary-of-a-server >&2; exit 3"]
    wanted = {"alias": "dies", "transport": {**SHELL, "command": run, "run_as": "gateway"}}
    added = house.gate.api("POST", f"{W}/servers", wanted, local=True)
    unseen = {"description": added["digest"], "tools": {}, "instructions": ""}
    house.gate.api("POST", f"{W}/servers/dies/approve", unseen, local=True)
    until(lambda: told("server dies is away and tried again: The server "))

    guessed = "gl_wrong"
    assert house.ask("GET", f"{W}/members", by=guessed).status == 401
    until(lambda: told("a sign-in was refused (malformed)"))

    left = house.ok("POST", f"{W}/members", {"email": "leaver@example.test", "role": "member"})
    credential = house.ok("POST", f"{W}/tokens", {"member": "leaver@example.test"})
    house.ok("POST", f"{W}/members/leaver@example.test/revoke", {"why": "canary-reason"})
    until(lambda: told("access ended for ") and told(left["id"]))
    assert house.ask("GET", f"{W}/members", by=credential["token"]).status == 401
    until(lambda: told("a sign-in was refused (ended, crd_"))

    for unsaid in ("canary", "leaver@", guessed, credential["token"]):
        assert unsaid not in house.gate.stderr


@pytest.mark.parametrize(
    ("heir", "said"),
    [("", "(suspended)"), ("owner@localhost", "(answered for by owner@localhost)")],
)
def test_a_receipt_names_the_agents_and_what_became_of_them(house, heir, said):  # noqa: F811
    leaver, bot = f"with-bots{len(heir)}@example.test", f"nightly{len(heir)}"
    house.ok("POST", f"{W}/members", {"email": leaver, "role": "member"})
    agent = house.ok("POST", f"{W}/agents", {"name": bot, "owner": leaver})
    token = house.ok("POST", f"{W}/tokens", {"member": leaver, "label": "her laptop"})
    body = {"why": "OPS-1", "transfer_to": heir}
    receipt = house.ok("POST", f"{W}/members/{leaver}/revoke", body)
    assert set(receipt["cascade"]) >= {agent["id"], token["id"]}
    assert receipt["named"][agent["id"]] == f"{bot} {said}"
    assert receipt["named"][token["id"]] == "her laptop"


def test_a_tool_that_is_not_as_it_was_approved_is_told_of_and_counted(house, tmp_path):  # noqa: F811
    script = tmp_path / "drifting.py"
    script.write_text(STUB.read_text("utf-8"), "utf-8")
    transport = {"type": "stdio", "command": [sys.executable, str(script)], "run_as": "gateway"}
    house.gate.api(
        "POST", f"{W}/servers", {"alias": "drifting", "transport": transport}, local=True
    )
    seen = house.ok("POST", f"{W}/servers/drifting/observe")
    house.ok("POST", f"{W}/servers/drifting/approve", all_of(seen))
    assert house.ok("GET", f"{W}/servers/drifting")["changed"] == 0

    script.write_text(STUB.read_text("utf-8").replace("Give back.", "Send it all."), "utf-8")
    house.ok("POST", f"{W}/servers/drifting/disable", {"why": "OPS-1"})
    house.gate.api("POST", f"{W}/servers/drifting/enable", local=True)
    line = "server drifting: 1 tool is not as it was approved; see gatelodge tool diff drifting"
    until(lambda: line in house.gate.stderr)
    assert house.ok("GET", f"{W}/servers/drifting")["changed"] == 1
    assert "Send it all" not in house.gate.stderr


def test_a_renamed_member_is_called_so_and_the_change_is_on_record(house):  # noqa: F811
    path = f"{W}/members/renamed@example.test"
    made = house.ok("POST", f"{W}/members", {"email": "renamed@example.test"})
    told = house.ok("POST", f"{path}/rename", {"name": "Ada L."})
    assert (told["name"], told["email"], told["id"]) == ("Ada L.", made["email"], made["id"])
    assert house.ok("GET", path)["name"] == "Ada L."
    house.refused(403, "forbidden", "POST", f"{path}/rename", {"name": "x"}, by="member")
    house.refused(400, "invalid", "POST", f"{path}/rename", {"name": "two\nlines"})


def test_what_nobody_approved_is_not_approved_by_disabling_and_enabling_it(house):  # noqa: F811
    url = {"type": "http", "url": "https://roundabout.example.com/mcp"}
    house.gate.api("POST", f"{W}/servers", {"alias": "roundabout", "transport": url}, local=True)
    for verb in ("disable", "enable"):
        answer = house.ask(
            "POST", f"{W}/servers/roundabout/{verb}", {} if verb == "disable" else None
        )
        assert (answer.status, "waits for its approval" in answer.json["detail"]) == (409, True)
    assert house.ok("GET", f"{W}/servers/roundabout")["status"] == "proposed"
