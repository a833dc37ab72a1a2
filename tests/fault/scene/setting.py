"""What a faulted gate is set up with: a server that remembers, members with tokens; by the API."""

import time

from tests.gate import WAIT, Gate
from tests.stage import all_of

MAIN = "/workspaces/main"


def serve(gate: Gate, alias: str, url: str) -> None:
    """Register a server, observe and approve it."""
    transport = {"type": "http", "url": url, "allow_private": True}
    gate.api("POST", f"{MAIN}/servers", {"alias": alias, "transport": transport})
    seen = gate.api("POST", f"{MAIN}/servers/{alias}/observe", {})
    gate.api("POST", f"{MAIN}/servers/{alias}/approve", all_of(seen))


def open_to_everyone(gate: Gate, alias: str) -> None:
    """Let every member use every tool of a server."""
    grant = {"everyone": True, "server": alias, "level": "all"}
    gate.api("POST", f"{MAIN}/grants", grant)


def admit(gate: Gate, name: str) -> str:
    """Let a member in; returns a token of theirs."""
    email = f"{name}@example.test"
    gate.api("POST", f"{MAIN}/members", {"email": email})
    token = str(gate.api("POST", f"{MAIN}/tokens", {"member": email})["token"])
    until_admitted(gate, token)
    return token


def until_admitted(gate: Gate, token: str) -> None:
    """Wait until this node knows a token; another node may have issued it."""
    ends = time.monotonic() + WAIT
    while gate.client(token).request("tools/list", {}).status != 200:
        assert time.monotonic() < ends, "the token is never admitted"
