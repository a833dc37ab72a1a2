"""What runs of the servers is told and ended over the API and by commands, and is on record."""

import sys
import time
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.admin_house import STUB, House, W
from tests.leaves import leaves_of
from tests.stage import all_of
from tests.upstreams.pools import alive

NOISY = f"""
import os, runpy, sys

pytestmark = pytest.mark.slow
print("key is", os.environ["KEY"], "\\x1b[31mred", file=sys.stderr, flush=True)
sys.argv = [{str(STUB)!r}]
runpy.run_path({str(STUB)!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    directory = tmp_path_factory.mktemp("instances") / "data"
    made = Gate(directory, "audit.sequence_ms=50", HOUSE_KEY="s3cret-canary-key").prepared()
    with made.running() as gate:
        yield House(gate)


def add(house: House, alias: str) -> dict:
    transport = {
        "type": "stdio",
        "command": [sys.executable, "-c", NOISY],
        "env": {"KEY": "env:HOUSE_KEY"},
        "run_as": "gateway",
    }
    house.gate.api("POST", f"{W}/servers", {"alias": alias, "transport": transport}, local=True)
    seen = house.ok("POST", f"{W}/servers/{alias}/observe")
    house.ok("POST", f"{W}/servers/{alias}/approve", all_of(seen))
    house.ok("POST", f"{W}/grants", {"everyone": True, "server": alias, "level": "all"})
    return one(house, alias)


def one(house: House, alias: str, by: str = "owner") -> dict:
    """The instance of this server, as soon as there is one."""
    path = f"{W}/instances?server={alias}"
    return until(lambda: house.ok("GET", path, by=by)["items"])[0]


def until(seen):
    """Poll until it is true, for a bounded time."""
    end = time.monotonic() + 20
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def leaves(house: House, instance: str, many: int) -> list[dict]:
    """So many records of this instance, once they are in the log."""

    def found() -> list[dict]:
        every = leaves_of(house.gate.directory)
        mine = [each for each in every if each.get("instance") == instance]
        return mine if len(mine) == many else []

    return until(found)


@pytest.mark.guarantee("isolation:attested")
def test_what_runs_is_shown_with_what_was_found_of_it_and_is_on_record(house: House) -> None:
    found = add(house, "shown")
    assert (found["server"], found["owner"], found["tier"]) == ("shown", "", "none")
    assert alive(found["pid"])
    told = house.ok("GET", f"{W}/instances/{found['id']}", by="auditor")
    assert told["secrets"] == ["KEY:env:env"]
    assert told["deviations"] == []
    assert told["promises"].startswith("nothing")
    (leaf,) = leaves(house, found["id"], 1)
    said = (leaf["t"], leaf["runtime"], leaf["secrets"])
    assert said == ("instance.started", "process", "KEY:env:env")
    shown = house.gate.command("instance", "show", found["id"])
    assert "none: it is as its tier promises" in shown.stdout
    assert found["id"] in house.gate.command("ps").stdout
    assert house.gate.cli("instance", "stats")[0]["id"]


@pytest.mark.guarantee("isolation:attested")
def test_an_instance_is_attested_on_record_by_whoever_may_end_it(house: House) -> None:
    found = add(house, "attested")
    path = f"{W}/instances/{found['id']}/attest"
    house.refused(403, "forbidden", "POST", path, by="auditor")
    told = house.ok("POST", path, by="security")
    assert (told["deviations"], told["ended"], told["server"]) == ([], False, "attested")
    assert told["facts"] == told["before"]
    (promise,) = told["promises"]
    assert (promise["name"], promise["promised"], promise["found"]) == ("tier", "none", "none")
    shown = house.gate.command("instance", "attest", found["id"])
    assert shown.returncode == 0, shown.stderr
    assert "It is as its tier promises." in shown.stdout
    assert house.gate.cli("instance", "attest", found["id"])["source"] == "none"
    words = [each["t"] for each in leaves(house, found["id"], 4)]
    assert words == ["instance.started", *["instance.attested"] * 3]
    assert alive(found["pid"])
    house.refused(404, "not_found", "POST", f"{W}/instances/i_nobody/attest", by="security")


@pytest.mark.guarantee("secrets:stay-here")
def test_the_last_words_are_masked_and_only_for_who_may_register(house: House) -> None:
    add(house, "noisy")
    told = house.ok("GET", f"{W}/servers/noisy/logs", by="admin")
    lines = [each["line"] for each in told["lines"]]
    assert "key is [secret] red" in lines
    later = house.ok("GET", f"{W}/servers/noisy/logs?after={told['next']}")["lines"]
    assert all(each["number"] > told["next"] for each in later)
    for role in ("security", "auditor", "member"):
        house.refused(403, "forbidden", "GET", f"{W}/servers/noisy/logs", by=role)
    assert "key is [secret]" in house.gate.command("instance", "logs", "noisy").stdout


def test_an_instance_that_is_stopped_or_killed_is_started_again_by_the_next_need(
    house: House,
) -> None:
    first = add(house, "ended")
    for verb, reason in (("stop", "stopped"), ("kill", "killed")):
        house.refused(403, "forbidden", "POST", f"{W}/instances/{first['id']}/{verb}", by="auditor")
        done = house.ok("POST", f"{W}/instances/{first['id']}/{verb}", by="security")
        assert done["ended"] == [first["id"]]
        # Also a call that comes before the gate has heard of the end.
        answer = house.gate.client(house.tokens["member"]).call("ended__echo", {"text": verb})
        assert "error" not in answer.json, answer.json
        assert not answer.json["result"].get("isError"), answer.json
        assert not alive(first["pid"])
        house.refused(404, "not_found", "GET", f"{W}/instances/{first['id']}")
        ends = leaves(house, first["id"], 2)
        assert [each["t"] for each in ends] == ["instance.started", "instance.stopped"]
        assert ends[-1]["reason"] == reason
        first = one(house, "ended")


@pytest.mark.guarantee("revoke:under-a-second")
def test_the_kill_switch_ends_a_server_within_a_second_and_keeps_it_ended(house: House) -> None:
    found = add(house, "switch")
    began = time.monotonic()
    done = house.ok("POST", f"{W}/servers/switch/kill", by="security")
    assert time.monotonic() - began < 1.0
    assert not alive(found["pid"])
    assert done["ended"] == [found["id"]]
    assert done["ms"] < 1000
    assert done["receipt"]["completed_ms"] < 1000
    assert house.ok("GET", f"{W}/instances?server=switch")["items"] == []
    ends = leaves(house, found["id"], 2)
    assert ends[-1]["reason"] == "killed"
    answer = house.gate.client(house.tokens["member"]).call("switch__echo", {})
    assert "error" in answer.json
    house.refused(409, "conflict", "POST", f"{W}/servers/switch/restart")
    killed = house.gate.command("instance", "kill", "switch", "--yes")
    assert "0 instances ended" in killed.stdout


def test_a_restart_begins_anew_and_its_record_says_replaced(house: House) -> None:
    found = add(house, "again")
    house.refused(403, "forbidden", "POST", f"{W}/servers/again/restart", by="security")
    house.ok("POST", f"{W}/servers/again/restart", by="admin")
    until(lambda: not alive(found["pid"]))
    until(lambda: one(house, "again")["id"] != found["id"])
    ends = leaves(house, found["id"], 2)
    assert ends[-1].get("reason") == "replaced"


@pytest.mark.slow
def test_where_nothing_runs_the_commands_say_what_to_do(tmp_path: Path) -> None:
    with Gate(tmp_path / "data").running() as gate:
        assert "gatelodge server list" in gate.command("ps").stdout
    assert "gatelodge up" in gate.command("ps").stderr
