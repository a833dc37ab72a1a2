"""Fifty members of one server: each has an instance, and none of them holds another's anything."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W
from tests.integration.hosting.gates import (
    KEEPING,
    build_image,
    can_contain,
    host,
    hosting_gate,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_contain, reason="needs root and runc"),
]

MEMBERS = tuple(f"m{number}@example.test" for number in range(50))
CANARY = re.compile(rb"canary-[0-9a-f]{32}")
SERVER_CAP, NODE_CAP, PERSON_CAP = 4, 8, 2


class Crowd:
    """Many members of one gate with a token each."""

    def __init__(self, gate: Gate, members: tuple[str, ...]) -> None:
        self.house = House(gate)
        self.tokens = {}
        for email in members:
            self.house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
            self.tokens[email] = self.house.ok("POST", f"{W}/tokens", {"member": email})["token"]

    def result(self, email: str, tool: str) -> dict:
        answer = self.house.gate.client(self.tokens[email]).call(tool)
        assert "result" in answer.json, answer.body
        return answer.json["result"]

    def kept(self, email: str) -> dict:
        return json.loads(self.result(email, "each__keep")["content"][0]["text"])

    def kept_by_each(self, members: list[str]) -> dict[str, dict]:
        with ThreadPoolExecutor(8) as threads:
            return dict(zip(members, threads.map(self.kept, members), strict=True))

    def instances(self, alias: str = "") -> dict[str, dict]:
        """Those that are somebody's, by their id."""
        found, cursor = {}, None
        about = f"server={alias}&" if alias else ""
        while cursor != "":
            page = self.house.ok("GET", f"{W}/instances?{about}limit=100&cursor={cursor or ''}")
            found |= {each["id"]: each for each in page["items"]}
            cursor = page.get("next") or ""
        return found

    def owned(self) -> dict[str, dict]:
        """Instances of the server `each` by whose they are."""
        found = [each for each in self.instances("each").values() if each["owner"]]
        owned = {each["owner"]: each for each in found}
        assert len(owned) == len(found)
        return owned


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory):
    gate = hosting_gate(tmp_path_factory.mktemp("many") / "data", "hosting.idle_seconds=600")
    image = build_image(gate, program=KEEPING)
    with gate.running():
        made = Crowd(gate, MEMBERS)
        host(made.house, "each", image, scope="per_user", tier="standard")
        yield made


@pytest.fixture(scope="module")
def canaries(crowd: Crowd) -> dict[str, str]:
    """The canary of each member's instance, which all were started at about the same time."""
    return {email: told["canary"] for email, told in crowd.kept_by_each(list(MEMBERS)).items()}


def found_in_memory(pid: int) -> set[str]:
    """The canaries in what a process may have written to in its memory, read from outside."""
    found: set[bytes] = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode, *_ = line.split()
            first, _, last = place.partition("-")
            if mode.startswith("rw"):
                memory.seek(int(first, 16))
                found |= set(CANARY.findall(memory.read(int(last, 16) - int(first, 16))))
    return {each.decode() for each in found}


def found_below(folder: Path) -> set[str]:
    files = [each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()]
    return {e.decode() for file in files for e in CANARY.findall(file.read_bytes())}


def test_fifty_members_have_an_instance_each_which_answers_its_own_member_alone(
    crowd: Crowd, canaries: dict[str, str]
):
    assert len(set(canaries.values())) == len(MEMBERS)
    owned = crowd.owned()
    assert owned.keys() == set(MEMBERS)
    assert len({each["pid"] for each in owned.values()}) == len(MEMBERS)
    again = crowd.kept_by_each(list(MEMBERS))
    assert {email: told["canary"] for email, told in again.items()} == canaries
    assert {told["calls"] for told in again.values()} == {2}


def test_no_instance_holds_anything_of_another_in_memory_files_environment_or_log(
    crowd: Crowd, canaries: dict[str, str]
):
    owned = crowd.owned()
    for email, canary in canaries.items():
        pid = owned[email]["pid"]
        assert found_in_memory(pid) == {canary}
        assert found_below(Path(f"/proc/{pid}", "root", "tmp")) == {canary}
        assert found_below(Path(f"/proc/{pid}", "root", "dev/shm")) == set()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert not CANARY.search(environment)
        assert b"GATELODGE" not in environment
    by_id = {owned[email]["id"]: canary for email, canary in canaries.items()}
    lines = crowd.house.ok("GET", f"{W}/servers/each/logs")["lines"]
    logged = [(e["instance"], e["line"]) for e in lines if e["instance"] in by_id]
    assert logged
    assert all(by_id[ident] == line for ident, line in logged)
    assert found_below(crowd.house.gate.directory) == set()
    assert not CANARY.search(crowd.house.gate.stderr.encode())


@pytest.mark.guarantee("revoke:under-a-second")
def test_of_fifty_one_is_revoked_and_loses_theirs_within_a_second_and_the_others_nothing(
    crowd: Crowd, canaries: dict[str, str]
):
    leaver, *others = MEMBERS
    before, told = crowd.owned(), crowd.kept_by_each(others)
    proc = Path(f"/proc/{before[leaver]['pid']}")
    assert proc.exists()
    began = time.monotonic()
    crowd.house.ok("POST", f"{W}/members/{leaver}/revoke", {})
    while proc.exists():
        assert time.monotonic() - began < 1.0
        time.sleep(0.005)
    end = time.monotonic() + 10  # until what it left is removed it is listed
    while leaver in (after := crowd.owned()):
        assert time.monotonic() < end
        time.sleep(0.05)
    again = crowd.kept_by_each(others)
    assert {e: i["pid"] for e, i in after.items()} == {e: before[e]["pid"] for e in others}
    for email in others:
        assert again[email]["canary"] == canaries[email]
        assert again[email]["calls"] == told[email]["calls"] + 1
    assert crowd.house.gate.client(crowd.tokens[leaver]).call("each__keep").status == 401


@pytest.fixture
def capped(tmp_path: Path):
    gate = hosting_gate(
        tmp_path / "data",
        f"hosting.instances={NODE_CAP}",
        f"hosting.instances_per_server={SERVER_CAP}",
        f"hosting.instances_per_person={PERSON_CAP}",
    )
    image = build_image(gate, program=KEEPING)
    with gate.running():
        made = Crowd(gate, MEMBERS[:12])
        for alias in "abc":
            host(made.house, alias, image, scope="per_user")
        yield made


def test_a_call_beyond_a_cap_is_told_which_and_leaves_nothing(capped: Crowd):
    def is_refused(email: str, tool: str, why: str) -> None:
        running = capped.instances()
        result = capped.result(email, tool)
        assert result["isError"]
        assert why in result["content"][0]["text"]
        assert capped.instances().keys() == running.keys()

    def starts(email: str, tool: str) -> None:
        assert not capped.result(email, tool).get("isError")

    first, *others = MEMBERS[:12]
    starts(first, "a__keep")
    starts(first, "b__keep")
    is_refused(
        first, "c__keep", f"You have as many instances as there may be at once ({PERSON_CAP})"
    )
    while len(capped.instances("a")) < SERVER_CAP:
        starts(others.pop(), "a__keep")
    is_refused(
        others[0],
        "a__keep",
        f"This server has as many instances as there may be at once ({SERVER_CAP})",
    )
    while len(capped.instances()) < NODE_CAP:
        starts(others.pop(), "b__keep" if len(capped.instances("b")) < SERVER_CAP else "c__keep")
    is_refused(
        others[0],
        "c__keep",
        f"This node runs as many instances as there may be at once ({NODE_CAP})",
    )
    starts(first, "a__keep")
