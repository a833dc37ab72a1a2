"""A gate that hosts servers in containers: from the start to the end, and after a crash."""

import json
import time
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W
from tests.integration.hosting.gates import (
    SOURCE,
    build_image,
    can_contain,
    host,
    hosting_gate,
    run_command,
)
from tests.integration.watching.scraping import scrape
from tests.leaves import leaves_of

from gatelodge.adapters.runtime.kernel.cgroups import find_control_groups

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_contain, reason="needs root and runc"),
]

MEMORY = "gatelodge_instance_memory_bytes"
SETS = ("hosting.idle_seconds=600", "upstream.backoff_seconds=0.05")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return hosting_gate(tmp_path_factory.mktemp("hosted") / "data", *SETS)


@pytest.fixture(scope="module")
def image(gate: Gate) -> str:
    return build_image(gate)


@pytest.fixture(scope="module")
def house(gate: Gate, image: str):
    with gate.running():
        made = House(gate)
        host(made, "shared", image)
        host(made, "each", image, scope="per_user", tier="standard")
        run_command(made, "plain")
        yield made


def until(seen):
    end = time.monotonic() + 30
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def instances(house: House, alias: str) -> list[dict]:
    return house.ok("GET", f"{W}/instances?server={alias}")["items"]


def said(answer) -> dict:
    return json.loads(answer.json["result"]["content"][0]["text"])


def call(house: House, role: str, name: str) -> dict:
    return said(house.gate.client(house.tokens[role]).call(name, {}))


@pytest.mark.guarantee("isolation:attested")
def test_a_hosted_server_answers_from_a_container_whose_isolation_is_on_record(house: House):
    who = call(house, "member", "shared__whoami")
    assert who["pid"] < 10
    (found,) = instances(house, "shared")
    assert (found["tier"], found["owner"]) == ("standard", "")
    assert found["memory_bytes"] > 0
    told = house.ok("GET", f"{W}/instances/{found['id']}")
    assert told["deviations"] == []
    assert "seccomp=yes" in told["facts"]
    leaf = until(
        lambda: [e for e in leaves_of(house.gate.directory) if e.get("instance") == found["id"]]
    )[0]
    assert (leaf["t"], leaf["tier"], leaf["facts"]) == (
        "instance.started",
        "standard",
        told["facts"],
    )


def test_two_members_have_an_instance_each_and_listing_starts_none(house: House):
    before = {each["owner"] for each in instances(house, "each")}
    assert before <= {""}
    assert any(
        name.startswith("each__") for name in house.gate.client(house.tokens["member"]).tools()
    )
    assert {each["owner"] for each in instances(house, "each")} <= {""}
    for role in ("member", "auditor"):
        call(house, role, "each__whoami")
    owners = {each["owner"] for each in instances(house, "each")} - {""}
    assert owners == {"member@example.test", "auditor@example.test"}
    leaves = [e for e in leaves_of(house.gate.directory) if e["t"] == "instance.started"]
    assert "example.test" not in json.dumps(leaves)


@pytest.mark.guarantee("revoke:under-a-second")
def test_who_is_revoked_loses_their_instance_within_a_second_and_nobody_else_does(house: House):
    house.ok("POST", f"{W}/members", {"email": "leaver@example.test", "role": "member"})
    token = house.ok("POST", f"{W}/tokens", {"member": "leaver@example.test"})["token"]
    said(house.gate.client(token).call("each__whoami", {}))
    call(house, "member", "each__whoami")
    mine = {e["id"]: e for e in instances(house, "each") if e["owner"] == "leaver@example.test"}
    ((ident, found),) = mine.items()
    assert Path(f"/proc/{found['pid']}").exists()
    began = time.monotonic()
    house.ok("POST", f"{W}/members/leaver@example.test/revoke", {})
    until(lambda: not Path(f"/proc/{found['pid']}").exists())
    assert time.monotonic() - began < 1.0
    ended = until(
        lambda: [
            e
            for e in leaves_of(house.gate.directory)
            if e.get("instance") == ident and e["t"] == "instance.stopped"
        ]
    )
    assert ended[0]["reason"] == "revoked"
    owners = {each["owner"] for each in instances(house, "each")}
    assert "member@example.test" in owners


