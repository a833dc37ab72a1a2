"""From laptops to a governed call: imported, applied (its package built), approved, called."""

import json
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.packages.wheels import NEEDS, publish

pytestmark = pytest.mark.slow

TOKEN = "ghp_canaryCANARYcanary000000000000000001"


def laptops(folder: Path) -> Path:
    """Two people with the same server and the same key, one of whom lets one tool through."""
    tiny = {"command": "uvx", "args": ["mcp-server-tiny==1.0"], "env": {"TINY_TOKEN": TOKEN}}
    loose = {**tiny, "args": ["mcp-server-tiny"], "includeTools": ["echo"]}
    for who, said in (("ada", tiny), ("bob", loose)):
        (folder / who / ".cursor").mkdir(parents=True)
        file = folder / who / ".cursor" / "mcp.json"
        file.write_text(json.dumps({"mcpServers": {"tiny": said}}))
    return folder


def test_what_was_on_laptops_is_called_through_the_gate_by_those_who_had_it(tmp_path: Path):
    place, proposal = tmp_path / "place", tmp_path / "proposal.toml"
    publish(place, NEEDS, "1.0")
    publish(place, "mcp-server-tiny", "1.0", f"{NEEDS}==1.0")
    fleet = str(laptops(tmp_path / "fleet"))
    words = ("import", fleet, "--domain", "example.test")
    with Gate(tmp_path / "data", UV_FIND_LINKS=str(place), UV_OFFLINE="1").running() as gate:
        shadow = gate.command(*words, "--shadow")
        assert (shadow.returncode, "1 shadow server" in shadow.stdout) == (1, True), shadow
        found = gate.cli(*words, "--out", str(proposal))
        assert (found["counts"]["taken"], found["counts"]["merged"]) == (1, 1)
        looked = gate.command("apply", "--dry-run", str(proposal))
        assert "pypi:mcp-server-tiny@1.0 would be built." in looked.stdout, looked
        assert looked.returncode == 0, looked
        assert gate.cli("image", "list") == []
        gate.cli("apply", str(proposal))
        assert gate.command("apply", str(proposal)).stdout.strip() == "Nothing differs."
        sent = gate.command(*words, "--secrets-to-vault")
        assert "is set" in sent.stdout, sent
        assert gate.cli("secret", "show", "tiny-TINY_TOKEN")["size"] == len(TOKEN)
        gate.cli("server", "observe", "tiny")
        gate.cli("server", "approve", "tiny", "--yes")
        gate.cli("apply", str(tmp_path / "proposal-tools.toml"))
        for tool in ("echo", "count"):
            gate.cli("tool", "review", "tiny", tool, "--read-only", "--yes")
        tools = {}
        for who in ("ada", "bob"):
            token = gate.cli("token", "create", "--member", f"{who}@example.test")["token"]
            client = gate.client(token)
            tools[who] = client.tools()
            answer = client.call("tiny__echo", {"text": "x"}).json
            assert not answer["result"].get("isError"), answer
        assert tools == {"ada": ["tiny__echo", "tiny__count"], "bob": ["tiny__echo"]}
        # What is governed is no shadow any more, and a second proposal changes nothing of it.
        assert gate.command(*words, "--shadow").returncode == 0
        again = gate.cli(*words)
        assert again["counts"]["merged"] == 2
        whole = shadow.stdout + json.dumps(found) + proposal.read_text() + sent.stdout + sent.stderr
        assert TOKEN not in whole + gate.stderr
