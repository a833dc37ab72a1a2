"""Secrets of the vault reach the servers that name them, and nobody else."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.gate import WAIT, Gate
from tests.integration.admin_house import House, W
from tests.stage import all_of
from tests.wire import until

GIVING = Path(__file__).parent / "giving_server.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("vault") / "data"
    with Gate(place, "telemetry.log_level=debug", "audit.sequence_ms=50").running() as gate:
        yield House(gate)


def serve(house: House, alias: str, token: str) -> None:
    transport = {
        "type": "stdio",
        "command": [sys.executable, "-S", str(GIVING)],
        "env": {"TOKEN": token},
        "run_as": "gateway",
    }
    house.gate.api("POST", f"{W}/servers", {"alias": alias, "transport": transport}, local=True)
    seen = house.gate.api("POST", f"{W}/servers/{alias}/observe", {}, local=True)
    house.ok("POST", f"{W}/servers/{alias}/approve", all_of(seen))
    house.ok("POST", f"{W}/grants", {"everyone": True, "server": alias, "level": "all"})


def told(house: House, alias: str) -> str:
    """The digest of what the server was given; empty while it is not reached."""
    answer = house.gate.client(house.tokens["member"]).call(f"{alias}__tell").json
    result = answer.get("result", {})
    if "content" not in result or result.get("isError"):
        return ""
    return str(result["content"][0]["text"])


def digest(value: str) -> str:
    return sha256(value.encode()).hexdigest()


def test_a_server_is_given_a_value_its_successor_and_no_more_after_the_end(house: House):
    first, second = secrets.token_hex(12), secrets.token_hex(12)
    house.ok("POST", f"{W}/secrets/crm/value", {"value": first})
    serve(house, "crm", "Bearer vault:crm")
    assert told(house, "crm") == digest(f"Bearer {first}")
    shown = house.ok("GET", f"{W}/secrets/crm")
    assert (shown["size"], shown["servers"], shown["values"]) == (24, ["crm"], 1)
    house.ok("POST", f"{W}/secrets/crm/value", {"value": second, "rotate": True})
    until(lambda: told(house, "crm") == digest(f"Bearer {second}"), why="it begins anew")
    tried = house.ok("DELETE", f"{W}/secrets/crm?dry_run=true")
    (change,) = tried["changes"]
    assert change["subject"]["servers"] == [house.ok("GET", f"{W}/servers/crm")["id"]]
    house.ok("DELETE", f"{W}/secrets/crm")
    until(lambda: told(house, "crm") == "", why="it is not reached")
    detail = house.ok("GET", f"{W}/servers/crm/health")["detail"]
    assert detail == "secret vault:crm is not in the vault of this workspace"


def test_a_value_comes_from_a_file_or_standard_input_and_is_shown_nowhere(house: House, tmp_path):
    word = "canary" + secrets.token_hex(12)
    file = tmp_path / "value"
    file.write_text(word + "\n")
    said = house.gate.command("secret", "set", "typed", "--from-file", str(file))
    assert (said.returncode, word in said.stdout + said.stderr) == (0, False)
    command = house.gate.arguments("secret", "rotate", "typed")
    piped = subprocess.run(
        command, input=f"{word}2\n", text=True, capture_output=True, timeout=WAIT, check=False
    )
    assert piped.returncode == 0, piped.stderr
    assert house.ok("GET", f"{W}/secrets/typed")["size"] == len(word) + 1
    for shown in (
        "list",
        "show typed",
        "rotate typed x",
        "set",
        f"set typed {word}",
        f"rotate typed {word} {word}2",
        f"set typed --value {word}",
        f"set typed --value={word}",
        f"set typed --json {word}",
        f"unset typed {word}",
    ):
        said = house.gate.command("secret", *shown.split())
        assert word not in said.stdout + said.stderr


@pytest.mark.guarantee("secrets:stay-here")
def test_a_value_stands_in_no_file_log_record_argument_or_answer(house: House, tmp_path: Path):
    word = "canary" + secrets.token_hex(12)
    house.ok("POST", f"{W}/secrets/deep/value", {"value": word})
    serve(house, "deep", "vault:deep")
    assert told(house, "deep") == digest(word)
    answers = [
        house.ask("GET", f"{W}/{path}").body
        for path in ("secrets", "secrets/deep", "servers/deep", "export", "audit/changes")
    ]
    for wrong in ({"value": [word]}, {"value": word, "colour": word}, {"value": word + "\0"}):
        answers.append(house.ask("POST", f"{W}/secrets/deep/value", wrong).body)
    answers += [each.encode() for each in said_by_commands(house, tmp_path)]
    for path in ("/metrics", "/api/v1/debug"):
        answers.append(house.gate.client(house.gate.token, path).send("GET", b"", {}).body)
    lines = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists()]
    for text in (*answers, *lines, house.gate.stderr.encode()):
        assert word.encode() not in text
    for file in (*house.gate.directory.rglob("*"), *tmp_path.rglob("*")):
        if file.is_file():
            octets = file.read_bytes()
            assert word.encode() not in octets, file
            assert digest(word).encode() not in octets, file


def said_by_commands(house: House, place: Path) -> list[str]:
    """What commands say that show or keep much; the backup and the export are written there."""
    told = []
    for line in (
        f"backup {place}/copy",
        "export",
        "server show deep",
        "secret show deep",
        "audit changes tail",
        "audit search",
        "node show",
        "config show",
    ):
        done = house.gate.command(*line.split())
        told.append(done.stdout + done.stderr)
    assert (place / "copy").is_dir()
    (place / "export.toml").write_text(told[1])
    assert "vault:deep" in told[1]
    assert 'name = "deep"' in told[1]
    return told


@pytest.mark.guarantee("secrets:stay-here")
def test_a_server_that_dies_and_says_its_secret_is_told_of_without_it(house: House):
    word = "canary" + secrets.token_hex(12)
    house.ok("POST", f"{W}/secrets/dying/value", {"value": word})
    transport = {
        "type": "stdio",
        "command": [sys.executable, "-S", str(GIVING)],
        "env": {"TOKEN": "Bearer vault:dying", "DIE": "1"},
        "run_as": "gateway",
    }
    house.gate.api("POST", f"{W}/servers", {"alias": "dying", "transport": transport}, local=True)
    status, said = house.gate.ask("POST", f"{W}/servers/dying/observe", {}, local=True)
    shown = house.gate.api("GET", f"{W}/servers/dying", local=True)
    assert status == 502
    assert "cannot use the token Bearer [secret]" in json.dumps(shown["said"])
    for text in (json.dumps(said), json.dumps(shown), house.gate.stderr):
        assert word not in text


@pytest.mark.parametrize("role", ["security", "auditor", "member"])
def test_who_may_not_set_secrets_sets_none_for_others(house: House, role: str):
    house.ok("POST", f"{W}/secrets/held/value", {"value": "x"})
    path = f"{W}/secrets/held/value"
    house.refused(403, "forbidden", "POST", path, {"value": "y"}, by=role)
    house.refused(403, "forbidden", "DELETE", path, by=role)
    house.refused(403, "forbidden", "DELETE", f"{W}/secrets/held", by=role)
    other = {"value": "y", "member": "admin@example.test"}
    house.refused(403, "forbidden", "POST", path, other, by=role)


def test_each_member_has_a_value_of_their_own_which_ends_with_them(house: House):
    house.ok("POST", f"{W}/secrets", {"name": "gh", "mode": "member"})
    path = f"{W}/secrets/gh/value"
    house.refused(409, "conflict", "POST", path, {"value": "x"})
    house.ok("POST", path, {"value": "mine", "own": True}, by="member")
    house.ok("POST", path, {"value": "theirs", "member": "auditor@example.test"})
    shown = house.ok("GET", f"{W}/secrets/gh")
    assert shown["holders"] == ["auditor@example.test", "member@example.test"]
    assert shown["values"] == 2
    assert house.ok("GET", f"{W}/secrets/gh", by="member")["holders"] == []
    house.ok("DELETE", f"{path}?own=true", by="member")
    house.refused(404, "not_found", "DELETE", f"{path}?own=true", by="member")
    house.ok("POST", f"{W}/members", {"email": "leaver@example.test"})
    house.ok("POST", path, {"value": "of a leaver", "member": "leaver@example.test"})
    house.ok("POST", f"{W}/members/leaver@example.test/revoke", {"why": "leaver"})
    assert house.ok("GET", f"{W}/secrets/gh")["values"] == 1
    kinds = [each["type"] for each in house.ok("GET", f"{W}/audit/changes?limit=6")["items"]]
    assert "secret.erased" in kinds


def test_values_typed_into_a_definition_move_and_nothing_has_to_be_approved_again(house: House):
    word = "canary" + secrets.token_hex(12)
    serve(house, "typed", word)
    assert told(house, "typed") == digest(word)
    before = house.ok("GET", f"{W}/servers/typed")
    assert octets_hold(house, word)
    tried = house.gate.cli("secret", "adopt", "--dry-run")
    wanted = {"server": "typed", "part": "env", "name": "TOKEN", "secret": "typed-TOKEN"}
    assert tried == {"dry_run": True, "adopted": [wanted]}
    assert house.gate.cli("secret", "adopt")["adopted"] == [wanted]
    after = house.ok("GET", f"{W}/servers/typed")
    assert after["transport"]["env"] == {"TOKEN": "vault:typed-TOKEN"}
    assert (after["status"], after["digest"]) == ("approved", before["digest"])
    until(lambda: told(house, "typed") == digest(word), why="it is reached as before")
    assert house.gate.cli("secret", "adopt")["adopted"] == []


def test_nobody_but_the_operator_moves_what_was_typed(house: House):
    # What the operator typed into one server, an admin could name in another one then.
    for role in ("owner", "admin", "member"):
        house.refused(403, "forbidden", "POST", f"{W}/vault/adopt", {"every": True}, by=role)


def octets_hold(house: House, word: str) -> bool:
    files = [each for each in house.gate.directory.rglob("*.db*") if each.is_file()]
    return any(word.encode() in each.read_bytes() for each in files)


def test_a_secret_of_each_members_own_is_named_by_no_server_that_they_share(house: House):
    house.ok("POST", f"{W}/secrets", {"name": "each", "mode": "member"})
    stdio = {"type": "stdio", "command": ["/bin/cat"], "env": {"A": "vault:each"}}
    http = {"type": "http", "url": "https://a.example", "headers": {"A": "vault:each"}}
    for transport in (stdio, http):
        body = {"alias": "apart", "transport": transport}
        status, said = house.gate.ask("POST", f"{W}/servers", body, local=True)
        assert (status, "each member's own" in said["detail"]) == (400, True), said
    named = {"type": "http", "url": "https://a.example", "headers": {"A": "vault:later"}}
    house.ok("POST", f"{W}/servers", {"alias": "early", "transport": named})
    house.refused(400, "invalid", "POST", f"{W}/secrets", {"name": "later", "mode": "agent"})
