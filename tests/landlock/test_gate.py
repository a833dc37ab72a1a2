"""A gate whose commands are kept apart: from the definition to the record of a call."""

import sys

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W
from tests.stage import all_of
from tests.wire import until

pytestmark = pytest.mark.slow
TIME = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sandbox") / "data"
    with Gate(directory, "hosting.plain_commands=sandbox").running() as gate:
        yield House(gate)


def added(house, alias, **fields):
    command = [sys.executable, "-m", "mcp_server_time"]
    transport = {"type": "stdio", "command": command, **fields}
    house.gate.api("POST", f"{W}/servers", {"alias": alias, "transport": transport}, local=True)
    return f"{W}/servers/{alias}"


def test_a_command_is_served_from_the_weak_tier_and_shown_as_such(house):
    at = added(house, "clock")
    house.ok("POST", f"{at}/approve", all_of(house.ok("POST", f"{at}/observe")))
    house.ok("POST", f"{W}/grants", {"everyone": True, "server": "clock", "level": "all"})
    client = house.gate.client(house.gate.token)
    until(lambda: "clock__convert_time" in client.tools())
    told = client.call("clock__convert_time", TIME).json["result"]
    assert "T21:00:00+09:00" in told["content"][0]["text"]
    assert house.ok("GET", f"{at}/health")["isolation"].startswith("weak: Landlock ")
    facts = house.ok("GET", f"{W}/instances?server=clock")["items"]
    assert "weak" in str(facts)