@pytest.mark.guarantee("isolation:attested")
def test_an_instance_whose_limit_was_lifted_is_found_and_ended_when_it_is_attested(house: House):
    call(house, "member", "shared__whoami")
    (found,) = instances(house, "shared")
    told = house.gate.command("instance", "attest", found["id"])
    assert told.returncode == 0, told.stdout
    groups = find_control_groups(found["pid"])
    (groups.get("pids") or groups[""]).folder.joinpath("pids.max").write_text("max")
    told = house.gate.command("instance", "attest", found["id"])
    assert told.returncode == 1
    assert "limit of processes  64" in told.stdout
    assert "DEVIATES" in told.stdout
    assert not Path(f"/proc/{found['pid']}").exists()
    mine = until(
        lambda: [
            each
            for each in leaves_of(house.gate.directory)
            if each.get("instance") == found["id"] and each["t"] != "instance.started"
        ][2:]
    )
    assert (mine[0]["t"], mine[0]["reason"]) == ("instance.stopped", "isolation")
    assert call(house, "member", "shared__whoami")["pid"] < 10
    assert instances(house, "shared")[0]["id"] != found["id"]


def test_a_paused_server_takes_no_time_and_the_next_call_has_it_go_on(house: House):
    until(lambda: house.gate.cli("server", "show", "shared")["health"] == "ready")
    call(house, "member", "shared__whoami")
    (found,) = instances(house, "shared")
    pause = f"{W}/instances/{found['id']}/pause"
    house.refused(403, "forbidden", "POST", pause, by="auditor")

    def stays_paused() -> bool:
        """Pause it; a look at what it offers, which a start is followed by, has it go on."""
        told = house.gate.command("instance", "pause", found["id"])
        assert told.returncode == 0, told.stderr
        assert "stands still" in told.stdout
        shown = house.gate.command("ps", "--server", "shared").stdout
        return "paused" in shown and instances(house, "shared")[0]["state"] == "paused"

    until(lambda: stays_paused() or None)
    assert house.gate.cli("server", "show", "shared")["health"] == "ready"
    assert instances(house, "shared")[0]["memory_bytes"] > 0
    assert call(house, "member", "shared__whoami")["pid"] < 10
    (found_again,) = instances(house, "shared")
    assert (found_again["id"], found_again["state"]) == (found["id"], "running")
    assert house.ok("POST", pause, by="security")["state"] == "paused"
    resume = f"{W}/instances/{found['id']}/resume"
    assert house.ok("POST", resume, by="security")["state"] == "running"
    told = house.ok("GET", f"{W}/audit/changes?type=instance.paused", by="auditor")["items"]
    assert len(told) >= 2
    assert {each["subject"]["instance"] for each in told} == {found["id"]}
    woken = until(
        lambda: [e for e in leaves_of(house.gate.directory) if e["t"] == "instance.woken"]
    )
    assert {each["instance"] for each in woken} == {found["id"]}


@pytest.mark.guarantee("revoke:under-a-second")
def test_a_paused_instance_of_who_is_revoked_is_gone_within_a_second(house: House):
    house.ok("POST", f"{W}/members", {"email": "still@example.test", "role": "member"})
    token = house.ok("POST", f"{W}/tokens", {"member": "still@example.test"})["token"]
    said(house.gate.client(token).call("each__whoami", {}))
    (found,) = (e for e in instances(house, "each") if e["owner"] == "still@example.test")
    house.ok("POST", f"{W}/instances/{found['id']}/pause", {}, by="security")
    began = time.monotonic()
    house.ok("POST", f"{W}/members/still@example.test/revoke", {})
    until(lambda: not Path(f"/proc/{found['pid']}").exists())
    assert time.monotonic() - began < 1.0


