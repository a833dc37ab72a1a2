"""Commands as people type them: against a running gate, without one, and from far away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.gate import Gate

from gatelodge.adapters.runtime.landlock.calls import landlock_version

STUB = Path(__file__).parents[1] / "upstreams" / "echo_server.py"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = Gate(tmp_path_factory.mktemp("cli") / "data")
    with made.running():
        yield made


@pytest.fixture(scope="module")
def stub(gate: Gate) -> str:
    added = gate.command(
        "server", "add", "stub", "--run-as", "gateway", "--", sys.executable, str(STUB)
    )
    assert added.returncode == 0, added.stderr
    assert re.search(r"^echo   new       [0-9a-f]{12}  Give back\.$", added.stdout, re.MULTILINE)
    assert re.search(r"^count  new       [0-9a-f]{12}  Count\.$", added.stdout, re.MULTILINE)
    would = gate.cli("server", "approve", "stub", "--dry-run")
    read = [would["description"], *would["tools"].values(), would["instructions"]]
    named = [word for digest in read if digest for word in ("--digest", digest)]
    assert gate.command("server", "approve", "stub").returncode == 2
    assert gate.command("server", "approve", "stub", *named[:-2]).returncode == 3
    approved = gate.command("server", "approve", "stub", *named)
    assert "2 tools are pinned" in approved.stdout
    return "stub"


more = partial(pytest.param, marks=pytest.mark.slow)


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.slow
def test_an_empty_house_says_what_to_do_next(tmp_path: Path) -> None:
    fresh = Gate(tmp_path / "data")
    told = {
        ("server", "list"): "gatelodge server add",
        ("grant", "list"): "gatelodge grant add",
        ("agent", "list"): "gatelodge agent add",
        ("group", "list"): "gatelodge group create",
        ("policy", "list"): "gatelodge policy add",
        ("audit", "tail"): "Every call through the gate leaves one",
    }
    with fresh.running():
        for command, next_step in told.items():
            done = fresh.command(*command)
            assert (done.returncode, next_step in done.stdout) == (0, True), (command, done)


@pytest.mark.slow
def test_commands_work_before_the_first_start_and_the_gate_goes_on_from_there(
    tmp_path: Path,
) -> None:
    fresh = Gate(tmp_path / "data")
    assert fresh.cli("init")["token"].startswith("gtlp_")
    assert fresh.command("init").returncode == 3
    assert fresh.cli("member", "add", "ada@example.test", "--role", "admin")["role"] == "admin"
    assert fresh.cli("config", "show")
    with fresh.running():
        emails = [each["email"] for each in fresh.cli("member", "list")]
    assert "ada@example.test" in emails


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("member", "show", "nobody@example.test"), 3, "gatelodge member list"),
        (("member", "show", ""), 2, "the name is empty"),
        more(("group", "show", ""), 2, "the name is empty"),
        more(("server", "show", ""), 2, "the name is empty"),
        more(("member", "add", "no-address"), 2, "name@example.com"),
        more(("member", "add", "owner@localhost"), 3, "here already"),
        more(
            ("member", "revoke", "owner@localhost", "--why", "x", "--yes"),
            3,
            "another member an owner",
        ),
        more(("member", "revoke", "owner@localhost", "--why", "x"), 2, "--yes"),
        more(("member", "revoke", "owner@localhost"), 2, "--why"),
        more(("--workspace", "other", "member", "list"), 3, "gatelodge workspace list"),
        (("--url", "http://127.0.0.1:1", "member", "list"), 4, "gatelodge up"),
        more(("audit", "show", "c_nonsense"), 2, "22 characters"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_error_says_what_to_do_and_the_exit_code_its_kind(
    gate: Gate, command: tuple[str, ...], code: int, said: str
) -> None:
    done = gate.command(*command)
    assert done.returncode == code, done
    assert said in done.stderr
    assert done.stdout == ""


def test_errors_are_json_too(gate: Gate) -> None:
    done = gate.command("member", "show", "nobody@example.test", "--json")
    assert json.loads(done.stderr)["code"] == "error.refused.not_found"


@pytest.mark.slow
def test_a_member_comes_and_goes(gate: Gate) -> None:
    gate.cli("member", "add", "eve@example.test", "--name", "Eve")
    gate.cli("agent", "add", "evebot", "--owner", "eve@example.test")
    gate.cli("group", "create", "crew")
    gate.cli("group", "add-member", "crew", "eve@example.test")
    (crew,) = gate.cli("group", "list")
    assert crew["principals"] == ["eve@example.test"]
    issued = gate.command("token", "create", "--member", "eve@example.test", "--label", "laptop")
    assert issued.stdout.startswith("gtlp_")
    assert len(issued.stdout.split()) == 1
    would = gate.command("member", "revoke", "eve@example.test", "--why", "leaver", "--dry-run")
    assert "Would change (dry run" in would.stdout
    assert gate.cli("member", "show", "eve@example.test")["status"] == "active"
    done = gate.command("member", "revoke", "eve@example.test", "--why", "leaver", "--yes")
    assert "certain everywhere after" in done.stdout
    shown = gate.cli("member", "show", "eve@example.test")
    assert (shown["status"], shown["groups"], shown["tokens"]) == ("revoked", [], [])
    agents = {each["name"]: each["status"] for each in gate.cli("agent", "list")}
    assert agents["evebot"] == "suspended"


@pytest.mark.slow
def test_servers_tools_and_grants_by_hand(gate: Gate, stub: str) -> None:
    row = next(each for each in gate.cli("server", "list") if each["alias"] == stub)
    assert (row["kind"], row["status"], row["tools"]) == ("stdio", "approved", 2)
    told = gate.cli("tool", "review", stub, "ec*", "--read-only", "--not-open-world", "--yes")
    (tool,) = told["reviewed"]
    assert (tool["read_only"], tool["destructive"], tool["open_world"]) == (True, False, False)
    gate.cli("member", "add", "grace@example.test")
    question = ("access", "explain", "grace@example.test", f"{stub}/echo")
    assert gate.command(*question).returncode == 1
    given = gate.cli(
        "grant", "add", "--member", "grace@example.test", "--server", stub, "--level", "read",
        "--for", "8h", "--ticket", "OPS-7",
    )  # fmt: skip
    assert gate.command(*question).returncode == 0
    matrix = gate.command("access", "matrix").stdout
    assert ["grace@example.test", "stub/echo", "allow"] in [row[:3] for row in lines(matrix)]
    assert "stub/count" not in matrix
    gate.cli("grant", "revoke", given["id"])
    assert gate.command(*question).returncode == 1
    gate.cli("tool", "block", stub, "count", "--why", "OPS-8")
    assert "count: blocked" in gate.command("tool", "diff", stub).stdout
    gate.cli("server", "approve", stub, "--yes")
    assert gate.cli("tool", "approve", stub, "*") == {"approved": []}
    assert gate.command("tool", "approve", stub, "count", "--yes").returncode == 3
    assert "count: blocked" in gate.command("tool", "diff", stub).stdout
    shown = gate.command("tool", "show", stub, "count").stdout
    assert "This is the approved definition." in shown
    gate.cli("tool", "unblock", stub, "*", "--yes")
    assert "exactly what was approved" in gate.command("tool", "diff", stub).stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prompts", "resources"])
def test_who_may_read_what_a_server_has_is_told_too(gate: Gate, stub: str, kind: str) -> None:
    email = f"{kind}@example.test"
    gate.cli("member", "add", email)
    question = ("access", "explain", email, stub, f"--{kind}")
    grant = ("grant", "add", "--member", email, "--server", stub, "--level", "read")
    gate.cli(*grant, "--tool", "echo")
    told = gate.command(*question)
    assert told.returncode == 1
    assert "for one tool alone" in told.stdout
    assert [kind, "of", stub] in lines(told.stdout)
    whole = gate.cli(*grant)["id"]
    found = gate.cli(*question)
    assert (found["kind"], found["tool"], found["rule"]) == (kind, stub, whole)
    matrix = lines(gate.command("access", "matrix", f"--{kind}").stdout)
    assert matrix[0][:4] == ["PRINCIPAL", kind.upper(), "OF", "DECISION"]
    assert [email, stub, "allow", "no", whole] in matrix
    assert gate.command("access", "explain", email, "none", f"--{kind}").returncode == 3
    assert gate.command("access", "matrix", "--prompts", "--resources").returncode == 2
    path = f"/workspaces/main/access/matrix?kind={kind.title()}"
    with pytest.raises(AssertionError, match="not one of tools, prompts, resources"):
        gate.api("GET", path)


@pytest.mark.slow
@pytest.mark.skipif(landlock_version() < 1, reason="the sandbox needs Landlock")
@pytest.mark.skipif(shutil.which("npx") is None, reason="there is no npx")
def test_a_command_that_is_never_started_so_is_not_kept(tmp_path: Path) -> None:
    with Gate(tmp_path / "data", "hosting.plain_commands=sandbox").running() as gate:
        done = gate.command("server", "add", "fetched", "--", "npx", "-y", "some")
        assert (done.returncode, done.stdout) == (4, "fetched was not added.\n"), done.stderr
        assert "gatelodge server add fetched npm:NAME@VERSION" in done.stderr
        assert gate.cli("server", "list") == []


@pytest.mark.slow
def test_a_server_that_cannot_be_observed_is_kept_and_told(gate: Gate) -> None:
    add = ("server", "add", "gone", "--run-as", "gateway", "--", "/no/such/program")
    done = gate.command(*add)
    assert done.returncode == 4
    assert "could not be observed" in done.stdout
    assert "gatelodge server remove gone" in done.stdout
    again = gate.command(*add)
    assert again.returncode == 3
    assert "gatelodge server edit gone" in again.stderr
    rows = {each["alias"]: each["status"] for each in gate.cli("server", "list")}
    assert rows["gone"] == "proposed"
    assert gate.command("server", "remove", "gone", "--dry-run").returncode == 0
    gate.cli("server", "remove", "gone", "--yes")
    assert "gone" not in {each["alias"] for each in gate.cli("server", "list")}


@pytest.mark.slow
def test_a_restart_of_what_is_not_approved_says_what_lets_it_run(gate: Gate) -> None:
    gate.cli("server", "add", "off", "--run-as", "gateway", "--", sys.executable, str(STUB))
    for status, way in (("proposed", "approve"), ("disabled", "enable")):
        done = gate.command("server", "restart", "off")
        assert done.returncode == 3
        assert f"off is {status}" in done.stderr
        assert f"gatelodge server {way} off" in done.stderr
        if status == "proposed":
            gate.cli("server", "approve", "off", "--yes")
            gate.cli("server", "disable", "off")
    gate.cli("server", "remove", "off", "--yes")


@pytest.mark.slow
def test_what_is_hidden_from_a_server_is_said_when_it_is_added(gate: Gate) -> None:
    named = ("--hide-capability", "roots", "--hide-capability", "sampling")
    command = ("--run-as", "gateway", "--", sys.executable, str(STUB))
    assert (
        gate.command("server", "add", "shy", "--hide-capability", "secrets", *command).returncode
        == 2
    )
    gate.cli("server", "add", "shy", *named, *command)
    assert gate.cli("server", "show", "shy")["hidden_capabilities"] == ["roots", "sampling"]
    gate.cli("server", "remove", "shy", "--yes")


@pytest.mark.slow
def test_a_disabled_server_comes_back_with_its_pins(gate: Gate, stub: str) -> None:
    gate.cli("server", "disable", stub)
    assert gate.cli("server", "show", stub)["status"] == "disabled"
    gate.cli("server", "enable", stub, "--yes")
    tools = gate.cli("tool", "list", "--server", stub)
    assert {each["standing"] for each in tools} == {"pinned"}


@pytest.mark.slow
def test_a_guardrail_from_its_file_to_its_end(gate: Gate, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.cedar", tmp_path / "bad.cedar"
    good.write_text('@reason("Never.")\nforbid (principal, action, resource);\n')
    bad.write_text("permit (principal, action, resource);\n")
    assert gate.command("policy", "check", str(good)).returncode == 0
    assert gate.command("policy", "check", str(bad)).returncode == 2
    gate.cli("policy", "add", "never", str(good), "--observe")
    assert gate.command("policy", "show", "never").stdout == good.read_text()
    gate.cli("policy", "retire", "never", "--yes")
    assert gate.cli("policy", "list") == []


@pytest.mark.slow
def test_a_call_is_found_proved_and_verified_without_a_gate(
    gate: Gate, stub: str, tmp_path: Path
) -> None:
    token = gate.member("caller@example.test", stub)
    assert gate.client(token).call("stub__echo", {"canary": "payload-0815"}).status == 200
    sought = ("--member", "caller@example.test", "--outcome", "ok")
    (found,) = gate.cli("audit", "search", *sought)["items"]
    assert found["who"] == "caller@example.test"
    shown = gate.command("audit", "show", found["call"]).stdout
    assert "call.outcome" in shown
    assert "payload-0815" not in shown
    assert found["call"] in gate.command("audit", "tail").stdout
    told, sought_all = gate.cli("audit", "tail"), gate.cli("audit", "search", "--limit", "500")
    assert {*told["items"][0]} == {*sought_all["items"][0]}  # machines read both alike

    proof, key = tmp_path / "proof.json", tmp_path / "key"
    gate.cli("audit", "prove", found["call"], "-o", str(proof))
    key.write_text("# the log's key\n" + gate.command("audit", "key").stdout)
    nowhere = Gate(tmp_path / "no-such-house")
    done = nowhere.command("audit", "verify", str(proof), "--key", str(key))
    assert (done.returncode, done.stdout.split()[0]) == (0, "VERIFIED")
    assert not nowhere.directory.exists()

    document = json.loads(proof.read_text())
    document["leaves"][0]["leaf"] = document["leaves"][1]["leaf"]
    proof.write_text(json.dumps(document))
    done = nowhere.command("audit", "verify", str(proof), "--key", str(key))
    assert (done.returncode, done.stdout.split()[0]) == (1, "TAMPERED")
    other = "localhost+52a6ed35+Afh2PbyMnnbGWv8lh7x3dlyUqkVGyRNBM8sjbK8dTnpZ"
    done = nowhere.command("audit", "verify", str(proof), "--key", other)
    assert (done.returncode, done.stdout.split()[0]) == (2, "UNVERIFIABLE")

    checked = gate.command("audit", "fsck")
    assert (checked.returncode, "Sound" in checked.stdout) == (0, True)


@pytest.mark.slow
def test_following_shows_calls_as_they_end_and_stops_when_told(gate: Gate, stub: str) -> None:
    token = gate.member("followed@example.test", stub)
    assert gate.client(token).call("stub__echo").status == 200  # so that there is a newest record
    follower = subprocess.Popen(
        gate.arguments("audit", "tail", "-f", "-n", "1", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**gate.env, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert follower.stdout is not None
        os.set_blocking(follower.stdout.fileno(), True)
        first = json.loads(follower.stdout.readline())
        assert gate.client(token).call("stub__count").status == 200
        told = json.loads(follower.stdout.readline())
        while told["tool"] != "count":
            told = json.loads(follower.stdout.readline())
        assert (told["outcome"], told["who"]) == ("ok", "")
        assert told["index"] > first["index"]
    finally:
        follower.send_signal(signal.SIGINT)
        code = follower.wait(10)
        follower.stdout.close()
    assert code == 130


def test_a_file_is_applied_and_then_nothing_differs(gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "main.toml"
    file.write_text('workspace = "main"\n[[groups]]\nname = "filed"\n')
    assert "+ group filed" in gate.command("apply", str(file), "--dry-run").stdout
    assert "+ group filed" in gate.command("apply", str(file)).stdout
    assert "Nothing differs." in gate.command("apply", str(file)).stdout


@pytest.mark.slow
def test_from_far_away_a_token_decides(gate: Gate, tmp_path: Path) -> None:
    token = gate.member("remote@example.test")
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    far = ("--url", f"http://127.0.0.1:{gate.port}", "--token-file", str(file))
    assert gate.command(*far, "token", "list").returncode == 0
    refused = gate.command(*far, "member", "list")
    assert refused.returncode == 3
    assert "the role member may not do this" in refused.stderr
    assert token not in refused.stdout + refused.stderr
    assert gate.command("--url", far[1], "token", "list").returncode == 3


@pytest.mark.slow
def test_the_doctor_finds_what_is_wrong(gate: Gate, stub: str) -> None:
    well = gate.command("doctor")
    assert well.returncode == 0, well.stdout
    assert "Nothing is wrong." in well.stdout or "note" in well.stdout
    gate.directory.chmod(0o755)
    try:
        ill = gate.command("doctor")
    finally:
        gate.directory.chmod(0o700)
    assert ill.returncode == 1
    assert f"chmod 700 {gate.directory}" in ill.stdout


def test_the_node_tells_of_its_logs(gate: Gate) -> None:
    status = gate.cli("node", "status")
    assert status["fresh"] is True
    assert {each["log"].partition(":")[0] for each in status["logs"]} >= {"gov"}
    assert len(status["nodes"]) == 1
