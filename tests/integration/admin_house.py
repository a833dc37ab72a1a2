"""One running gate with a token for each role, and the admin API as somebody asks it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate import Answer, Client, Gate
from tests.stage import all_of

STUB = Path(__file__).parents[1] / "upstreams" / "echo_server.py"
ROLES = ("owner", "security", "admin", "auditor", "member")
W = "/workspaces/main"


class House:
    """One running gate, and a token for each role."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.tokens = {"owner": gate.token}
        for role in ROLES[1:]:
            email = f"{role}@example.test"
            self.ok("POST", f"{W}/members", {"email": email, "role": role})
            made = self.ok("POST", f"{W}/tokens", {"member": email})
            self.tokens[role] = made["token"]

    def ask(
        self, method: str, path: str, body: Any = None, *, by: str = "owner", **headers: str
    ) -> Answer:
        client = Client(self.gate.port, "", f"/api/v1{path}")
        sent = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json"} if sent else {}
        token = self.tokens.get(by, by)
        if token:
            given["authorization"] = f"Bearer {token}"
        return client.send(method, sent, {**given, **headers})

    def ok(self, method: str, path: str, body: Any = None, *, by: str = "owner") -> Any:
        answer = self.ask(method, path, body, by=by)
        assert answer.status in {200, 201}, (method, path, answer.status, answer.body)
        return answer.json

    def refused(
        self, status: int, code: str, method: str, path: str, body: Any = None, *, by: str = "owner"
    ) -> Any:
        answer = self.ask(method, path, body, by=by)
        assert answer.status == status, (method, path, answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["code"] == f"error.refused.{code}"
        return answer.json

    @property
    def gov(self) -> int:
        """The size of the log itself: the view that a node tells of may not be there yet."""
        logs = self.ok("GET", "/node")["logs"]
        return next(log["size"] for log in logs if log["log"] == "gov")


@pytest.fixture(scope="session")
def admin_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house that all modules share which take their own from here."""
    made = Gate(tmp_path_factory.mktemp("api") / "data", "limits.body_bytes=65536")
    with made.prepared().running() as gate:
        yield House(gate)


@pytest.fixture(scope="module")
def house(admin_house: House) -> House:
    return admin_house


@pytest.fixture(scope="module")
def stub(house: House) -> Iterator[str]:
    """A server that is approved; the next module has another one under the alias."""
    transport = {
        "type": "stdio",
        "command": [sys.executable, str(STUB)],
        "env": {"PLAIN": "canary-literal", "REFERRED": "env:PATH"},
        "run_as": "gateway",
    }
    wanted = {"alias": "stub", "transport": transport}
    made = house.gate.api("POST", f"{W}/servers", wanted, local=True)
    seen = house.ok("POST", f"{W}/servers/stub/observe")
    house.ok("POST", f"{W}/servers/stub/approve", all_of(seen))
    yield "stub"
    if house.ask("GET", f"{W}/servers/{made['id']}").status == 200:
        house.ok("POST", f"{W}/servers/{made['id']}/remove", {})
