"""A gate whose vault moves to another root, and one whose root is away."""

import json
import sys
from pathlib import Path

import pytest
from tests.contract.vault.transit import TOKEN, FakeTransit
from tests.gate import Gate
from tests.integration.admin_house import STUB, W
from tests.stage import Servers, all_of
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import until

pytestmark = pytest.mark.slow
GIVING = Path(__file__).parent / "giving_server.py"


@pytest.fixture
def transit():
    made = FakeTransit()
    yield made
    made.close()


def serve(gate: Gate, alias: str, script: Path, **env: str) -> None:
    transport = {
        "type": "stdio",
        "command": [sys.executable, "-S", str(script)],
        "env": env,
        "run_as": "gateway",
    }
    gate.api("POST", f"{W}/servers", {"alias": alias, "transport": transport}, local=True)
    seen = gate.api("POST", f"{W}/servers/{alias}/observe", {}, local=True)
    gate.api("POST", f"{W}/servers/{alias}/approve", all_of(seen))
    gate.cli("grant", "add", "--everyone", "--server", alias, "--level", "all")


def state(gate: Gate, alias: str) -> str:
    return str(gate.api("GET", f"{W}/servers/{alias}/health")["state"])


def test_values_move_to_another_root_and_servers_that_need_one_wait_for_it(tmp_path, transit):
    place = tmp_path / "data"
    with Gate(place).running() as gate:
        for name in ("one", "two", "three"):
            gate.api("POST", f"{W}/secrets/{name}/value", {"value": f"value of {name}"})
        serve(gate, "giving", GIVING, TOKEN="vault:one")
        serve(gate, "plain", STUB, PLAIN="x")
    sets = (f"keys.vault_root={transit.uri}", "keys.vault_token=env:ROOT_TOKEN")
    moving = Gate(place, *sets, "keys.former_vault_roots=file:", ROOT_TOKEN=TOKEN)
    with moving.running() as gate:
        gate.token = ""
        assert "3 values of main are under a former root" in gate.command("doctor").stdout
        assert gate.cli("secret", "rewrap") == {"rewrapped": 3}
        assert gate.cli("secret", "rewrap") == {"rewrapped": 0}
        until(lambda: local(gate, "giving") == "ready", why="it is started from the new root")
    # No value of any secret was shown to the service, only keys.
    assert len(transit.asked) >= 6
    assert all(b"value of" not in each for each in transit.asked)
    transit.status = 503
    with Gate(place, *sets, ROOT_TOKEN=TOKEN).running() as gate:
        until(lambda: local(gate, "plain") == "ready", why="what needs no secret is served")
        until(lambda: "HTTP 503" in detail(gate, "giving"), why="what needs one says why not")
        told = gate.command("doctor").stdout
        assert "the root of the vault refused to encrypt (HTTP 503)" in told
        transit.status = 0
        until(lambda: local(gate, "giving") == "ready", why="it is started by itself")
        assert TOKEN not in gate.stderr


def health(gate: Gate, alias: str) -> dict[str, str]:
    return gate.api("GET", f"{W}/servers/{alias}/health", local=True)


def local(gate: Gate, alias: str) -> str:
    return health(gate, alias)["state"]


def detail(gate: Gate, alias: str) -> str:
    return health(gate, alias)["detail"]


def test_a_root_that_this_build_lacks_starts_no_gate(tmp_path):
    gate = Gate(tmp_path / "data", "keys.vault_root=awskms:arn:aws:kms:x")
    done = gate.command("init")
    assert done.returncode != 0
    assert "awskms: is not available in this build" in done.stderr


def test_a_header_is_sent_with_the_value_of_the_vault_and_its_successor(tmp_path):
    servers = Servers()
    web = servers.open(HttpUpstream())
    try:
        with Gate(tmp_path / "data").running() as gate:
            gate.api("POST", f"{W}/secrets/web/value", {"value": "first-value"})
            transport = {
                "type": "http",
                "url": web.url,
                "allow_private": True,
                "headers": {"Authorization": "Bearer vault:web"},
            }
            gate.api("POST", f"{W}/servers", {"alias": "web", "transport": transport})
            seen = gate.api("POST", f"{W}/servers/web/observe", {})
            gate.api("POST", f"{W}/servers/web/approve", all_of(seen))
            assert sent(web)[-1] == "Bearer first-value"
            gate.api("POST", f"{W}/secrets/web/value", {"value": "second-value", "rotate": True})
            until(lambda: sent(web)[-1] == "Bearer second-value", why="it is met anew")
            shown = gate.api("GET", f"{W}/servers/web")
            assert shown["secrets"] == ["Authorization:header:vault"]
            assert json.dumps(shown).count("value") == 0
    finally:
        servers.close()


def sent(web: HttpUpstream) -> list[str]:
    return [each.header("authorization") or "" for each in list(web.requests)]
