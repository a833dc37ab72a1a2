"""What commands tell is true: next steps work, numbers agree, nobody is named for another."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import WAIT, Gate

pytestmark = pytest.mark.slow  # some sixty commands; quick: `test_cli`
STUB = Path(__file__).parents[1] / "upstreams" / "echo_server.py"
RUN = ("--run-as", "gateway", "--", sys.executable)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = Gate(tmp_path_factory.mktemp("told") / "data", "upstream.start_seconds=3")
    with made.running():
        made.cli("server", "add", "stub", "--run-as", "gateway", "--", sys.executable, str(STUB))
        made.cli("server", "approve", "stub", "--yes")
        yield made


def test_a_tool_for_tasks_only_is_left_out_and_no_fault_for_the_doctor(
    gate: Gate, tmp_path: Path
) -> None:
    text = STUB.read_text("utf-8")
    only = '"name": "count", "execution": {"taskSupport": "required"}'
    script = tmp_path / "tasks.py"
    script.write_text(text.replace('"name": "count"', only), "utf-8")
    gate.cli("server", "add", "tasks", *RUN, str(script))
    gate.cli("server", "approve", "tasks", "--yes")
    told = gate.command("doctor")
    given = gate.command(
        "grant", "add", "--everyone", "--server", "tasks", "--tool", "count"
    ).stdout
    gate.cli("server", "remove", "tasks", "--yes")
    assert "Left out: it is for tasks only" in given
    assert "The tool tasks/count is left out: it is for tasks only" in told.stdout
    assert (told.returncode, "Mend or remove" in told.stdout) == (0, False), told.stdout


def test_the_doctor_says_why_a_server_is_waited_for(gate: Gate) -> None:
    assert gate.command("server", "add", "away", *RUN, "/no/such/script.py").returncode == 4
    gate.cli("server", "approve", "away", "--yes")
    until, found = time.monotonic() + WAIT, {"state": "good"}
    # It is started again and again, and is well for as long as that takes.
    while found["state"] == "good":
        assert time.monotonic() < until, found
        told = json.loads(gate.command("doctor", "--json").stdout)
        (found,) = [each for each in told if each["check"] == "server main/away"]
    gate.cli("server", "remove", "away", "--yes")
    assert "exited" in found["says"], found


def test_a_call_of_an_agent_is_told_with_the_agent_and_its_owner(gate: Gate) -> None:
    gate.cli("member", "add", "ann@example.test")
    gate.cli("agent", "add", "annbot", "--owner", "ann@example.test")
    gate.cli("grant", "add", "--agent", "annbot", "--server", "stub", "--level", "all")
    issued = gate.cli("token", "create", "--agent", "annbot")
    assert gate.client(issued["token"]).call("stub__echo").status == 200
    for command in (("tail",), ("search", "--tool", "echo")):
        told = gate.command("audit", *command).stdout
        assert "annbot (ann@example.test)" in told, told


def test_what_an_agent_may_use_is_granted_to_itself_and_its_help_says_so(gate: Gate) -> None:
    gate.cli("member", "add", "bea@example.test")
    gate.cli("agent", "add", "beabot", "--owner", "bea@example.test")
    gate.cli("grant", "add", "--agent", "beabot", "--server", "stub", "--level", "all")
    assert gate.command("access", "explain", "bea@example.test", "stub/echo").returncode == 1
    assert gate.command("access", "explain", "beabot", "stub/echo").returncode == 0
    told = " ".join(gate.command("agent", "add", "--help").stdout.split())
    assert "it may use what is granted to it, while its owner is active" in told


def test_a_person_who_came_back_is_found_with_what_they_did_before(gate: Gate) -> None:
    token = gate.member("cyd@example.test", "stub")
    assert gate.client(token).call("stub__echo").status == 200
    gate.cli("member", "revoke", "cyd@example.test", "--why", "leaver", "--yes")
    gate.cli("member", "add", "cyd@example.test")
    found = gate.cli("audit", "search", "--member", "cyd@example.test")["items"]
    assert [each["tool"] for each in found] == ["echo"]


def test_a_server_that_could_not_be_observed_is_observed_again_by_the_hint(gate: Gate) -> None:
    for command in (("add", "lost", *RUN, "/no/such/script.py"), ("observe", "lost")):
        done = gate.command("server", *command)
        assert done.returncode == 4
        assert "gatelodge server observe lost" in done.stderr, done
        assert "the call may have had" not in done.stderr
    gate.cli("server", "remove", "lost", "--yes")


def test_a_handshake_that_is_too_slow_names_what_gives_it_longer(gate: Gate) -> None:
    done = gate.command("server", "add", "slow", "--run-as", "gateway", "--", "/bin/sleep", "60")
    gate.cli("server", "remove", "slow", "--yes")
    assert "in time" in done.stderr
    assert "server edit slow --start-seconds" in done.stderr
    assert "limits.call_seconds" not in done.stderr


def test_a_directory_that_is_not_there_is_named_instead_of_the_program(gate: Gate) -> None:
    done = gate.command("server", "add", "nodir", "--cwd", "/no/such/directory", *RUN, str(STUB))
    gate.cli("server", "remove", "nodir", "--yes")
    assert "'/no/such/directory'" in done.stderr, done
    assert "program" not in done.stderr


def test_a_scheme_that_is_never_reached_is_not_blamed_on_the_address(gate: Gate) -> None:
    done = gate.command("server", "add", "odd", "--url", "ftp://127.0.0.1/mcp")
    assert done.returncode == 2
    assert "allow" not in done.stderr, done
    again = gate.command("server", "add", "odd", "--url", "http://127.0.0.1/mcp")
    assert "--allow-private" in again.stderr


def test_a_server_that_nobody_observed_yet_says_how_its_tools_come(
    gate: Gate, tmp_path: Path
) -> None:
    file = tmp_path / "main.toml"
    command = f'["{sys.executable}", "{STUB}"]'
    table = f'[[servers]]\nalias = "filed"\nrun_as = "gateway"\ncommand = {command}\n'
    file.write_text(f'workspace = "main"\n{table}')
    gate.cli("apply", str(file))
    assert (
        "gatelodge server observe filed" in gate.command("tool", "list", "--server", "filed").stdout
    )
    told = gate.command("server", "approve", "filed", "--yes").stdout
    gate.cli("server", "remove", "filed", "--yes")
    assert "gatelodge server observe filed" in told
    assert "gatelodge grant add" not in told


def test_a_second_approval_says_that_nothing_was_left_to_pin(gate: Gate) -> None:
    told = gate.command("server", "approve", "stub", "--yes").stdout
    assert "0 tools" not in told
    assert "pinned already" in told


def test_a_next_step_holds_for_a_name_with_a_space(gate: Gate) -> None:
    gate.cli("member", "add", "dot@example.test")
    agent = gate.command("agent", "add", "night watch", "--owner", "dot@example.test")
    assert "gatelodge token create --agent 'night watch'" in agent.stdout
    group = gate.command("group", "create", "night crew")
    assert "gatelodge group add-member 'night crew' EMAIL" in group.stdout


def test_while_nobody_serves_the_status_names_no_node(tmp_path: Path) -> None:
    stopped = Gate(tmp_path / "data")
    stopped.cli("init")
    told = stopped.command("node", "status")
    assert "No node is running. Start one: gatelodge up" in told.stdout, told
    assert stopped.cli("node", "status")["nodes"] == []


def test_what_no_role_may_do_is_not_sent_to_an_owner(gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "owner"
    file.touch(0o600)
    file.write_text(gate.token)
    far = ("--url", f"http://127.0.0.1:{gate.port}", "--token-file", str(file))
    for command in (("audit", "fsck"), ("workspace", "create", "far", "--owner", "a@b.test")):
        done = gate.command(*far, *command)
        assert done.returncode == 3
        assert "on the gate's own machine" in done.stderr, done
        assert "Ask an owner" not in done.stderr


def test_the_longest_life_of_a_token_is_the_one_that_help_names(gate: Gate) -> None:
    gate.cli("member", "add", "eli@example.test")
    gate.cli("agent", "add", "elibot", "--owner", "eli@example.test")
    told = " ".join(gate.command("token", "create", "--help").stdout.split())
    assert "at most 90 for a person, 365 for an agent" in told
    for holder, most in (
        (("--member", "eli@example.test"), 90),
        (("--agent", "elibot"), 365),
    ):
        gate.cli("token", "create", *holder, "--days", str(most))
        over = gate.command("token", "create", *holder, "--days", str(most + 1))
        assert over.returncode == 2, over


def test_who_is_away_is_let_in_by_the_command_that_the_error_names(gate: Gate) -> None:
    gate.cli("member", "add", "fay@example.test")
    gate.cli("agent", "add", "faybot", "--owner", "fay@example.test")
    token = ("token", "create", "--member", "fay@example.test")
    gate.cli("member", "suspend", "fay@example.test")
    assert "gatelodge member resume" in gate.command(*token).stderr
    gate.cli("member", "revoke", "fay@example.test", "--why", "leaver", "--yes")
    assert "gatelodge member add" in gate.command(*token).stderr
    assert "gatelodge agent transfer" in gate.command("agent", "resume", "faybot", "--yes").stderr
    assert "gatelodge agent transfer" in gate.command("token", "create", "--agent", "faybot").stderr


def test_what_is_not_there_says_where_to_look(gate: Gate) -> None:
    gate.cli("member", "add", "gus@example.test")
    gate.cli("group", "create", "gusts")
    for command, where in (
        (("server", "approve", "stub", "--tool", "none"), "gatelodge tool list"),
        (("tool", "approve", "stub", "none"), "gatelodge tool list"),
        (("group", "remove-member", "gusts", "gus@example.test"), "gatelodge group list"),
    ):
        done = gate.command(*command)
        assert (done.returncode, where in done.stderr) == (3, True), done


def test_a_file_that_changes_what_is_hidden_says_that_the_approval_ends(
    gate: Gate, tmp_path: Path
) -> None:
    file = tmp_path / "main.toml"
    command = f'["{sys.executable}", "{STUB}"]'
    table = f'[[servers]]\nalias = "kept"\nrun_as = "gateway"\ncommand = {command}\n'
    file.write_text(f'workspace = "main"\n{table}approved = true\n')
    gate.cli("apply", str(file))
    assert gate.cli("server", "show", "kept")["status"] == "approved"
    file.write_text(f'workspace = "main"\n{table}hidden_capabilities = ["roots"]\n')
    would = gate.command("apply", str(file), "--dry-run").stdout
    assert "server kept is reached in another way, so it waits for approval again" in would
    gate.cli("apply", str(file))
    assert gate.cli("server", "show", "kept")["status"] == "proposed"
    gate.cli("server", "remove", "kept", "--yes")


def test_a_server_that_was_never_approved_cannot_be_enabled(gate: Gate) -> None:
    gate.cli("server", "add", "early", *RUN, str(STUB))
    done = gate.command("server", "enable", "early", "--yes")
    status = gate.cli("server", "show", "early")["status"]
    gate.cli("server", "remove", "early", "--yes")
    assert (done.returncode, status) == (3, "proposed"), done
    assert "gatelodge server approve early" in done.stderr


@pytest.mark.parametrize(
    "command", [("server", "list"), ("audit", "search"), ("member", "add", "a@b.c"), ("doctor",)]
)
def test_a_command_where_no_gate_is_makes_nothing_and_says_where_to_look(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = Gate(tmp_path / "data").command(*command)
    assert done.returncode != 0
    assert "--data-dir" in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken_founds_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = Gate(tmp_path / "data").command("up", "--port", str(port))
    assert (done.returncode, "is taken" in done.stderr) == (3, True)
    assert not (tmp_path / "data").exists()