def test_a_plain_process_says_that_it_cannot_be_paused(house: House):
    call(house, "member", "plain__whoami")
    (found,) = instances(house, "plain")
    told = house.gate.command("instance", "pause", found["id"])
    assert told.returncode == 1
    assert "cannot be paused" in told.stdout
    assert instances(house, "plain")[0]["state"] == "running"


def test_who_has_an_instance_ended_is_on_record_with_it(house: House):
    for verb, reason in (("stop", "stopped"), ("kill", "killed")):
        (found,) = until(lambda: instances(house, "shared"))
        ended = house.ok("POST", f"{W}/instances/{found['id']}/{verb}", {}, by="admin")
        assert ended["ended"] == [found["id"]]
        told = house.ok("GET", f"{W}/audit/changes?type=instance.ended", by="auditor")["items"]
        (leaf,) = [each for each in told if found["id"] in json.dumps(each)]
        assert leaf["by"].startswith("mem_")
        assert (leaf["subject"]["reason"], set(leaf["subject"])) == (
            reason,
            {"server", "instance", "reason"},
        )


def test_a_killed_gate_leaves_nothing_and_the_next_one_closes_what_was_open(house: House):
    call(house, "member", "each__whoami")

    def running() -> list[dict]:
        return house.ok("GET", f"{W}/instances")["items"]

    # What an earlier test ended is started anew, and may take a moment.
    until(lambda: {each["server"] for each in running()} == {"plain", "shared", "each"})
    pids = [each["pid"] for each in running()]
    house.gate.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    house.gate.start()
    call(house, "member", "each__whoami")
    leaves = leaves_of(house.gate.directory)
    opened = {e["instance"] for e in leaves if e["t"] == "instance.started"}
    ends = {e["instance"]: e["reason"] for e in leaves if e["t"] == "instance.stopped"}
    assert opened - ends.keys() <= {each["id"] for each in running()}
    assert "gateway_restart" in ends.values()
    done = house.gate.command("audit", "fsck")
    assert done.returncode == 0, done.stdout + done.stderr


def test_numbers_of_instances_are_told_by_server_and_name_no_person(house: House):
    call(house, "member", "each__whoami")
    (row,) = [e for e in instances(house, "each") if e["owner"] == "member@example.test"]
    seen = scrape(house.gate, token=house.gate.token)
    about = {"workspace": "main", "server": "each"}
    assert seen.by("gatelodge_instances", "tier", **about)["standard"] >= 1
    for name in ("starts_total", "start_seconds_count"):
        assert seen.number(f"gatelodge_instance_{name}", **about)
    until(lambda: scrape(house.gate, token=house.gate.token).number(MEMORY, **about))
    told = seen.text
    assert "example.test" not in told
    assert row["id"] not in told


def test_a_server_that_always_ends_is_quarantined_on_record_until_it_is_restarted(house: House):
    dead = build_image(house.gate, "dead")
    transport = {"type": "artifact", "source": SOURCE, "image": dead}
    body = {"alias": "dead", "transport": transport}
    made = house.gate.api("POST", f"{W}/servers", body, local=True)
    approval = {"description": made["digest"], "tools": {}, "instructions": ""}
    house.ok("POST", f"{W}/servers/dead/approve", approval)

    def health() -> dict:
        return house.ok("GET", f"{W}/servers/dead")

    until(lambda: health()["health"] == "quarantined")
    assert "exited with status 3" in health()["detail"]
    assert instances(house, "dead") == []

    def changes(kind: str) -> list:
        return house.ok("GET", f"{W}/audit/changes?type={kind}", by="auditor")["items"]

    (leaf,) = until(lambda: changes("server.quarantined"))
    assert leaf["by"] == "system"
    done = house.gate.command("doctor")
    assert "gatelodge server restart dead" in done.stdout
    house.ok("POST", f"{W}/servers/dead/restart", {}, by="admin")
    until(lambda: len(changes("server.quarantined")) == 2)
    assert len(changes("server.restarted")) == 1
